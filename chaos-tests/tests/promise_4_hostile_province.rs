//! Promise 4: a province with valid keys makes every attack that it can on its districts. The centre refuses each attack for what it is,
//! keeps the evidence, blames no district, adopts the honest data, and names what is withheld. Then an honest province starts again,
//! and everything converges.

use std::{collections::BTreeSet, ops::Range, path::PathBuf, process::Stdio};

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum as _;
use kho_chaos_tests::{
    People, Stage,
    hostile::{Alarmed, Answer, Attack, Ending, HostileProvince, Kept},
    place::Place,
    play,
    stage::program,
    until,
};
use kho_local_tree::PlannedSite;
use kho_node::api::{AlarmKind, Finding, IndicatorAnswer, Review, StatusReport, StoodAt};
use kho_ops::client::IndicatorQuestion;
use kho_storage::ids::{OriginId, StreamSeq, Tier};

use crate::trees::{BIEN_HOA, CENTRE, District, LONG_KHANH, TAN_PHU, centre, district, id, nodes, plan};

const PROVINCE: u32 = 2;
/// Another province. An honest transfer comes by it, for the districts might send there too.
const STAND_IN: u32 = 6;
/// The centre holds the first of its batches. The province holds the others.
const PARTLY_DELIVERED: u32 = 3;
/// The same; the province carries it honestly, batch by batch, beside its attacks.
const HONEST: u32 = 4;
/// The centre holds nothing of it.
const UNDELIVERED: u32 = 5;
const DISTRICTS: [(u32, District); 3] = [(PARTLY_DELIVERED, BIEN_HOA), (HONEST, LONG_KHANH), (UNDELIVERED, TAN_PHU)];

/// Batches that the centre gets while the province is honest, and afterwards only the province.
const DELIVERED: u64 = 4;
const KEPT_BACK: u64 = 5;
const BATCH_ROWS: u64 = 60;
/// Every attack is followed by a batch of the honest stream.
const HONEST_BATCHES: u64 = 48;
/// What the bombs would take is far beyond it.
const MEMORY_GROWTH_MAX_KIB: u64 = 256 << 10;
/// Idle heads come every 5 seconds: a district so much older was withheld.
const OLD_SECONDS: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn promise_4_a_hostile_province_is_refused_and_what_it_withholds_shows() {
    let mut sites = vec![centre(1)];
    sites.extend([PROVINCE, STAND_IN].map(|site| PlannedSite::new(site, "Tỉnh", Tier::Province, &[CENTRE], 1)));
    sites.extend(DISTRICTS.iter().map(|(site, unit)| district(*site, unit, &[PROVINCE, STAND_IN], 1)));
    play(plan(sites), async |stage| {
        fill(stage).await?;
        let province = HostileProvince::open(&stage.tree.node_dir(id(PROVINCE), nodes(PROVINCE, 1)[0].1), None)?;
        let stand_in = HostileProvince::open(&stage.tree.node_dir(id(STAND_IN), nodes(STAND_IN, 1)[0].1), None)?;
        let mut centre = Centre::read(stage).await?;
        let memory = peak_memory_kib(stage)?;

        for attack in Attack::value_variants() {
            let origin = if needs_nothing_held(*attack) { UNDELIVERED } else { PARTLY_DELIVERED };
            let begun = match attack {
                Attack::ContinueOthersTransfer => {
                    give_up_transfer_of(stage, &province, OriginId(origin)).await?;
                    Some(stand_in.begin_honestly(province.honest_data(), OriginId(origin)).await?)
                }
                Attack::ReplaceOthersTransfer => Some(stand_in.begin_honestly(province.honest_data(), OriginId(origin)).await?),
                _ => None,
            };
            centre.withstands(stage, &province, *attack, origin).await.with_context(|| format!("the attack {}", attack.name()))?;
            if let Some(begun) = begun {
                let stands = stand_in.begin_honestly(province.honest_data(), OriginId(origin)).await?;
                ensure!(stands == begun, "{} moved the transfer of another carrier from {begun:?} to {stands:?}", attack.name());
            }
        }
        let grown = peak_memory_kib(stage)?.saturating_sub(memory);
        ensure!(grown < MEMORY_GROWTH_MAX_KIB, "the attacks made the centre take {} MiB more", grown >> 10);
        by_hand(stage, Attack::EditRow).await?;
        evidence_is_reviewed(stage).await?;
        withheld_shows(stage, &province).await?;
        // What was begun to stand in its way is no longer there once the stream has passed it.
        province.carry_honestly(OriginId(PARTLY_DELIVERED), usize::MAX).await?;
        drop(province);
        converges(stage).await
    })
    .await;
}

