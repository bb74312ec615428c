//! Registers that a parent offers: fetched, and offered to this site, one after another.
//!
//! ```text
//!   offered by the parent ──▶ fetched on a stream of its own ──▶ judged and adopted by this site ──▶ the next
//!                                 ▲         │ silent, cut off          │ no leader, busy
//!                                 └─ later ─┘                          └─ offered to the site again later
//! ```
//! The order matters: a register that changes who signs registers has to stand before the next one is believed. So the first that waits is
//! offered until the site has taken or refused it, and only then the one behind it is fetched.
//!
//! Invariants: a transfer that fails costs nothing but itself, the link and its streams go on
//! (test `a_register_whose_transfer_goes_silent_is_fetched_again_and_the_link_goes_on`); one register is held at a time.

use std::{collections::VecDeque, sync::Arc};

use kho_storage::{ids::Hash32, register::SignedRegister, warehouse::ROOT_CHANGES_MAX};

use crate::{
    frames::{REGISTER_OFFERS_MAX, RegisterOffer},
    link_time::LinkTime,
};

/// Offers that wait at most: every change of the roots that a parent keeps, the newest register, and a few that follow meanwhile.
const WAITING_MAX: usize = ROOT_CHANGES_MAX + 8;

const _: () =
    assert!(ROOT_CHANGES_MAX + 2 <= REGISTER_OFFERS_MAX, "all that a parent keeps, the newest one and a second one of its version");

/// Offers in the order in which they came, and what is under way with the first of them.
#[derive(Debug, Default)]
pub(super) struct RegisterQueue {
    waiting: VecDeque<RegisterOffer>,
    first: First,
}

/// How far the first offer has come.
#[derive(Debug)]
enum First {
    /// It is fetched then.
    Fetch {
        at: LinkTime,
    },
    Fetching,
    /// It is here, and offered to the site then.
    Offer {
        signed: Arc<SignedRegister>,
        at: LinkTime,
    },
    Offered(Arc<SignedRegister>),
}

impl Default for First {
    fn default() -> Self {
        Self::Fetch { at: LinkTime(0) }
    }
}

/// What is to be done with the first offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RegisterStep {
    Fetch(RegisterOffer),
    Offer(Arc<SignedRegister>),
}

/// Whether an offer adds anything to a site that holds the register of this version and hash: a newer one, or a second one of its version.
pub(super) fn is_of_use(offer: &RegisterOffer, version: u64, hash: Hash32) -> bool {
    offer.version >= version && offer.hash != hash
}

impl RegisterQueue {
    /// Takes an offer in. One that waits already is not taken twice. Where there is no room it takes the place of the last one, which is
    /// older and may be held by the parent no more.
    pub fn received(&mut self, offer: RegisterOffer) {
        if self.waiting.contains(&offer) {
            return;
        }
        self.waiting.truncate(WAITING_MAX - 1);
        self.waiting.push_back(offer);
    }

    /// What is due by now.
    pub fn due(&mut self, now: LinkTime) -> Option<RegisterStep> {
        let first = *self.waiting.front()?;
        match &self.first {
            First::Fetch { at } if *at <= now => {
                self.first = First::Fetching;
                Some(RegisterStep::Fetch(first))
            }
            First::Offer { signed, at } if *at <= now => {
                let signed = Arc::clone(signed);
                self.first = First::Offered(Arc::clone(&signed));
                Some(RegisterStep::Offer(signed))
            }
            _ => None,
        }
    }

    /// The register that was fetched is here.
    pub fn fetched(&mut self, offer: &RegisterOffer, signed: Arc<SignedRegister>, now: LinkTime) {
        if self.is_fetching(offer) {
            self.first = First::Offer { signed, at: now };
        }
    }

    /// It did not come; it is fetched again then.
    pub fn interrupted(&mut self, offer: &RegisterOffer, fetch_at: LinkTime) {
        if self.is_fetching(offer) {
            self.first = First::Fetch { at: fetch_at };
        }
    }

    /// The parent does not hold it any more: it has a newer one.
    pub fn withdrawn(&mut self, offer: &RegisterOffer) {
        if self.is_fetching(offer) {
            self.pop();
        }
    }

    /// The site did not take the one that was offered; it is offered again then.
    pub fn failed(&mut self, register: &Arc<SignedRegister>, offer_at: LinkTime) {
        if self.is_offered(register) {
            self.first = First::Offer { signed: Arc::clone(register), at: offer_at };
        }
    }

    /// The site has taken or refused the one that was offered.
    pub fn settled(&mut self, register: &Arc<SignedRegister>) {
        if self.is_offered(register) {
            self.pop();
        }
    }

    /// The site holds this register by now, whoever gave it: offers of it and of older ones are of no use.
    pub fn held(&mut self, version: u64, hash: Hash32) {
        let first = self.waiting.pop_front();
        self.waiting.retain(|offer| is_of_use(offer, version, hash));
        match first {
            Some(first) if self.is_here() || is_of_use(&first, version, hash) => self.waiting.push_front(first),
            _ => self.first = First::default(),
        }
    }

