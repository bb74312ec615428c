//! What really happened: every batch that an author's site ever committed, by chain hash, and what was acknowledged to whom.
//!
//! A chain hash names one history up to one batch, so that "the same history" is a walk along `before`. Nothing here is taken
//! from an adopter: the ledger is what adopters are compared with.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kho_storage::{
    ids::{Epoch, Hash32, OriginId, SiteId, SiteTime, StreamSeq},
    stream::{Batch, chain_start},
};

use crate::tree;

/// One batch in an origin's chain of hashes, and the state of the author's site after it.
#[derive(Debug)]
pub struct ChainLink {
    pub seq: StreamSeq,
    /// Chain hash before the batch.
    pub before: Hash32,
    /// Digest and rows after it, as the author's site computed them.
    pub digest: Hash32,
    pub rows: u64,
    pub batch: Batch,
}

/// Where a request was acknowledged to its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    pub epoch: Epoch,
    pub seq: StreamSeq,
}

/// An alarm that an operator sees and that concerns two histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HistoryAlarm {
    /// A site found itself behind its parent.
    SetBack,
    /// A history was refused, here or by the parent.
    Refused,
}

#[derive(Default)]
pub struct Ledger {
    chain_links: HashMap<(OriginId, Hash32), ChainLink>,
    /// Chains that ended at a sequence, by origin: more than one are more than one history.
    at: BTreeMap<(OriginId, StreamSeq), Vec<Hash32>>,
    acknowledged: BTreeMap<(OriginId, String), Acknowledged>,
    /// Where each site stood with each origin: the newest tip of every stretch between two set-backs of its disks.
    stood: BTreeMap<(SiteId, OriginId), Vec<Hash32>>,
    alarms: BTreeSet<(OriginId, HistoryAlarm)>,
    /// Hashes of the segments that each site keeps as evidence.
    evidence: BTreeMap<(SiteId, OriginId), BTreeSet<Hash32>>,
    /// The chains of heads by which an author's site knows that it was set back.
    words: BTreeMap<OriginId, Vec<Hash32>>,
    /// Sites whose disks were rolled back.
    pub rolled_back: BTreeSet<SiteId>,
    /// Sites where an operator confirmed a time of the future: they stamp it until it is taken back.
    pub misled: BTreeSet<SiteId>,
}

/// Where the chain of an origin's one epoch starts.
pub fn start(origin: OriginId) -> Hash32 {
    chain_start(origin, Epoch::first(tree::TREE, origin))
}

impl Ledger {
    /// Records a batch that the author's site committed. Returns whether it forks the origin.
    ///
    /// # Errors
    /// When the same batch came to something else before.
    pub fn committed(&mut self, origin: OriginId, chain: Hash32, chain_link: ChainLink) -> Result<bool, String> {
        if let Some(known) = self.chain_links.get(&(origin, chain)) {
            let same = (known.seq, known.before, known.digest, known.rows)
                == (chain_link.seq, chain_link.before, chain_link.digest, chain_link.rows);
            return if same {
                Ok(false)
            } else {
                Err(format!("batch {} of origin {origin} came to another digest when it was applied again", chain_link.seq))
            };
        }
        let ends = self.at.entry((origin, chain_link.seq)).or_default();
        ends.push(chain);
        let forks = ends.len() > 1;
        self.chain_links.insert((origin, chain), chain_link);
        Ok(forks)
    }

    pub fn chain_link(&self, origin: OriginId, chain: Hash32) -> Option<&ChainLink> {
        self.chain_links.get(&(origin, chain))
    }

    /// Sequence of the last batch of a history.
    pub fn seq(&self, origin: OriginId, chain: Hash32) -> Option<StreamSeq> {
        if chain == start(origin) { Some(StreamSeq(0)) } else { self.chain_link(origin, chain).map(|chain_link| chain_link.seq) }
    }

    /// Batches of a history, newest first.
    pub fn history(&self, origin: OriginId, mut chain: Hash32) -> impl Iterator<Item = (Hash32, &ChainLink)> {
        std::iter::from_fn(move || {
            let chain_link = self.chain_link(origin, chain)?;
            let at = std::mem::replace(&mut chain, chain_link.before);
            Some((at, chain_link))
        })
    }

    /// The chain hash at which the history that ends in `chain` stood after batch `seq`; none when it is shorter.
    pub fn ancestor(&self, origin: OriginId, chain: Hash32, seq: StreamSeq) -> Option<Hash32> {
        let mut at = chain;
        while self.seq(origin, at)? > seq {
            at = self.chain_link(origin, at)?.before;
        }
        (self.seq(origin, at)? == seq).then_some(at)
    }

