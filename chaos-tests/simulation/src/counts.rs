//! Counts of faults, of steps of the machines and of their moves. A run in which something never happened proves nothing about it.

use std::collections::BTreeMap;

use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};

use crate::moves::{self, Move};

macro_rules! counted {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($variant,)+ }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

counted! {
    /// What goes wrong, or happens in another order than usual.
    Fault {
        LinkCut = "a link was cut",
        FrameLost = "a frame in flight was lost with its link",
        LateFrame = "a child's frame arrived after its link had ended at the child",
        LateAnswer = "an outcome came for a link that was gone",
        LinkSlow = "a link was slow for a while",
        RegisterSilent = "the transfer of a register went silent on a link that stood",
        TwoLinks = "two links of one child were open at one parent",
        SiteCutOff = "a site answered nobody for a while",
        SwitchedMidSegment = "a child went to another parent with segments unanswered, and both parents held different suffixes",
        LeaderCrashed = "a leader was killed",
        LeaderStepped = "another node was made leader",
        NodeDown = "a follower was down",
        NodeReplaced = "a node was removed and a fresh one took its place",
        RemovedNodeReturned = "a removed node came back with its old data",
        SiteRestarted = "a site was killed as a whole and came back from its last flush and its log",
        CrashBeforeAppend = "killed between propose and append",
        CrashBeforeApply = "killed between append and apply",
        CrashBeforeOutcome = "killed between apply and outcome",
        CrashBeforeAnswerSent = "killed between outcome and answer",
        CrashBeforeAnswerReceived = "the child killed before it received the answer",
        CrashBeforeRecord = "the child killed between answer and record",
        CrashBeforeRecorded = "the child killed between proposing and committing the record",
        AdopterRolledBack = "the disks of a site that only adopts came back older",
        AuthorRolledBack = "the disks of an author's site came back older",
        FoundAnew = "an author's site was founded anew, on empty disks",
        ClockAhead = "a clock went ahead",
        ClockBehind = "a clock went behind",
        ClockFarAhead = "a clock jumped ahead, by minutes to years, and came back",
        ClockFarBehind = "a clock jumped back, by minutes to years, and came back",
        WrongTimeConfirmed = "an operator confirmed a clock that was ahead",
        ProposalLost = "a proposal was lost before it was committed",
        ProposalSurvived = "a proposal was committed by its leader's successor",
        ProposalsReordered = "proposals of one stream were committed in another order than made",
        OutcomeLost = "a proposal was committed and its outcome lost",
        WriteRepeated = "a client's request was proposed twice",
        SiteBusy = "a site answered that it is busy",
        DiskFull = "a disk was full for a while",
        DiskUnreadable = "an uplink could not read its site's disk for a while",
        DiskFailed = "a leader's disk took no more, and the node stopped",
        DiskDamaged = "a row that a segment changes was damaged on one node's disk",
        LeaderDamaged = "a row of its site's own was damaged on a leader's disk",
        ParentsSwapped = "the register gave a site another active parent",
        ParentRegained = "the register gave a site that had one parent another beside it",
        ParentLost = "the register left a site only its stand-in",
        RegisterDoubled = "a second register of the version that stands was signed and given to a site",
        RootsChanged = "the register changed who signs registers",
        OldAnswer = "an answer arrived from a link that the child had left",
        OtherEpoch = "a segment of another epoch was sent",
        SilentCaller = "a node connected and sent nothing",
        BuildRolledBack = "an older build was installed again before the level was raised",
        SiteMoved = "all nodes of a site got other addresses at once",
        OffPath = "a segment was brought to a site through which the register does not lead its stream",
    }
}

