//! Promise 4: a certificate of the tree alone opens no stream. Who may send to whom stands in the register.

use std::time::Duration;

use anyhow::{Context as _, bail};
use kho_chaos_tests::{People, Stage, place::Place, play};
use kho_node::api::AlarmKind;
use kho_replication::{
    frames::{ChildFrame, Goodbye, Hello, ParentFrame, StreamHeld},
    quic::{Alpn, Endpoint, TransportLimits},
    tls::{CertificateClock, CredentialFiles, Credentials, site_server_name},
};
use kho_storage::{
    ids::{Epoch, NodeId, OriginId, SiteId, StreamSeq},
    level::LevelOffer,
};

use crate::trees::{BIEN_HOA, CENTRE, DISTRICT, LONG_KHANH, REGION, centre, district, id, nodes, plan, region};

/// Its parent is the region alone.
const GRANDCHILD: u32 = 4;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn promise_4_only_a_child_of_the_register_is_taken_in() {
    let sites = vec![centre(1), region(), district(DISTRICT, &BIEN_HOA, &[CENTRE], 1), district(GRANDCHILD, &LONG_KHANH, &[REGION], 1)];
    play(plan(sites), async |stage| {
        let (parent, child, foreigner) = (nodes(CENTRE, 1)[0], nodes(DISTRICT, 1)[0], nodes(GRANDCHILD, 1)[0]);
        // The foreigner's own process never runs: the scene uses its certificate.
        for place in [parent, child] {
            stage.tree.start_node(place.0, place.1)?;
            stage.tree.bootstrap_site(place.0).await?;
        }
        let people = People::new("person", BIEN_HOA.commune);
        let client = stage.tree.client(&stage.tree.urls(id(DISTRICT)), &format!("client-{DISTRICT}"))?;
        client.enter(people.batch(0..500)).await?;
        stage.until_equal(DISTRICT, 500, &[parent, child]).await?;
        let before = stage.status(parent).await?;

        match greet(stage, foreigner, parent, foreigner).await? {
            ParentFrame::Goodbye(Goodbye::NotParent { parent, child, .. }) => assert_eq!((parent, child), (id(CENTRE), id(GRANDCHILD))),
            other => bail!("a site that is no child was answered with {other:?}"),
        }
        match greet(stage, child, parent, foreigner).await? {
            ParentFrame::Goodbye(Goodbye::PeerMisbehaved(_)) => {}
            other => bail!("a child that calls itself another site was answered with {other:?}"),
        }

        let after = stage.status(parent).await?;
        assert_eq!(after.streams.len(), before.streams.len(), "nothing of a foreigner is held");
        assert!(
            after.alarms.iter().any(|alarm| matches!(alarm.kind, AlarmKind::ChildMisbehaved { child: DISTRICT, .. })),
            "a node that names another site as itself raises an alarm: {:?}",
            after.alarms
        );
        client.enter(people.batch(500..600)).await?;
        stage.until_equal(DISTRICT, 600, &[parent, child]).await
    })
    .await;
}

/// Dials `parent` with the certificate of `bearer`, sends a Hello as `claimed`, and returns the answer.
async fn greet(stage: &Stage, bearer: Place, parent: Place, claimed: Place) -> anyhow::Result<ParentFrame> {
    let dir = stage.tree.node_dir(bearer.0, bearer.1);
    let files = CredentialFiles { root_ca: dir.join("root.crt"), certificate_chain: dir.join("tls.crt"), key: dir.join("tls.key") };
    let endpoint =
        Endpoint::bind(([127, 0, 0, 1], 0).into(), &Credentials::load(&files)?, CertificateClock::system(), TransportLimits::default())?;
    let connection = endpoint.connect(stage.tree.quic_address(parent.0, parent.1), &site_server_name(parent.0), Alpn::Link).await?;
    let (mut sender, mut receiver) = connection.open_bi().await?;
    let stream = StreamHeld {
        origin: OriginId(claimed.0.0),
        epoch: Epoch::first("scene", OriginId(claimed.0.0)),
        next: StreamSeq(10),
        oldest_kept: StreamSeq(1),
    };
    let (SiteId(site), NodeId(node)) = claimed;
    let (register_version, register_hash) = (1, stage.tree.register()?.hash());
    let levels = LevelOffer::default();
    let hello = Hello { levels, site: SiteId(site), node: NodeId(node), register_version, register_hash, streams: vec![stream] };
    sender.send(&ChildFrame::Hello(hello).encode()?).await?;
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, receiver.recv()).await.context("no answer came")??;
    Ok(ParentFrame::decode(&answer.context("the link was closed without an answer")?)?)
}
