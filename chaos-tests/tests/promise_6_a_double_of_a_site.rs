//! Promise 6: two machines work as the same node of one site, under the same certificate, one of them from an older copy of the disk. Their
//! parent says so for as long as both are there, whatever the honest one sends.

use std::{
    net::{TcpListener, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::ensure;
use kho_chaos_tests::{Stage, place::Place, play, stage::program, until};
use kho_local_tree::NodeProcess;
use kho_node::api::{AlarmKind, Finding, StatusReport};

use crate::{
    promise_2_a_site_that_was_set_back::{copy, enter, enter_at, start_with_two_persons},
    trees::{BIEN_HOA, CENTRE, DISTRICT, centre, district, id, nodes, plan},
};

/// How long what the honest machine sends is watched for ending the alarm.
const WATCHED: Duration = Duration::from_secs(6);
/// An alarm about a connection that stands is raised again within this.
const TICKS: Duration = Duration::from_secs(3);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Copies the folder of a killed node and has it listen elsewhere. Nothing is started.
fn copy_node(stage: &Stage, (site, node): Place) -> anyhow::Result<String> {
    let folder = stage.folder("double");
    copy(&stage.tree.node_dir(site, node), &folder)?;
    let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    let (quic, https) = (udp.local_addr()?.to_string(), tcp.local_addr()?.to_string());
    let place = stage.tree.node_place(site, node);
    let config = folder.join("khod.toml");
    let text = std::fs::read_to_string(&config)?;
    ensure!(text.contains(&place.quic_address) && text.contains(&place.https_address), "{text}");
    std::fs::write(&config, text.replace(&place.quic_address, &quic).replace(&place.https_address, &https))?;
    Ok(format!("https://{https}"))
}

fn is_told(status: &StatusReport) -> bool {
    let named = status.alarms.iter().any(|alarm| matches!(alarm.kind, AlarmKind::ChildSetBack { child: DISTRICT, origin: DISTRICT, .. }));
    named && !status.health.is_healthy()
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_6_the_alarm_about_the_double_of_a_site_stays_while_the_site_itself_goes_on() {
    play(plan(vec![centre(1), district(DISTRICT, &BIEN_HOA, &[CENTRE], 1)]), async |stage| {
        let (parent, child) = (nodes(CENTRE, 1)[0], nodes(DISTRICT, 1)[0]);
        let people = start_with_two_persons(stage, &[parent, child]).await?;
        stage.kill(child)?;
        let url = copy_node(stage, child)?;
        stage.tree.start_node(child.0, child.1)?;
        stage.until_ready(child).await?;
        for number in 2..4 {
            enter(stage, &people, number).await.map_err(anyhow::Error::msg)?;
        }
        stage.until_equal(DISTRICT, 4, &[parent, child]).await?;
        until("the parent is healthy", async || Ok(stage.status(parent).await?.health.is_healthy().then_some(()))).await?;

        // It ends with the scene at the latest.
        let mut double = NodeProcess::start(&program("khod")?, &stage.folder("double"), &[])?;
        let url = [url];
        let at_double = stage.tree.client(&url, "operator")?;
        until("the double is told that it is not the site that its parent knows", async || {
            let status = at_double.status().await?;
            let told = status.findings.iter().any(|finding| matches!(finding, Finding::SiteSetBack { origin: DISTRICT, .. }));
            Ok(told.then_some(()))
        })
        .await?;
        let entered = enter_at(stage, &url, &people, 20).await;
        ensure!(entered == Err("409 site_set_back".into()), "entry is closed at the double: {entered:?}");
        until("the parent says so too", async || Ok(is_told(&stage.status(parent).await?).then_some(()))).await?;

        // The honest machine goes on all the while, and its heads end nothing.
        let watched = Instant::now();
        let mut number = 4;
        while watched.elapsed() < WATCHED {
            enter(stage, &people, number).await.map_err(anyhow::Error::msg)?;
            number += 1;
            let until_adopted = Instant::now();
            while stage.stream(parent, DISTRICT).await?.rows < number {
                ensure!(until_adopted.elapsed() < kho_chaos_tests::TIMEOUT, "the parent adopts nothing more of the honest machine");
                ensure!(is_told(&stage.status(parent).await?), "the alarm is over, and the double is still there");
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            ensure!(is_told(&stage.status(parent).await?), "an honest head ended the alarm about the double");
        }
        ensure!(stage.status(child).await?.findings.is_empty(), "nothing is said against the honest machine");

        // Without the double, an operator takes the alarm away, and it is not back.
        double.stop()?;
        let order = ["origin", "resume", &DISTRICT.to_string()];
        until("the parent is healthy again", async || {
            stage.run_kho("operator", &order, &stage.tree.urls(id(CENTRE))).await?;
            tokio::time::sleep(TICKS).await;
            Ok(stage.status(parent).await?.health.is_healthy().then_some(()))
        })
        .await?;
        stage.until_equal(DISTRICT, number, &[parent, child]).await?;
        stage.verify(&[parent, child]).await
    })
    .await;
}