counted! {
    /// What the machines and the state did.
    Step {
        Dialled = "uplink dials",
        Redialled = "uplink dials a node to which it was redirected",
        DisconnectedElsewhere = "uplink disconnects: another node or parent",
        DisconnectedPreferred = "uplink disconnects: an earlier parent answers again",
        DisconnectedIdleTimeout = "uplink disconnects: idle timeout",
        DisconnectedNotLeading = "uplink disconnects: no longer leader",
        Probed = "uplink probes an earlier parent",
        StreamsSent = "uplink requests the cursors of streams again",
        SegmentSent = "uplink sends batches",
        IdleHeadSent = "uplink sends an idle head",
        TransferStartSent = "uplink starts a whole-origin transfer",
        PieceSent = "uplink sends a piece",
        LoadFailed = "uplink finds batches trimmed or out of place",
        Recorded = "uplink records what a parent holds",
        RecordRepeated = "uplink repeats a record that its site did not commit",
        RegisterFetched = "uplink fetches a register beside its streams",
        RegisterOffered = "uplink proposes a register to its site",
        RootsCaughtUp = "a site that was away is offered a change of the roots before the newest register",
        RegisterRepeated = "uplink repeats a register that its site did not adopt",
        AlarmWentBack = "alarm: the parent went back",
        AlarmSetBack = "alarm: the site is behind its parent",
        AlarmChildSetBack = "alarm: a child is behind what is held of its own stream",
        ChildCaughtUp = "intake sees that such a child has caught up",
        SetBackNoted = "state notes that the site was set back",
        SetBackElsewhere = "state notes it of a site that had written past what its parent holds",
        SetBackRepeated = "uplink repeats the note of a set-back that its site did not commit",
        EntryClosed = "state refuses entry because the site was set back",
        BundleCarried = "an operator carries a bundle to a site that was set back",
        SetBackEnded = "state has caught up with what was shown",
        AlarmRefused = "alarm: the parent refuses a stream",
        AlarmNoParent = "alarm: no parent answers",
        AlarmUnreadable = "alarm: a stream can't be read",
        Welcomed = "intake sends a welcome",
        WelcomedWithRegister = "intake offers a register with its welcome",
        Redirected = "intake sends a child to its leader",
        ByeNoLeader = "intake ends a link: no leader",
        ByeBusy = "intake ends a link: busy",
        ByeNotParent = "intake ends a link: the site is not a parent of this child",
        ByeIdleTimeout = "intake ends a link: no hello came",
        ByeStopping = "intake ends a link: its node stops",
        CursorsSent = "intake sends the cursors of streams",
        AdoptedSent = "intake sends adopted",
        WantsPieceSent = "intake requests a piece",
        WantsBatchesSent = "intake requests batches",
        GapRefused = "intake or state refuses a gap",
        TransferRefused = "intake or state refuses a transfer's step",
        ForkRefused = "state refuses another history",
        EpochRefused = "state refuses another epoch",
        BusySent = "intake sends busy",
        RegisterSent = "intake offers a newer register",
        RemovedNodeRefused = "a member refuses a removed node",
        BatchCommitted = "state commits clients' requests",
        RequestRepeated = "state recognises a repeated request",
        RowMissing = "state refuses to remove a missing row",
        RowIncomplete = "state refuses columns of a row that is not there and would lack some",
        ColumnExcluded = "state refuses columns that do not fit what stands in the row",
        HeadCommitted = "state commits a head",
        IdleHeadCommitted = "state commits an idle head",
        HeadHeldBack = "state holds back a head that claims too much",
        Adopted = "state adopts batches",
        OverlapSkipped = "state adopts batches and skips what it held",
        Redelivered = "state already holds every batch of a segment",
        WatermarkRaised = "state raises a watermark by an idle head",
        WatermarkHeld = "state ignores the time of a head from the far future",
        TimeConfirmed = "an operator confirms a clock that is right",
        TimeTakenBack = "an operator takes back what a site stamped in the future",
        DamagedStopped = "a node with damaged rows stops instead of deciding",
        HeadOutvoted = "a leader does not propose a head, for a majority computed another digest",
        DivergedLeft = "a node that computed another digest is noted and takes part no more",
        DivergedReplaced = "an operator replaces a node that computed another digest",
        TransferBegun = "state begins a transfer",
        TransferTaken = "state refuses a second carrier's transfer",
        TransferAnew = "state drops a transfer for another",
        PieceTaken = "state takes a piece",
        PieceKnown = "state received another piece than it requested",
        Replayed = "state replays batches over pieces",
        GenerationSwitched = "state switches the generation",
        TransferPassed = "state drops a transfer that the stream has passed",
        RecordTaken = "state records what a parent holds",
        RecordWentBack = "state records that a parent holds less",
        Trimmed = "state forgets batches",
        RegisterAdopted = "state adopts a register",
        LevelRaised = "state raises the level of its site",
        AboveLevelRefused = "state refuses a command above its level",
        KeptBack = "uplink keeps back what lies above the level of its link",
        TestNoted = "state takes a command of the level that it was raised to",
        DisconnectedLevelRaised = "uplink disconnects: its site's level was raised",
        ByeLevelRaised = "intake ends a link: its site's level was raised",
        RegisterByHand = "an operator gives a site the register that its moved parent can't hand down",
        EvidenceReviewed = "an operator reviews the evidence that a site keeps",
        TwoPaths = "an origin came by two children",
    }
}

