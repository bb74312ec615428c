//! Registers that a parent handed down, offered to this site one after another.
//!
//! The order matters: a register that changes who signs registers has to stand before the next one is believed. So the first that waits is
//! offered until the site has taken or refused it, and only then the one behind it.

use std::collections::VecDeque;

use kho_storage::{
    register::{REGISTER_BYTES_MAX, SignedRegister},
    warehouse::{ROOT_CHANGES_BYTES_MAX, ROOT_CHANGES_MAX},
};

use crate::link_time::LinkTime;

/// Registers that wait at most: every change of the roots that a parent keeps, the newest one, and a few that follow meanwhile.
const WAITING_MAX: usize = ROOT_CHANGES_MAX + 8;

/// Their texts together, in bytes.
const WAITING_BYTES_MAX: usize = ROOT_CHANGES_BYTES_MAX + 2 * REGISTER_BYTES_MAX;

/// Registers in the order in which they came. The first is being judged, unless a time is set at which it is offered again.
#[derive(Debug, Default)]
pub(super) struct RegisterQueue {
    waiting: VecDeque<SignedRegister>,
    offer_at: Option<LinkTime>,
}

impl RegisterQueue {
    /// Takes one in, and gives what is to be offered now. One that waits already is not taken twice, and none is taken when there is no
    /// room: a parent gives it again with the next connection.
    pub fn received(&mut self, register: SignedRegister) -> Option<SignedRegister> {
        let bytes: usize = self.waiting.iter().map(|waiting| waiting.text.len()).sum();
        let is_full = self.waiting.len() >= WAITING_MAX || bytes.saturating_add(register.text.len()) > WAITING_BYTES_MAX;
        if is_full || self.waiting.contains(&register) {
            return None;
        }
        self.waiting.push_back(register);
        if self.waiting.len() == 1 { self.waiting.front().cloned() } else { None }
    }

    /// The site did not take the one that was offered; it is offered again then.
    pub fn failed(&mut self, register: &SignedRegister, offer_at: LinkTime) {
        if self.waiting.front() == Some(register) {
            self.offer_at = Some(offer_at);
        }
    }

    /// The site has taken or refused the one that was offered; gives the next.
    pub fn settled(&mut self, register: &SignedRegister) -> Option<SignedRegister> {
        if self.waiting.front() != Some(register) {
            return None;
        }
        self.waiting.pop_front();
        self.offer_at = None;
        self.waiting.front().cloned()
    }

    /// What is to be offered again by now.
    pub fn due(&mut self, now: LinkTime) -> Option<SignedRegister> {
        self.offer_at.take_if(|at| *at <= now)?;
        self.waiting.front().cloned()
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(version: usize) -> SignedRegister {
        SignedRegister { text: format!("version = {version}\n"), signatures: vec![] }
    }

    #[test]
    fn registers_are_offered_one_after_another_in_the_order_in_which_they_came() {
        let mut queue = RegisterQueue::default();
        assert_eq!(queue.received(register(2)), Some(register(2)));
        assert_eq!(queue.received(register(3)), None);
        assert_eq!(queue.received(register(3)), None, "it waits already");
        queue.failed(&register(2), LinkTime(500));
        assert_eq!((queue.due(LinkTime(499)), queue.due(LinkTime(500)), queue.due(LinkTime(900))), (None, Some(register(2)), None));
        assert_eq!(queue.settled(&register(3)), None, "an answer that comes late");
        assert_eq!(queue.settled(&register(2)), Some(register(3)));
        assert_eq!(queue.settled(&register(3)), None);
        assert_eq!(queue.received(register(4)), Some(register(4)));
    }

    #[test]
    fn no_more_registers_wait_than_there_is_room_for() {
        let mut queue = RegisterQueue::default();
        for version in 0..2 * WAITING_MAX {
            queue.received(register(version));
        }
        assert_eq!(queue.waiting.len(), WAITING_MAX);
    }
}
