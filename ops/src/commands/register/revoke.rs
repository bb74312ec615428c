//! Revoking in a register's text: a certificate's identity, and with it the signing key of a node. Every other line stays as it is.

use std::{ops::Range, str::FromStr};

use kho_replication::identity::{PeerIdentity, Role};
use kho_storage::{
    ids::{NodeId, OriginId, SiteId, SiteTime, StreamSeq},
    register::{Register, Revocation, RevokedIdentity},
};

use super::draft;
use crate::failure::Failure;

/// What is revoked.
#[derive(Debug, Clone)]
pub struct Revoking {
    pub identity: PeerIdentity,
    pub issued_before: SiteTime,
    /// For a node: how far what its signing key vouched for stays good. Empty: the signing key is not revoked.
    pub last_good: Vec<LastGood>,
}

/// The last batch of an origin that a revoked signing key may vouch for, written `ORIGIN=EPOCH/BATCH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastGood(Revocation);

impl FromStr for LastGood {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "give ORIGIN=EPOCH/BATCH, as `kho node remove` printed it, as in 340=1/1200".to_owned();
        let (origin, place) = text.split_once('=').ok_or_else(wanted)?;
        let (epoch, batch) = place.split_once('/').ok_or_else(wanted)?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| wanted());
        Ok(Self(Revocation {
            origin: OriginId(origin.parse().map_err(|_| wanted())?),
            last_good_epoch: epoch.parse().map_err(|_| wanted())?,
            last_good_seq: StreamSeq(number(batch)?),
        }))
    }
}

/// The draft with the revocation in it.
///
/// # Errors
/// When it does not fit the register, or the draft is not written in blocks.
pub fn revoke(text: &str, revoking: &Revoking) -> Result<String, Failure> {
    let after = with_revoked(draft::read(text)?, revoking)?;
    let mut written = match revoking.identity.node() {
        Some((site, node)) if !revoking.last_good.is_empty() => {
            let at = end_of_node(text, site, node).ok_or_else(not_in_blocks)?;
            let list: Vec<String> = revoking.last_good.iter().map(inline).collect();
            format!("{}{}revoked = [{}]\n{}", &text[..at], newline_after(&text[..at]), list.join(", "), &text[at..])
        }
        _ => text.to_owned(),
    };
    let line = format!("issued_before = \"{}\"\n", revoking.issued_before.to_rfc3339());
    match time_of_identity(&written, &revoking.identity.to_string()) {
        Some(range) => written.replace_range(range, &line),
        None => {
            let gap = newline_after(&written);
            written = format!("{written}{gap}\n[[revoked_identities]]\nidentity = \"{}\"\n{line}", revoking.identity);
        }
    }
    // The text was put together by lines; only what reads back as meant is given out.
    match draft::read(&written) {
        Ok(register) if register == after => Ok(written),
        _ => Err(not_in_blocks()),
    }
}

fn with_revoked(mut register: Register, revoking: &Revoking) -> Result<Register, Failure> {
    let Revoking { identity, issued_before, last_good } = revoking;
    // To the second, as it is written.
    let issued_before = SiteTime(issued_before.0.div_euclid(1_000) * 1_000);
    if identity.tree() != register.tree {
        return Err(Failure::refused(format!("{identity} is not of tree `{}`", register.tree), "compare the name with `kho pki show`"));
    }
    if *identity.role() == Role::Authority {
        return Err(Failure::refused("the root of a tree can't be revoked by its register", "make a new tree with `kho pki init`"));
    }
    if !last_good.is_empty() {
        let Some((site, node)) = identity.node() else {
            return Err(Failure::usage(format!("{identity} has no signing key"), "leave --last-good out"));
        };
        let mut entries = register.sites.iter_mut().filter(|entry| entry.site == site).flat_map(|entry| &mut entry.nodes);
        match entries.find(|entry| entry.node == node) {
            None => return Err(Failure::refused(format!("the register has no node {node} of site {site}"), "leave --last-good out")),
            Some(entry) if !entry.revoked.is_empty() => {
                return Err(Failure::refused(
                    format!("the signing key of node {node} of site {site} is revoked already"),
                    "edit `revoked` of its block, or leave --last-good out",
                ));
            }
            Some(entry) => entry.revoked = last_good.iter().map(|LastGood(place)| place.clone()).collect(),
        }
    }
    let name = identity.to_string();
    match register.revoked_identities.iter_mut().find(|entry| entry.identity == name) {
        Some(entry) if entry.issued_before >= issued_before => Err(Failure::refused(
            format!("{name} is revoked already for certificates issued before {}", entry.issued_before.to_rfc3339()),
            "give a later --issued-before",
        )),
        Some(entry) => {
            entry.issued_before = issued_before;
            Ok(register)
        }
        None => {
            register.revoked_identities.push(RevokedIdentity { identity: name, issued_before });
            Ok(register)
        }
    }
}

fn not_in_blocks() -> Failure {
    Failure::refused(
        "the place of the revocation in the register's text can't be determined",
        "write nodes as [[sites.nodes]] and revoked identities as [[revoked_identities]] blocks, as `kho register new` does",
    )
}

fn inline(LastGood(place): &LastGood) -> String {
    let Revocation { origin, last_good_epoch, last_good_seq } = place;
    format!("{{ origin = {origin}, last_good_epoch = {last_good_epoch}, last_good_seq = {last_good_seq} }}")
}

fn newline_after(text: &str) -> &'static str {
    if text.is_empty() || text.ends_with('\n') { "" } else { "\n" }
}