    /// Whether the history that ends in `later` goes on from the one that ends in `earlier`.
    pub fn goes_on(&self, origin: OriginId, earlier: Hash32, later: Hash32) -> bool {
        self.seq(origin, earlier).is_some_and(|seq| self.ancestor(origin, later, seq) == Some(earlier))
    }

    /// Records an answer to a client.
    ///
    /// # Errors
    /// When the same request was answered with another place before.
    pub fn acknowledge(&mut self, origin: OriginId, key: &str, place: Acknowledged) -> Result<(), String> {
        match self.acknowledged.insert((origin, key.into()), place) {
            Some(before) if before != place => {
                Err(format!("request {key} was acknowledged as batch {}, then as batch {}", before.seq, place.seq))
            }
            _ => Ok(()),
        }
    }

    /// Removes what was acknowledged to an author's clients before its disks were rolled back, and returns it: it may be lost.
    pub fn forget_acknowledged(&mut self, origin: OriginId) -> Vec<(String, Acknowledged)> {
        let gone: Vec<_> = self.acknowledged.keys().filter(|(of, _)| *of == origin).cloned().collect();
        gone.into_iter().filter_map(|key| self.acknowledged.remove(&key).map(|place| (key.1, place))).collect()
    }

    pub fn acknowledged(&self, origin: OriginId) -> impl Iterator<Item = (&str, Acknowledged)> {
        self.acknowledged.iter().filter(move |((of, _), _)| *of == origin).map(|((_, key), place)| (key.as_str(), *place))
    }

    /// A site stands at `chain` now. After a set-back a new stretch begins.
    pub fn stands(&mut self, site: SiteId, origin: OriginId, chain: Hash32, set_back: bool) {
        let stretches = self.stood.entry((site, origin)).or_default();
        if set_back || stretches.is_empty() {
            stretches.push(chain);
        } else if let Some(newest) = stretches.last_mut() {
            *newest = chain;
        }
    }

    /// Whether `site` ever committed the history up to `chain`.
    pub fn ever_held(&self, site: SiteId, origin: OriginId, chain: Hash32) -> bool {
        chain == start(origin) || self.stood.get(&(site, origin)).into_iter().flatten().any(|tip| self.goes_on(origin, chain, *tip))
    }

    /// Records the evidence that a site keeps of an origin now.
    ///
    /// # Errors
    /// When something of it is gone.
    pub fn keeps(&mut self, site: SiteId, origin: OriginId, kept: BTreeSet<Hash32>) -> Result<(), String> {
        let before = self.evidence.insert((site, origin), kept.clone()).unwrap_or_default();
        if before.is_subset(&kept) { Ok(()) } else { Err(format!("promise 6: evidence of origin {origin} was overwritten")) }
    }

    /// A site took an origin out, with the evidence of it.
    pub fn discards(&mut self, site: SiteId, origin: OriginId) {
        self.stands(site, origin, start(origin), true);
        self.evidence.remove(&(site, origin));
    }

    /// A site's disks came back older. The evidence that it kept since then is gone.
    pub fn set_back(&mut self, site: SiteId) {
        if self.rolled_back.insert(site) {
            // Earlier alarms about its stream can't have been about this.
            self.alarms.retain(|(origin, _)| origin.0 != site.0);
        }
        self.evidence.retain(|(at, _), _| *at != site);
        self.words.remove(&OriginId(site.0));
    }

    /// The site that authors `origin` committed that it stood at `chain` once.
    pub fn word_came(&mut self, origin: OriginId, chain: Hash32) {
        self.words.entry(origin).or_default().push(chain);
    }

    /// Whether a batch that ends at `chain` lies in every history that its author was shown.
    pub fn is_in_every_shown_history(&self, origin: OriginId, chain: Hash32) -> bool {
        let shown = self.words.get(&origin).into_iter().flatten();
        shown.into_iter().all(|shown| self.goes_on(origin, chain, *shown) || self.goes_on(origin, *shown, chain))
    }

    pub fn note_alarm(&mut self, origin: OriginId, what: HistoryAlarm) {
        self.alarms.insert((origin, what));
    }

    pub fn has_alarm(&self, origin: OriginId) -> bool {
        [HistoryAlarm::SetBack, HistoryAlarm::Refused].into_iter().any(|what| self.has_alarm_of(origin, what))
    }

    pub fn has_alarm_of(&self, origin: OriginId, what: HistoryAlarm) -> bool {
        self.alarms.contains(&(origin, what))
    }

    /// Whether more than one history of the origin was ever committed by its author.
    pub fn is_forked(&self, origin: OriginId) -> bool {
        self.at.range((origin, StreamSeq(0))..=(origin, StreamSeq(u64::MAX))).any(|(_, ends)| ends.len() > 1)
    }
}

impl ChainLink {
    /// The site time of the batch.
    pub fn time(&self) -> SiteTime {
        self.batch.site_time
    }
}
