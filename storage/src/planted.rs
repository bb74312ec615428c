//! Bugs planted on purpose, to see that tests find them. In an ordinary build there are none: [`planted`] is `false` before the
//! compiler looks at what follows. With the feature `planted-bugs` one at a time can be switched on, for the thread that asks.
//!
//! Each is a slip that somebody could make, at the place where it would be made.

/// A slip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Of a group of requests only the first one's key is remembered.
    RequestKeyForgotten,
    /// A replay over pieces takes what it wrote itself for a piece's row.
    RowChangedTwiceOverPieces,
    /// A transfer switches the generation at a head that lies before its last piece.
    SwitchedBeforeHeadDecides,
    /// Batches are not checked against the chain hash of their head.
    ChainNotChecked,
    /// A segment's epoch is not checked.
    EpochNotChecked,
    /// A watermark is raised to the head's time, whatever this site's clock says.
    WatermarkBeyondClock,
    /// A head may say "complete" beyond batches that were committed meanwhile.
    HeadClaimsTooMuch,
    /// Evidence is named by its place alone, so that a second piece overwrites the first.
    EvidenceOverwritten,
    /// Streams are trimmed up to their end, not up to the parent's cursor.
    TrimmedBeyondParent,
    /// Streams are trimmed by what any parent acknowledged.
    TrimmedByStandIn,
    /// What a parent holds is recorded when it is sent, before the parent committed it.
    RecordedBeforeCommitted,
    /// A proposal without an answer is reported to the child as adopted.
    UnknownTakenForCommitted,
    /// A parent's cursor counts as its acknowledgement.
    CursorAcknowledges,
    /// An answer of an old link is taken for one of the new link.
    OldLinkAnswers,
    /// After a link broke, sending goes on where it had stopped.
    NotSentAgain,
    /// A register that this site could not take is forgotten.
    RegisterNotOfferedAgain,
    /// A parent whose cursor stands beyond a segment's end is believed to have compared it.
    BeyondTakenForCompared,
    /// A stream is adopted wherever it is brought, although the register leads it elsewhere.
    PathNotChecked,
    /// A clock that jumped is believed at once.
    JumpedClockBelieved,
    /// What parents believe is taken back too when an operator confirms a clock that shows a little less.
    BelievedTimeTakenBack,
    /// When an operator confirms the time, the next batch still follows one of the future.
    BatchTimeNotTakenBack,
    /// A change of some columns replaces the row, so that what it does not name is gone.
    UnnamedColumnsCleared,
    /// Whether a new row is complete is not checked.
    NewRowNotChecked,
    /// Whoever has a certificate of the site is taken for a member of it.
    CertificateTakenForMembership,
    /// A site that knows that it was set back takes entries all the same.
    SetBackTakesEntry,
    /// Any segment of its own that comes back ends what a site knows of having been set back.
    SetBackEndedByAnySegment,
    /// A command is applied whatever the level of the site is.
    LevelNotChecked,
    /// A node whose own rows are damaged takes the author's head for false.
    OwnDiskNotDoubted,
    /// A leader takes its own digest for the majority's.
    OutvotedTakenForAgreed,
}

impl Bug {
    pub const ALL: [Self; 29] = [
        Self::RequestKeyForgotten,
        Self::RowChangedTwiceOverPieces,
        Self::SwitchedBeforeHeadDecides,
        Self::ChainNotChecked,
        Self::EpochNotChecked,
        Self::WatermarkBeyondClock,
        Self::HeadClaimsTooMuch,
        Self::EvidenceOverwritten,
        Self::TrimmedBeyondParent,
        Self::TrimmedByStandIn,
        Self::RecordedBeforeCommitted,
        Self::UnknownTakenForCommitted,
        Self::CursorAcknowledges,
        Self::OldLinkAnswers,
        Self::NotSentAgain,
        Self::RegisterNotOfferedAgain,
        Self::BeyondTakenForCompared,
        Self::PathNotChecked,
        Self::JumpedClockBelieved,
        Self::BelievedTimeTakenBack,
        Self::BatchTimeNotTakenBack,
        Self::UnnamedColumnsCleared,
        Self::NewRowNotChecked,
        Self::CertificateTakenForMembership,
        Self::SetBackTakesEntry,
        Self::SetBackEndedByAnySegment,
        Self::LevelNotChecked,
        Self::OwnDiskNotDoubted,
        Self::OutvotedTakenForAgreed,
    ];
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Switches a bug on for this thread, and any other off.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether `bug` is switched on for this thread.
#[cfg(feature = "planted-bugs")]
pub fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// There are none in this build.
#[cfg(not(feature = "planted-bugs"))]
pub const fn planted(_bug: Bug) -> bool {
    false
}