/// A line of the text with content: its place, the block in which it stands, name and value.
struct Line<'t> {
    at: Range<usize>,
    block: &'t str,
    name: &'t str,
    value: &'t str,
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let (mut at, mut block) = (0, "");
    text.split_inclusive('\n').filter_map(move |line| {
        let start = at;
        at += line.len();
        let content = line.trim();
        if content.starts_with('[') && content.split('#').next().unwrap_or_default().trim().ends_with(']') && !content.contains('=') {
            block = content.split('#').next().unwrap_or_default().trim();
            return Some(Line { at: start..at, block, name: "", value: "" });
        }
        let (name, value) = content.split_once('=').filter(|_| !content.starts_with('#'))?;
        Some(Line { at: start..at, block, name: name.trim(), value: value.split('#').next().unwrap_or_default().trim() })
    })
}

/// Where the last line with content of a node's block ends.
fn end_of_node(text: &str, site: SiteId, node: NodeId) -> Option<usize> {
    let (mut in_site, mut in_node, mut end) = (false, false, None);
    for line in lines(text) {
        match (line.block, line.name) {
            ("[[sites]]", "") => (in_site, in_node) = (false, false),
            ("[[sites]]", "site") => in_site = line.value == site.to_string(),
            (_, "") => in_node = false,
            ("[[sites.nodes]]", "node") => in_node = in_site && line.value == node.to_string(),
            _ => {}
        }
        if in_node {
            end = Some(line.at.end);
        }
    }
    end
}

/// The line with the time of a revoked identity.
fn time_of_identity(text: &str, identity: &str) -> Option<Range<usize>> {
    let mut in_block = false;
    for line in lines(text).filter(|line| line.block == "[[revoked_identities]]") {
        match line.name {
            "identity" => in_block = line.value.trim_matches('"') == identity,
            "issued_before" if in_block => return Some(line.at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: SiteTime = SiteTime(1_764_244_800_000);
    const DRAFT: &str = "tree = \"vn\"\nversion = 3\n\n[[sites]]\nsite = 1 # the centre\nname = \"Centre # 1\"\ntier = \"central\"\n\n[[sites.nodes]]\nnode = 1\nsigning_key = { algorithm = \"ed25519\", bytes = \"00\" }\nencryption_key = \"abababababababababababababababababababababababababababababababab\"\n\n# Replaced.\n[[sites.nodes]]\nnode = 2\nsigning_key = { algorithm = \"ed25519\", bytes = \"01\" } # lost\nencryption_key = \"abababababababababababababababababababababababababababababababab\"\n\n# Origins.\n[[origins]]\norigin = 1\nauthor = 1";

    fn revoking(identity: &str, last_good: &[&str]) -> Revoking {
        let last_good = last_good.iter().map(|text| text.parse().expect("well formed")).collect();
        Revoking { identity: identity.parse().expect("well formed"), issued_before: AT, last_good }
    }

    #[test]
    fn revoking_keeps_every_other_line_and_changes_nothing_else() {
        let text = revoke(DRAFT, &revoking("kho://vn/site/1/node/2", &["1=1/1200", "7=2/5"])).expect("fits");
        let text = revoke(&text, &revoking("kho://vn/site/1/client/an", &[])).expect("fits");
        let mut rest = text.lines();
        assert!(DRAFT.lines().filter(|line| !line.is_empty()).all(|line| rest.any(|after| after == line)), "{text}");
        let register = draft::read(&text).expect("reads");
        assert!(register.sites[0].nodes[0].revoked.is_empty(), "another node's key");
        let places: Vec<_> =
            register.sites[0].nodes[1].revoked.iter().map(|r| (r.origin.0, r.last_good_epoch, r.last_good_seq.0)).collect();
        assert_eq!(places, [(1, 1, 1200), (7, 2, 5)]);
        let revoked: Vec<_> = register.revoked_identities.iter().map(|entry| (entry.identity.as_str(), entry.issued_before)).collect();
        assert_eq!(revoked, [("kho://vn/site/1/node/2", AT), ("kho://vn/site/1/client/an", AT)]);
        assert_eq!(register.check(), Ok(()));
    }

    #[test]
    fn a_later_time_takes_the_place_of_the_earlier_one_and_never_the_other_way_round() {
        let once = revoke(DRAFT, &revoking("kho://vn/operator/an", &[])).expect("fits");
        assert!(revoke(&once, &revoking("kho://vn/operator/an", &[])).expect_err("nothing new").message.contains("already"));
        let later = Revoking { issued_before: SiteTime(AT.0 + 60_500), ..revoking("kho://vn/operator/an", &[]) };
        let twice = revoke(&once, &later).expect("later");
        let register = draft::read(&twice).expect("reads");
        assert_eq!(register.revoked_identities.len(), 1);
        assert_eq!(register.revoked_identities[0].issued_before, SiteTime(AT.0 + 60_000));
        assert!(revoke(&twice, &revoking("kho://vn/operator/an", &[])).is_err(), "a revocation is not taken back");
    }

    #[test]
    fn a_revocation_that_does_not_fit_is_refused() {
        for (identity, last_good, why) in [
            ("kho://test/operator/an", &[][..], "tree"),
            ("kho://vn/ca", &[], "root"),
            ("kho://vn/operator/an", &["1=1/1"], "no signing key"),
            ("kho://vn/site/1/node/9", &["1=1/1"], "no node 9"),
        ] {
            let refused = revoke(DRAFT, &revoking(identity, last_good)).expect_err("does not fit");
            assert!(refused.message.contains(why), "{refused}");
        }
        for text in ["", "1", "1=1", "a=1/1", "1=1/", "1=1/1/1"] {
            assert!(text.parse::<LastGood>().is_err(), "{text}");
        }
    }
}