/// What the province began and left would hold up another carrier for ten minutes; an operator ends it.
async fn give_up_transfer_of(stage: &Stage, province: &HostileProvince, origin: OriginId) -> anyhow::Result<()> {
    // Only its own carrier may begin: so there is one, and it is the province's.
    province.begin_honestly(province.honest_data(), origin).await?;
    let urls = stage.tree.urls(id(CENTRE));
    stage.run_kho("operator", &["origin", "abandon-transfer", &origin.to_string()], &urls).await.map(drop)
}

/// These attack an origin of which the centre holds nothing: its first whole transfer.
fn needs_nothing_held(attack: Attack) -> bool {
    matches!(
        attack,
        Attack::TransferEditedRow
            | Attack::TransferMissingRow
            | Attack::TransferExtraRow
            | Attack::TransferWrongChain
            | Attack::TransferOutOfOrder
            | Attack::ContinueOthersTransfer
            | Attack::ReplaceOthersTransfer
    )
}

fn people((site, unit): &(u32, District)) -> People {
    People::new(if *site == HONEST { "honest" } else { unit.code }, unit.commune)
}

/// Fills the tree: the centre first holds some of two districts, then is away while more is entered; then the province stops.
async fn fill(stage: &mut Stage) -> anyhow::Result<()> {
    stage.tree.start().await?;
    let stand_in = nodes(STAND_IN, 1)[0];
    until("the stand-in has the register", async || Ok((stage.status(stand_in).await?.register_version > 0).then_some(()))).await?;
    stage.tree.process(stand_in.0, stand_in.1).context("it runs")?.stop()?;
    let (top, province) = (nodes(CENTRE, 1)[0], nodes(PROVINCE, 1)[0]);
    for delivered in &DISTRICTS[..2] {
        enter(stage, delivered, 0..DELIVERED).await?;
        stage.until_equal(delivered.0, DELIVERED * BATCH_ROWS, &[top, province, nodes(delivered.0, 1)[0]]).await?;
    }
    stage.kill(top)?;
    for more in &DISTRICTS {
        let (first, batches) = match more.0 {
            HONEST => (DELIVERED, HONEST_BATCHES),
            UNDELIVERED => (0, DELIVERED + KEPT_BACK),
            _ => (DELIVERED, KEPT_BACK),
        };
        enter(stage, more, first..first + batches).await?;
        stage.until_equal(more.0, (first + batches) * BATCH_ROWS, &[province, nodes(more.0, 1)[0]]).await?;
    }
    stage.tree.process(province.0, province.1).context("it runs")?.stop()?;
    stage.tree.start_node(top.0, top.1)?;
    stage.tree.wait_for_answer(top.0, top.1).await?;
    // A killed node answers before it has applied again what its log holds.
    for delivered in &DISTRICTS[..2] {
        stage.until_equal(delivered.0, DELIVERED * BATCH_ROWS, &[top]).await?;
    }
    Ok(())
}

