//! What stands in the data and calls for an operator, read from the data each time that status is made.

mod neighbours;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use kho_storage::{
    error::StorageError,
    ids::{NodeId, OriginId, SiteTime},
    signature::PublicKey,
    stream::HEAD_AHEAD_MS_MAX,
    warehouse::{ReadView, Warehouse},
};

use crate::{
    api::{Finding, Reason},
    failed_proofs::FailedProofs,
    reasons,
};

pub use neighbours::{still_children, two_voters};

/// Folder of the refused bytes that never came to the site's log.
pub const REFUSED_BYTES_FOLDER: &str = "evidence";

/// Everything that stands: stopped origins, watermarks of the future, own origins that were set back, nodes whose disks were or that
/// diverged (of `members`, each with its disk), failed proofs, evidence in the state, reviewed or not, refused bytes as files.
///
/// # Errors
/// A fault of the local disk.
pub fn findings(
    reading: &ReadView<'_>,
    members: &BTreeSet<(NodeId, u64)>,
    failed_proofs: &FailedProofs,
    data_dir: &Path,
    now: SiteTime,
) -> Result<Vec<Finding>, StorageError> {
    let mut findings = Vec::new();
    for (origin, state) in reading.origins()? {
        if let Some(stopped) = &state.stopped {
            let reason: Reason = reasons::stopped(stopped);
            findings.push(Finding::OriginStopped { origin: origin.0, seq: stopped.seq.0, reason });
        }
        if state.watermark.0.saturating_sub(now.0) > HEAD_AHEAD_MS_MAX {
            findings.push(Finding::WatermarkAhead { origin: origin.0, up_to: state.watermark.to_rfc3339() });
        }
    }
    for (origin, noted) in reading.set_backs()? {
        let (shown_seq, seq) = (noted.furthest.head.seq.0, noted.stood.previous().0);
        let (shown_by, wanted_from) = (reasons::shown_by(noted.shown_by), noted.agreed.next().0);
        findings.push(Finding::SiteSetBack { origin: origin.0, shown_by, shown_seq, seq, wanted_from });
    }
    for (node, disk) in reading.turned_back()? {
        if members.contains(&(node, disk)) {
            findings.push(Finding::NodeTurnedBack { node: node.0 });
        }
    }
    for (node, disk, place) in reading.diverged()? {
        if members.contains(&(node, disk)) {
            findings.push(Finding::NodeDiverged { node: node.0, place: reasons::diverged_place(place) });
        }
    }
    findings.extend(failed_proofs.findings());
    findings.extend(evidence(reading)?);
    findings.extend(refused_bytes(data_dir));
    Ok(findings)
}

/// The evidence of each origin: what nobody has reviewed, and what was.
fn evidence(reading: &ReadView<'_>) -> Result<Vec<Finding>, StorageError> {
    let reviews = reading.evidence_reviews()?;
    let mut found: BTreeMap<OriginId, (Option<(u64, u64)>, u64)> = BTreeMap::new();
    for (origin, seq, hash) in reading.evidence_places()? {
        let (unseen, reviewed) = found.entry(origin).or_default();
        if reviews.get(&origin).is_some_and(|review| review.pieces.contains(&(seq, hash))) {
            *reviewed += 1;
        } else {
            unseen.get_or_insert((0, seq.0)).0 += 1;
        }
    }
    let mut findings = Vec::new();
    for (origin, (unseen, pieces)) in found {
        findings.extend(unseen.map(|(pieces, first_seq)| Finding::EvidenceKept { origin: origin.0, pieces, first_seq }));
        if let Some(review) = reviews.get(&origin).filter(|_| pieces > 0) {
            let (by, reviewed_at) = (review.by.clone(), review.reviewed_at.to_rfc3339());
            findings.push(Finding::EvidenceReviewed { origin: origin.0, pieces, by, reviewed_at });
        }
    }
    Ok(findings)
}

/// Whether the key that the configuration pins still signs registers. Nothing rests on it but the founding of an empty site.
pub fn pinned_key(warehouse: &Warehouse) -> Option<Finding> {
    let (pinned, trusted) = (warehouse.register_key(), warehouse.trusted_roots()?);
    let keys: Vec<String> = trusted.next.keys().map(PublicKey::to_hex).collect();
    (!trusted.next.names(pinned)).then(|| Finding::PinnedKeyRetired { pinned: pinned.to_hex(), trusted: keys.join(", ") })
}

fn refused_bytes(data_dir: &Path) -> Option<Finding> {
    let folder = data_dir.join(REFUSED_BYTES_FOLDER);
    let sizes: Vec<u64> = std::fs::read_dir(&folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|file| file.len())
        .collect();
    (!sizes.is_empty()).then(|| Finding::RefusedBytesKept {
        folder: folder.display().to_string(),
        files: sizes.len() as u64,
        bytes: sizes.iter().sum(),
    })
}

#[cfg(test)]
mod tests;
