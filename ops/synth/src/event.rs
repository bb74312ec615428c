//! What an event says: the types that `events.rs` decides on and `commune.rs` writes.

use crate::resident::DaysBack;

/// Who an event is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Concerned {
    /// Place among the commune's residents.
    Resident(u32),
    /// Household and sequence number of somebody no longer listed.
    Former(u32, u8),
}

/// The type of an event with the fields of that type only.
#[derive(Debug, Clone, Copy)]
pub(super) enum EventKind {
    Birth { order: u8, place: &'static str },
    NewbornScreening,
    Death,
    InMigration,
    OutMigration,
    Marriage { is_early: bool, is_consanguineous: bool, had_premarital_exam: bool },
    Divorce,
    AttributeChange { field: &'static str, old: &'static str, new: &'static str },
    ContraceptionStart { method: &'static str },
    ContraceptionStop,
    Pregnancy { outcome: &'static str },
    PrenatalScreening,
    ElderlyExam,
}

impl EventKind {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Birth { .. } => "birth",
            Self::NewbornScreening => "newborn_screening",
            Self::Death => "death",
            Self::InMigration => "in_migration",
            Self::OutMigration => "out_migration",
            Self::Marriage { .. } => "marriage",
            Self::Divorce => "divorce",
            Self::AttributeChange { .. } => "attribute_change",
            Self::ContraceptionStart { .. } => "contraception_start",
            Self::ContraceptionStop => "contraception_stop",
            Self::Pregnancy { .. } => "pregnancy",
            Self::PrenatalScreening => "prenatal_screening",
            Self::ElderlyExam => "elderly_exam",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) kind: EventKind,
    pub(super) concerned: Concerned,
    pub(super) on: DaysBack,
    pub(super) recorded: DaysBack,
}
