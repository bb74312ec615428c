//! How much room there is on the node's disk: what entry and intake ask before they take anything.
//!
//! Maintenance measures and writes it into a watch; nobody reads it from the alarms (test
//! `entry_and_intake_ask_the_disk_watch_not_the_alarms`).

use tokio::sync::watch;

/// How much room there is on the node's disk.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum DiskRoom {
    #[default]
    Ample,
    /// Less than the reserve is free: segments of children are refused.
    NoIntake,
    /// Less than half of the reserve is free: entry is refused too.
    NoEntry,
}

impl DiskRoom {
    pub fn of(free_bytes: u64, reserve_bytes: u64) -> Self {
        match free_bytes {
            free if free < reserve_bytes / 2 => Self::NoEntry,
            free if free < reserve_bytes => Self::NoIntake,
            _ => Self::Ample,
        }
    }

    pub fn takes_intake(self) -> bool {
        self == Self::Ample
    }

    pub fn takes_entry(self) -> bool {
        self != Self::NoEntry
    }
}

/// The room as it was last measured. Entry and intake ask it.
#[derive(Debug, Default)]
pub struct DiskWatch {
    room: watch::Sender<DiskRoom>,
}

impl DiskWatch {
    pub fn room(&self) -> DiskRoom {
        *self.room.borrow()
    }

    pub fn measured(&self, room: DiskRoom) {
        self.room.send_if_modified(|known| std::mem::replace(known, room) != room);
    }
}

#[cfg(test)]
mod tests {
    use kho_storage::ids::SiteTime;

    use super::*;
    use crate::{alarms::Alarms, api::AlarmKind};

    #[test]
    fn intake_is_refused_below_the_reserve_and_entry_below_half_of_it() {
        let rooms = [100, 99, 50, 49, 0].map(|free| DiskRoom::of(free, 100));
        assert_eq!(rooms.map(DiskRoom::takes_intake), [true, false, false, false, false]);
        assert_eq!(rooms.map(DiskRoom::takes_entry), [true, true, true, false, false]);
        assert_eq!(DiskRoom::of(0, 0), DiskRoom::Ample, "without a reserve nothing is refused");
    }

    #[test]
    fn entry_and_intake_ask_the_disk_watch_not_the_alarms() {
        let (disk, alarms) = (DiskWatch::default(), Alarms::default());
        disk.measured(DiskRoom::NoEntry);
        for node in 0..1_000 {
            alarms.raise(AlarmKind::MemberSilent { node }, SiteTime(0));
        }
        alarms.end(|_| true);
        assert!(!disk.room().takes_entry() && !disk.room().takes_intake(), "whatever becomes of the alarms");
        alarms.raise(AlarmKind::DiskFull { folder: "/data".into(), free_mib: 0, reserve_mib: 9 }, SiteTime(0));
        disk.measured(DiskRoom::Ample);
        assert!(disk.room().takes_entry() && disk.room().takes_intake(), "whatever the alarms say");
    }
}