    /// The link is gone. What was not fetched can't be had from another parent; that one makes its own offers.
    pub fn link_lost(&mut self) {
        if self.is_here() {
            self.waiting.truncate(1);
        } else {
            self.clear();
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether the first one was fetched.
    fn is_here(&self) -> bool {
        matches!(self.first, First::Offer { .. } | First::Offered(_))
    }

    fn is_fetching(&self, offer: &RegisterOffer) -> bool {
        matches!(self.first, First::Fetching) && self.waiting.front() == Some(offer)
    }

    fn is_offered(&self, register: &Arc<SignedRegister>) -> bool {
        matches!(&self.first, First::Offered(offered) if offered == register)
    }

    fn pop(&mut self) {
        self.waiting.pop_front();
        self.first = First::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(version: u64) -> Arc<SignedRegister> {
        Arc::new(SignedRegister { text: format!("version = {version}\n"), signatures: vec![] })
    }

    fn offer(version: u64) -> RegisterOffer {
        RegisterOffer { version, hash: register(version).hash() }
    }

    /// Fetches the first offer, which has this version, and has it offered to the site.
    fn fetch(queue: &mut RegisterQueue, version: u64) {
        assert_eq!(queue.due(LinkTime(0)), Some(RegisterStep::Fetch(offer(version))));
        assert_eq!(queue.due(LinkTime(0)), None, "once");
        queue.fetched(&offer(version), register(version), LinkTime(0));
        assert_eq!(queue.due(LinkTime(0)), Some(RegisterStep::Offer(register(version))));
    }

    #[test]
    fn registers_are_offered_one_after_another_in_the_order_in_which_they_came() {
        let mut queue = RegisterQueue::default();
        [2, 3, 3].into_iter().for_each(|version| queue.received(offer(version)));
        fetch(&mut queue, 2);
        queue.failed(&register(2), LinkTime(500));
        assert_eq!((queue.due(LinkTime(499)), queue.due(LinkTime(500))), (None, Some(RegisterStep::Offer(register(2)))));
        assert_eq!(queue.due(LinkTime(900)), None);
        queue.settled(&register(3));
        assert_eq!(queue.due(LinkTime(900)), None, "an answer that comes late");
        queue.settled(&register(2));
        fetch(&mut queue, 3);
        queue.settled(&register(3));
        assert_eq!(queue.due(LinkTime(900)), None, "the same offer was not taken twice");
    }

    #[test]
    fn what_could_not_be_fetched_is_fetched_again_and_what_the_parent_gave_up_is_passed_over() {
        let mut queue = RegisterQueue::default();
        [2, 3].into_iter().for_each(|version| queue.received(offer(version)));
        assert_eq!(queue.due(LinkTime(0)), Some(RegisterStep::Fetch(offer(2))));
        queue.interrupted(&offer(2), LinkTime(700));
        queue.fetched(&offer(2), register(2), LinkTime(600));
        assert_eq!((queue.due(LinkTime(699)), queue.due(LinkTime(700))), (None, Some(RegisterStep::Fetch(offer(2)))));
        queue.withdrawn(&offer(2));
        assert_eq!(queue.due(LinkTime(700)), Some(RegisterStep::Fetch(offer(3))));
    }

    #[test]
    fn a_lost_link_takes_its_offers_along_but_not_the_register_that_is_here() {
        let mut queue = RegisterQueue::default();
        [2, 3].into_iter().for_each(|version| queue.received(offer(version)));
        fetch(&mut queue, 2);
        queue.link_lost();
        queue.failed(&register(2), LinkTime(5));
        assert_eq!(queue.due(LinkTime(5)), Some(RegisterStep::Offer(register(2))));
        queue.settled(&register(2));
        assert_eq!(queue.due(LinkTime(5)), None);
        queue.received(offer(3));
        assert_eq!(queue.due(LinkTime(5)), Some(RegisterStep::Fetch(offer(3))));
        queue.link_lost();
        assert_eq!(queue.due(LinkTime(5)), None);
    }

    #[test]
    fn what_the_site_was_given_otherwise_is_not_fetched_but_a_second_one_of_its_version_is() {
        let mut queue = RegisterQueue::default();
        let second = RegisterOffer { version: 3, hash: Hash32::of(b"a second one") };
        [offer(2), offer(3), second].into_iter().for_each(|offer| queue.received(offer));
        assert_eq!(queue.due(LinkTime(0)), Some(RegisterStep::Fetch(offer(2))));
        queue.held(3, offer(3).hash);
        assert_eq!(queue.due(LinkTime(0)), Some(RegisterStep::Fetch(second)));
    }

    #[test]
    fn no_more_offers_wait_than_there_is_room_for() {
        let mut queue = RegisterQueue::default();
        (0..2 * WAITING_MAX as u64).for_each(|version| queue.received(offer(version)));
        assert_eq!(queue.waiting.len(), WAITING_MAX);
    }
}
