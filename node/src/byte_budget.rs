//! A bound in bytes over what is held at a time. A queue of so many things is no bound where each of them may be large.
//!
//! Whoever brings something takes a share of its size first, and gives it back by dropping it. Where the budget is spent, a request is
//! refused ([`ByteBudget::try_take`], [`ByteShare::try_grow_to`]) and a connection is not read further ([`ByteBudget::take`]).

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many bytes may be held at a time. Clones share them.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    free: Arc<Semaphore>,
    bytes_max: u32,
}

/// Bytes of a budget; given back when dropped.
#[derive(Debug)]
pub struct ByteShare {
    budget: ByteBudget,
    taken: OwnedSemaphorePermit,
}

impl ByteBudget {
    pub fn new(bytes_max: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes_max as usize)), bytes_max }
    }

    /// Takes `bytes` now, or nothing.
    pub fn try_take(&self, bytes: usize) -> Option<ByteShare> {
        let taken = Arc::clone(&self.free).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()?;
        Some(ByteShare { budget: self.clone(), taken })
    }

    /// Takes `bytes` as soon as they are free, in the order of the calls. What is larger than the whole budget takes all of it, so that it
    /// passes alone.
    pub async fn take(&self, bytes: usize) -> ByteShare {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes_max);
        let taken = Arc::clone(&self.free).acquire_many_owned(bytes).await.expect("nobody closes a budget");
        ByteShare { budget: self.clone(), taken }
    }

    /// All bytes, free or not.
    pub fn bytes_max(&self) -> u32 {
        self.bytes_max
    }
}

impl ByteShare {
    /// Lets the share be of `bytes` at least; `false`, and nothing changes, when so many are not free.
    #[must_use]
    pub fn try_grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.taken.num_permits());
        match self.budget.try_take(more) {
            Some(more) => {
                self.taken.merge(more.taken);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn no_more_bytes_are_held_than_the_budget_has_and_what_is_dropped_is_free_again() {
        let budget = ByteBudget::new(100);
        let mut first = budget.try_take(40).expect("free");
        assert!(first.try_grow_to(70) && first.try_grow_to(10), "it never shrinks");
        assert!(budget.try_take(31).is_none() && !first.try_grow_to(101));
        let second = budget.try_take(30).expect("free");
        assert!(budget.take(1).now_or_never().is_none(), "whoever waits gets nothing before something is given back");
        drop(first);
        assert!(budget.take(70).now_or_never().is_some());
        drop(second);
        assert!(budget.take(usize::MAX).now_or_never().is_some(), "what is larger than all of it passes alone");
        assert!(budget.try_take(101).is_none());
    }
}
