//! Promise 4: a parent with valid keys hands down registers that nobody issued. Its child refuses each for what it is. One that breaks a
//! transfer off is asked again on the same link; one that unfolds beyond the longest register ends the link.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use kho_chaos_tests::{play, until};
use kho_local_tree::PlannedSite;
use kho_node::api::AlarmKind;
use kho_replication::{
    frames::{ChildFrame, Compressed, ParentFrame, RegisterOffer, RegisterReply, RegisterRequest, Welcome},
    quic::{Alpn, Connection, Endpoint, FrameReceiver, FrameSender, TransportLimits},
    tls::{CertificateClock, CredentialFiles, Credentials},
};
use kho_storage::{
    codec::Blob,
    ids::{Hash32, SiteId, Tier},
    level::{Level, LevelOffer},
    register::{Register, RootSet, SignedRegister},
    signature::{SignatureAlgorithm, SigningKey},
};

use crate::trees::{BIEN_HOA, CENTRE, DISTRICT, centre, district, id, nodes, plan};

const PROVINCE: u32 = 2;
const DIALLED_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn promise_4_a_register_of_a_retired_root_a_second_one_of_the_version_that_stands_and_a_bomb_are_refused() {
    let province = PlannedSite::new(PROVINCE, "Tỉnh", Tier::Province, &[CENTRE], 1);
    play(plan(vec![centre(1), province, district(DISTRICT, &BIEN_HOA, &[PROVINCE], 1)]), async |stage| {
        stage.tree.start().await?;
        let (province, child) = (nodes(PROVINCE, 1)[0], nodes(DISTRICT, 1)[0]);
        let old = SigningKey::from_pkcs8_pem(&std::fs::read_to_string(stage.tree.dir().join("pki").join("register.key"))?)?;
        let new = SigningKey::generate(SignatureAlgorithm::default())?;
        let set = |key: &SigningKey| RootSet { threshold: 1, keys: vec![key.public_key()] };
        let first = stage.tree.register()?.unverified()?;

        // The district is away while the key is changed.
        stage.kill(child)?;
        let changing = Register { version: first.version + 1, roots: vec![set(&old), set(&new)], ..first.clone() };
        let changed = Register { version: first.version + 2, roots: vec![set(&new)], ..first.clone() };
        let newest = SignedRegister::issue(&changed, &new)?;
        let operator = stage.tree.operator(id(CENTRE))?;
        operator.apply_register(&SignedRegister::issue(&changing, &old)?).await?;
        operator.apply_register(&newest).await?;
        stage.tree.start_node(child.0, child.1)?;
        stage.tree.wait_for_answer(child.0, child.1).await?;
        until("the district believes the new key", async || {
            Ok((stage.status(child).await?.register_version == changed.version).then_some(()))
        })
        .await?;

        stage.tree.process(province.0, province.1).context("it runs")?.stop()?;
        let dir = stage.tree.node_dir(province.0, province.1);
        let files = CredentialFiles { root_ca: dir.join("root.crt"), certificate_chain: dir.join("tls.crt"), key: dir.join("tls.key") };
        let at = stage.tree.quic_address(province.0, province.1);
        let endpoint = Endpoint::bind(at, &Credentials::load(&files)?, CertificateClock::system(), TransportLimits::default())?;
        let retired = SignedRegister::issue(&Register { version: changed.version + 1, ..first.clone() }, &old)?;
        let mut another = changed.clone();
        another.sites[0].name = "another".into();
        let double = SignedRegister::issue(&another, &new)?;
        let _held = hand_down(&endpoint, &[retired, double.clone()], &bomb()?).await?;
        let (held, given) = (newest.hash().to_hex(), double.hash().to_hex());
        let is_double =
            |kind: &AlarmKind| matches!(kind, AlarmKind::RegisterDoubled { held: h, given: g, .. } if *h == held && *g == given);
        until("the district raises all three alarms", async || {
            let alarms = stage.status(child).await?.alarms;
            let untrusted = alarms.iter().any(|alarm| matches!(alarm.kind, AlarmKind::RegisterRefused { .. }));
            let misbehaved = alarms.iter().any(|alarm| matches!(alarm.kind, AlarmKind::ParentMisbehaved { parent: PROVINCE, .. }));
            Ok((untrusted && misbehaved && alarms.iter().any(|alarm| is_double(&alarm.kind))).then_some(()))
        })
        .await?;
        ensure!(stage.tree.operator(id(DISTRICT))?.register().await? == newest, "another register stands");
        Ok(())
    })
    .await;
}

/// A few kilobytes that unfold to 256 MiB, and a register's hash that nobody ever sees.
fn bomb() -> anyhow::Result<(RegisterOffer, RegisterReply)> {
    let packed = Compressed::<Blob>::pack(&Blob(vec![0; 256 << 20]), usize::MAX)?;
    let reply = RegisterReply::Register(Compressed::received(1_000, packed.zstd));
    Ok((RegisterOffer { version: u64::MAX, hash: Hash32::of(b"a bomb") }, reply))
}

/// Answers the first child that dials as its parent would, with these registers and then with `last`. The first transfer is broken off. The
/// result is the link's stream.
async fn hand_down(
    endpoint: &Endpoint,
    registers: &[SignedRegister],
    (offer, reply): &(RegisterOffer, RegisterReply),
) -> anyhow::Result<(FrameSender, FrameReceiver)> {
    let accepted = tokio::time::timeout(DIALLED_WITHIN, endpoint.accept()).await.context("the district does not dial")?;
    let connection = accepted.context("the endpoint was closed")?;
    ensure!(connection.alpn() == Alpn::Link, "it is no child that dials");
    let (mut sender, mut receiver) = connection.accept_bi().await?;
    let hello = receiver.recv().await?.context("no Hello came")?;
    ensure!(matches!(ChildFrame::decode(&hello)?, ChildFrame::Hello(_)), "it does not greet");
    let mut replies = vec![];
    for signed in registers {
        let version = signed.unverified()?.version;
        replies.push((RegisterOffer { version, hash: signed.hash() }, RegisterReply::pack(signed)?));
    }
    replies.push((*offer, reply.clone()));
    let offers: Vec<RegisterOffer> = replies.iter().map(|(offer, _)| *offer).collect();
    let welcome = Welcome {
        levels: LevelOffer::default(),
        level: Level::FOUNDING,
        site: SiteId(PROVINCE),
        registers: offers[..1].to_vec(),
        cursors: vec![],
        transfers: vec![],
        heads: vec![],
        in_flight_bytes_max: 1 << 20,
    };
    sender.send(&ParentFrame::Welcome(welcome).encode()?).await?;
    sender.send(&ParentFrame::Registers(offers[1..].to_vec()).encode()?).await?;
    // It ends with the connection.
    tokio::spawn(async move { serve(&connection, &replies).await });
    Ok((sender, receiver))
}

/// Lets the child fetch what it was offered. The first stream that it opens ends without an answer.
async fn serve(connection: &Connection, replies: &[(RegisterOffer, RegisterReply)]) -> anyhow::Result<()> {
    drop(connection.accept_bi().await?);
    loop {
        let (mut sender, mut receiver) = connection.accept_bi().await?;
        let RegisterRequest { hash } = RegisterRequest::decode(&receiver.recv().await?.context("no request came")?)?;
        let (_, reply) = replies.iter().find(|(offer, _)| offer.hash == hash).context("it requests what it was not offered")?;
        sender.send(&reply.encode()?).await?;
        sender.finish()?;
    }
}