/// Counts of one run, or of many.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    pub faults: BTreeMap<Fault, u64>,
    pub steps: BTreeMap<Step, u64>,
    pub moves: BTreeMap<Move, u64>,
    /// How often a transfer replaced another history although nothing was left by which the two could be distinguished. This is a
    /// known limit; it is counted so that it shows.
    pub indistinguishable: u64,
}

impl Counts {
    pub fn fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub fn step(&mut self, step: Step) {
        *self.steps.entry(step).or_default() += 1;
    }

    pub fn moved(&mut self, machine: &'static str, from: &'static str, to: &'static str) {
        if from != to {
            *self.moves.entry(Move { machine, from, to }).or_default() += 1;
        }
    }

    /// Adds what another run counted.
    pub fn add(&mut self, other: &Counts) {
        self.indistinguishable += other.indistinguishable;
        other.faults.iter().for_each(|(what, count)| *self.faults.entry(*what).or_default() += count);
        other.steps.iter().for_each(|(what, count)| *self.steps.entry(*what).or_default() += count);
        other.moves.iter().for_each(|(what, count)| *self.moves.entry(*what).or_default() += count);
    }

    /// Everything that must happen, by group, with its count.
    pub fn rows(&self) -> Vec<(&'static str, String, u64)> {
        let of = |count: Option<&u64>| count.copied().unwrap_or(0);
        let faults = Fault::ALL.iter().map(|fault| ("fault", fault.text().to_string(), of(self.faults.get(fault))));
        let steps = Step::ALL.iter().map(|step| ("step", step.text().to_string(), of(self.steps.get(step))));
        faults.chain(steps).chain(self.moves_of(moves::ALL)).collect()
    }

    fn moves_of<'a>(&'a self, moves: &'a [Move]) -> impl Iterator<Item = (&'static str, String, u64)> + 'a {
        moves.iter().map(|at| (at.machine, format!("{} → {}", at.from, at.to), self.moves.get(at).copied().unwrap_or(0)))
    }

    /// What happened less than `at_least` times.
    pub fn rarer_than(&self, at_least: u64) -> Vec<String> {
        self.rows()
            .into_iter()
            .filter(|(_, _, count)| *count < at_least)
            .map(|(group, what, count)| format!("{group}: {what}: {count}"))
            .collect()
    }

    /// Moves that no diagram has: a machine moved in a way that nobody planned.
    pub fn unforeseen(&self) -> Vec<String> {
        self.moves
            .iter()
            .filter(|(at, _)| !moves::ALL.contains(at))
            .map(|(at, count)| format!("{}: {} → {}: {count}", at.machine, at.from, at.to))
            .collect()
    }

    /// The table that is printed.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_HORIZONTAL_ONLY);
        table.set_header(["kind", "what", "times"]);
        for (group, what, count) in self.rows() {
            table.add_row([Cell::new(group), Cell::new(what), Cell::new(count).set_alignment(CellAlignment::Right)]);
        }
        table
    }
}
