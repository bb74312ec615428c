//! How many connections one certificate may have here at a time. A certificate that is copied, or a program that dials in a loop, takes
//! the room of nobody else.
//!
//! Counted is by identity, so that a renewed certificate counts with the one before it.
//!
//! Invariant: a place is given back when its connection ends (test `a_place_is_free_again_when_its_connection_has_ended`).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::identity::PeerIdentity;

/// The connections that stand, by who is at the other end.
#[derive(Debug)]
pub struct ConnectionPlaces {
    each_max: usize,
    standing: Mutex<BTreeMap<PeerIdentity, usize>>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub struct ConnectionPlace {
    places: Arc<ConnectionPlaces>,
    identity: PeerIdentity,
}

/// A certificate has as many connections as one may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{identity} has {each_max} connections here already, as many as one certificate may have; close some, or see who else uses its key"
)]
pub struct TooManyConnections {
    identity: PeerIdentity,
    each_max: usize,
}

impl ConnectionPlaces {
    /// Room for `each_max` connections of each identity.
    pub fn new(each_max: usize) -> Arc<Self> {
        Arc::new(Self { each_max, standing: Mutex::default() })
    }

    /// A place for one more connection of `identity`.
    ///
    /// # Errors
    /// [`TooManyConnections`]; those that stand stay.
    pub fn take(self: &Arc<Self>, identity: &PeerIdentity) -> Result<ConnectionPlace, TooManyConnections> {
        let mut standing = self.standing();
        let number = standing.entry(identity.clone()).or_default();
        if *number >= self.each_max {
            return Err(TooManyConnections { identity: identity.clone(), each_max: self.each_max });
        }
        *number += 1;
        Ok(ConnectionPlace { places: Arc::clone(self), identity: identity.clone() })
    }

    fn standing(&self) -> MutexGuard<'_, BTreeMap<PeerIdentity, usize>> {
        // A number is changed in one step: nobody leaves it half done.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut standing = self.places.standing();
        if let Some(number) = standing.get_mut(&self.identity) {
            *number -= 1;
            if *number == 0 {
                standing.remove(&self.identity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_connection_has_ended() {
        let [one, two] = [1, 2].map(|node| format!("kho://vn/site/1/node/{node}").parse::<PeerIdentity>().expect("a name"));
        let places = ConnectionPlaces::new(2);
        let first = places.take(&one).expect("room");
        let _second = places.take(&one).expect("room");
        let refused = places.take(&one).expect_err("both places are taken");
        assert_eq!(refused, TooManyConnections { identity: one.clone(), each_max: 2 });
        assert!(places.take(&two).is_ok(), "another certificate has places of its own");
        drop(first);
        assert!(places.take(&one).is_ok());
        assert_eq!(places.standing().len(), 1, "who has left is forgotten");
    }
}