/// Enters whole batches, each under a head of its own: the province adopts nothing without.
async fn enter(stage: &Stage, district: &(u32, District), batches: Range<u64>) -> anyhow::Result<()> {
    let client = stage.tree.client(&stage.tree.urls(id(district.0)), &format!("client-{}", district.0))?;
    for batch in batches {
        let accepted = client.enter(people(district).batch(batch * BATCH_ROWS..(batch + 1) * BATCH_ROWS)).await?;
        until("the province holds the batch", async || {
            Ok((stage.stream(nodes(PROVINCE, 1)[0], district.0).await?.seq >= accepted.seq).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// The centre as it was before the next attack.
struct Centre {
    at: Place,
    state: CentreState,
    /// Where the stream stands that the province carries honestly.
    honest_seq: u64,
}

/// What no attack may change.
#[derive(Debug, Clone, PartialEq)]
struct CentreState {
    /// Origin, sequence, rows, digest, and whether it is stopped.
    streams: Vec<(u32, u64, u64, String, bool)>,
    persons: Option<f64>,
}

impl Centre {
    async fn read(stage: &Stage) -> anyhow::Result<Self> {
        let at = nodes(CENTRE, 1)[0];
        let honest_seq = stage.stream(at, HONEST).await?.seq;
        Ok(Self { at, state: centre_state(stage).await?, honest_seq })
    }

    /// Carries out one attack and checks all results that it must have, and those that it must not have.
    async fn withstands(&mut self, stage: &Stage, province: &HostileProvince, attack: Attack, origin: u32) -> anyhow::Result<()> {
        let (states, files) = (kept_in_state(stage, origin).await?, kept_as_files(stage)?.len());
        let answer = province.perform(attack, OriginId(origin)).await?;
        ensure!(Ending::of(&answer) == attack.ending(), "it was answered with {answer:?}, and not with {:?}", attack.ending());

        let after = centre_state(stage).await?;
        ensure!(after == self.state, "it changed what the centre holds:\n{:?}\n{after:?}", self.state);
        true_at_the_centre(stage).await?;
        let (new_states, new_files) = (kept_in_state(stage, origin).await? - states, kept_as_files(stage)?.len() - files);
        let expected = match attack.kept() {
            Kept::Nowhere => (0, 0),
            // Attacks on rows end in the same honest segment: it is kept once.
            Kept::InState if needs_nothing_held(attack) => (usize::from(states == 0), 0),
            Kept::InState => (1, 0),
            Kept::AsFile => (0, 1),
        };
        ensure!(
            (new_states, new_files) == expected,
            "{new_states} pieces of evidence were kept in the state and {new_files} as files, not {expected:?}"
        );
        alarmed(stage, self.at, &answer, attack, origin).await?;

        // Other origins go on, by the same carrier.
        province.carry_honestly(OriginId(HONEST), 1).await?;
        let honest = stage.stream(self.at, HONEST).await?.seq;
        ensure!(honest == self.honest_seq + 1, "the honest stream stands at {honest}, and not at {}", self.honest_seq + 1);
        (self.honest_seq, self.state) = (honest, centre_state(stage).await?);
        Ok(())
    }
}

/// The alarm says what this attack was, of the origin with its carrier, or of the carrier itself: one that stands from another attack says
/// something else. Nobody says that a district has two histories.
async fn alarmed(stage: &Stage, centre: Place, answer: &Answer, attack: Attack, origin: u32) -> anyhow::Result<()> {
    // Whether the alarm is of the origin or of the carrier, and what it says.
    let (of_origin, reason_sent) = match (attack.alarmed(), answer) {
        (Alarmed::Origin, Answer::Refused(refusal)) => (true, Some(refusal.to_string())),
        (Alarmed::Carrier, Answer::Misbehaved(reason)) => (false, reason.clone()),
        (Alarmed::Nobody, _) => return nobody_is_blamed(&stage.status(centre).await?),
        (_, answer) => bail!("an alarm should name {answer:?}"),
    };
    let status = until("the alarm names it", async || {
        let status = stage.status(centre).await?;
        let reason = |kind: &AlarmKind| if of_origin { refused_of(kind, origin) } else { misbehaved(kind) };
        let mut reasons = status.alarms.iter().filter_map(|alarm| reason(&alarm.kind));
        let names_it = reasons.any(|reason| reason_sent.as_ref().is_none_or(|sent| reason.contains(sent)));
        Ok(names_it.then_some(status))
    })
    .await
    .with_context(|| format!("an alarm should name {reason_sent:?}"))?;
    nobody_is_blamed(&status)
}

/// Why a segment of `origin` that the province carried was refused.
fn refused_of(kind: &AlarmKind, origin: u32) -> Option<String> {
    match kind {
        AlarmKind::SegmentRefused { origin: refused, carrier: PROVINCE, reason } if *refused == origin => Some(reason.detail.clone()),
        _ => None,
    }
}

/// How the province broke the protocol.
fn misbehaved(kind: &AlarmKind) -> Option<String> {
    match kind {
        AlarmKind::ChildMisbehaved { child: PROVINCE, reason } => Some(reason.detail.clone()),
        _ => None,
    }
}

fn nobody_is_blamed(status: &StatusReport) -> anyhow::Result<()> {
    let forked = |kind: &AlarmKind| matches!(kind, AlarmKind::SegmentRefused { reason, .. } if reason.code == "forked");
    let blamed = status.alarms.iter().find(|alarm| forked(&alarm.kind));
    ensure!(blamed.is_none(), "a district is blamed: {blamed:?}");
    Ok(())
}

async fn centre_state(stage: &Stage) -> anyhow::Result<CentreState> {
    let status = stage.status(nodes(CENTRE, 1)[0]).await?;
    let streams = status.streams.iter().filter(|stream| stream.seq > 0);
    let streams =
        streams.map(|stream| (stream.origin, stream.seq, stream.rows, stream.digest.clone(), stream.state.is_stopped())).collect();
    let answer = population(stage).await?;
    Ok(CentreState { streams, persons: answer.rows.first().and_then(|row| row.values.first().copied().flatten()) })
}

async fn population(stage: &Stage) -> anyhow::Result<IndicatorAnswer> {
    Ok(stage.tree.operator(id(CENTRE))?.indicator("population", &IndicatorQuestion::default()).await?)
}

/// Rows, digests and cubes of the centre, recomputed from its disk, are what the districts themselves say.
async fn true_at_the_centre(stage: &Stage) -> anyhow::Result<()> {
    let centre = stage.tree.operator(id(CENTRE))?;
    for (site, _) in &DISTRICTS {
        let origin = OriginId(*site);
        let Some(proof) = centre.proof(origin, |_, _| {}).await? else { continue };
        ensure!(proof.holds(), "what the centre holds of origin {origin} does not agree with itself: {proof:?}");
        if proof.seq == StreamSeq(0) {
            continue;
        }
        let honest_data: StoodAt =
            stage.tree.operator(id(*site))?.stood_at(origin, proof.seq).await?.context("the district keeps all of its batches")?;
        let held = (proof.chain.to_string(), proof.digest.to_string(), proof.rows);
        ensure!(
            held == (honest_data.chain.clone(), honest_data.digest.clone(), honest_data.rows),
            "the centre holds {held:?} of origin {origin}, the district {honest_data:?}"
        );
    }
    Ok(())
}

async fn kept_in_state(stage: &Stage, origin: u32) -> anyhow::Result<usize> {
    let kept = stage.tree.operator(id(CENTRE))?.evidence().await?;
    Ok(kept.iter().filter(|evidence| evidence.origin == origin).count())
}

fn kept_as_files(stage: &Stage) -> anyhow::Result<Vec<PathBuf>> {
    let (site, node) = nodes(CENTRE, 1)[0];
    let folder = stage.tree.node_dir(site, node).join("data").join("evidence");
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(error.into()),
    }
}

/// The most memory that the centre's process ever held.
fn peak_memory_kib(stage: &mut Stage) -> anyhow::Result<u64> {
    let (site, node) = nodes(CENTRE, 1)[0];
    let process = stage.tree.process(site, node).and_then(|process| process.id()).context("the centre runs")?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel shows no peak")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}

/// The command does the same by hand, and `kho fork list` shows what was kept.
async fn by_hand(stage: &Stage, attack: Attack) -> anyhow::Result<()> {
    let (site, node) = nodes(PROVINCE, 1)[0];
    let mut command = tokio::process::Command::new(program("kho-hostile-province")?);
    command
        .arg(stage.tree.node_dir(site, node))
        .args(["--attack", &attack.name(), "--origin", &PARTLY_DELIVERED.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await?;
    let printed = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "`kho-hostile-province` ended with {}: {printed}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(printed.contains(&attack.name()) && printed.contains("BadChain"), "it printed: {printed}");

    let listed = stage.kho("operator", ["fork", "list", "--json"], &stage.tree.urls(id(CENTRE))).output().await?;
    ensure!(listed.status.code() == Some(1), "`kho fork list` ends with 1 when there is evidence, not with {}", listed.status);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout)?;
    let whys: Vec<&str> =
        listed["evidence"].as_array().context("a list")?.iter().filter_map(|evidence| evidence["why"]["detail"].as_str()).collect();
    for why in [
        "do not lead to the head's chain hash",
        "batches that are held were altered",
        "the rows of a transfer",
        "the batches of a transfer",
    ] {
        ensure!(whys.iter().any(|kept| kept.contains(why)), "nothing in `kho fork list` says {why:?}: {whys:?}");
    }
    Ok(())
}

/// An operator examines what was kept: all of it stays, and no longer counts as a finding to be looked at.
async fn evidence_is_reviewed(stage: &Stage) -> anyhow::Result<()> {
    let urls = stage.tree.urls(id(CENTRE));
    let kept = stage.tree.operator(id(CENTRE))?.evidence().await?;
    let origins: BTreeSet<u32> = kept.iter().map(|evidence| evidence.origin).collect();
    let unseen = async || {
        let findings = stage.status(nodes(CENTRE, 1)[0]).await?.findings;
        anyhow::Ok(findings.iter().filter(|finding| matches!(finding, Finding::EvidenceKept { .. })).count())
    };
    ensure!(unseen().await? == origins.len(), "each of {origins:?} calls for an operator");
    for origin in &origins {
        let number = origin.to_string();
        let order = ["fork", "review", &number, "--reason", "a hostile province", "--dry-run"];
        let told = stage.run_kho("operator", &order, &urls).await?;
        ensure!(told.contains("would count as reviewed"), "{told}");
    }
    ensure!(unseen().await? == origins.len(), "a dry run changed something");
    for origin in &origins {
        stage.run_kho("operator", &["fork", "review", &origin.to_string(), "--reason", "a hostile province"], &urls).await?;
    }
    ensure!(unseen().await? == 0, "all of it was reviewed");
    stage.run_kho("operator", &["fork", "list"], &urls).await.context("nothing is left to be looked at")?;
    let still = stage.tree.operator(id(CENTRE))?.evidence().await?;
    let by = |reason: &Option<Review>| reason.as_ref().is_some_and(|review| review.reason == "a hostile province");
    ensure!(still.len() == kept.len() && still.iter().all(|evidence| by(&evidence.review)), "{still:?}");
    Ok(())
}

/// What the province does not pass on, it can't hide: the district whose data it withholds is named as the oldest, the one of which
/// nothing ever came as missing.
async fn withheld_shows(stage: &Stage, province: &HostileProvince) -> anyhow::Result<()> {
    province.carry_honestly(OriginId(HONEST), usize::MAX).await?;
    let answer = until("the answer says that the withheld district is old", async || {
        // Serving the old head again and again makes it no younger.
        province.perform(Attack::WithholdNewest, OriginId(PARTLY_DELIVERED)).await?;
        let answer = population(stage).await?;
        let old = answer.completeness.oldest.as_ref().is_some_and(|oldest| oldest.age_seconds >= OLD_SECONDS);
        Ok(old.then_some(answer))
    })
    .await?;
    let completeness = answer.completeness;
    let oldest = completeness.oldest.clone().expect("it was just seen");
    ensure!(
        oldest.site == PARTLY_DELIVERED && completeness.complete_up_to.as_ref() == Some(&oldest.up_to),
        "the oldest is {oldest:?}: {:?}",
        completeness.complete_up_to
    );
    let missing: Vec<u32> = completeness.missing.iter().map(|missing| missing.site).collect();
    ensure!(missing == [UNDELIVERED] && (completeness.included, completeness.expected) == (2, 3), "{:?}", completeness.missing);
    Ok(())
}

/// The honest province starts again on its own data.
async fn converges(stage: &mut Stage) -> anyhow::Result<()> {
    let province = nodes(PROVINCE, 1)[0];
    stage.tree.start_node(province.0, province.1)?;
    stage.tree.wait_for_answer(province.0, province.1).await?;
    // Their pauses between dials have grown long meanwhile.
    for (district, node) in DISTRICTS.iter().map(|(site, _)| nodes(*site, 1)[0]) {
        stage.kill((district, node))?;
        stage.tree.start_node(district, node)?;
        stage.tree.wait_for_answer(district, node).await?;
    }
    let everywhere: Vec<Place> =
        [CENTRE, PROVINCE].into_iter().chain(DISTRICTS.iter().map(|(site, _)| *site)).map(|site| nodes(site, 1)[0]).collect();
    for district in &DISTRICTS {
        let batches = if district.0 == HONEST { DELIVERED + HONEST_BATCHES } else { DELIVERED + KEPT_BACK };
        let (rows, holders) = (batches * BATCH_ROWS, [everywhere[0], province, nodes(district.0, 1)[0]]);
        stage.until_equal(district.0, rows, &holders).await?;
        // No stream is stuck: what is entered now arrives.
        enter(stage, district, batches..batches + 1).await?;
        stage.until_equal(district.0, rows + BATCH_ROWS, &holders).await?;
        let status = stage.status(everywhere[0]).await?;
        if let Some(alarm) = status.alarms.iter().find(|alarm| refused_of(&alarm.kind, district.0).is_some()) {
            bail!("the stream goes on, its alarm does not end: {alarm:?}");
        }
    }
    stage.verify(&everywhere).await
}
