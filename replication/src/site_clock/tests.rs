//! Clocks that jump, are lost and come back.

use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
/// When the certificate was signed.
const SIGNED: i64 = 1_790_000_000_000;
/// The newest time that the site committed, when the node starts.
const COMMITTED: SiteTime = SiteTime(SIGNED + 100 * DAY);

fn own() -> Validity {
    Validity { not_before: SiteTime(SIGNED - HOUR), not_after: SiteTime(SIGNED + 2 * YEAR) }
}

/// A node that started when the site had committed [`COMMITTED`], and what its machine's clock shows from then on.
struct Node {
    clock: SiteClock,
    now: LinkTime,
    /// What the machine's clock shows beyond the right time, which is [`COMMITTED`] at the start and `off` later.
    ahead: i64,
    off: i64,
}

impl Node {
    fn started(off: i64, ahead: i64) -> Self {
        Self { clock: SiteClock::new(own(), Some(COMMITTED), LinkTime(0)), now: LinkTime(0), ahead, off }
    }

    /// The right time.
    fn right(&self) -> SiteTime {
        advanced(SiteTime(COMMITTED.0 + self.off), self.now.0)
    }

    fn machine(&self) -> SiteTime {
        SiteTime(self.right().0 + self.ahead)
    }

    fn read(&mut self) -> ClockReading {
        let machine = self.machine();
        self.clock.read(machine, self.now)
    }

    fn wait(&mut self, ms: i64) -> ClockReading {
        self.now = self.now.after_ms(ms.unsigned_abs());
        self.read()
    }

    fn hear(&mut self, neighbour: Neighbour, ahead: i64) -> ClockReading {
        let (theirs, machine) = (SiteTime(self.right().0 + ahead), self.machine());
        self.clock.hear(neighbour, theirs, machine, self.now);
        self.read()
    }
}

#[test]
fn what_the_log_shows_as_committed_once_it_is_applied_vouches_as_if_it_had_been_known_at_once() {
    let mut clock = SiteClock::new(own(), None, LinkTime(0));
    let three_years_on = SiteTime(COMMITTED.0 + 3 * YEAR);
    clock.has_committed(COMMITTED, LinkTime(0));
    let reading = clock.read(three_years_on, LinkTime(0));
    assert_eq!((reading.time, is_ahead(&reading)), (COMMITTED, true));
    clock.has_committed(SiteTime(COMMITTED.0 - DAY), LinkTime(0));
    assert_eq!(clock.read(three_years_on, LinkTime(0)).time, COMMITTED, "what was known before stays");
    clock.has_committed(SiteTime(COMMITTED.0 + DAY), LinkTime(0));
    assert_eq!(clock.read(three_years_on, LinkTime(0)).time, SiteTime(COMMITTED.0 + DAY));
}

fn is_ahead(reading: &ClockReading) -> bool {
    matches!(reading.standing, ClockStanding::Ahead { .. })
}

fn is_behind(reading: &ClockReading) -> bool {
    matches!(reading.standing, ClockStanding::Behind { .. })
}

#[test]
fn promise_9_one_clock_of_the_future_stamps_nothing_of_it() {
    for jump in [HOUR, 30 * DAY, 3 * YEAR] {
        // At the start, and while it runs.
        let mut node = Node::started(0, jump);
        let reading = node.wait(MINUTE);
        assert!(is_ahead(&reading) && reading.time == node.right(), "{jump}: {reading:?}");
        node.ahead = 0;
        assert_eq!(node.wait(MINUTE).standing, ClockStanding::Plausible, "{jump}: it is right again");
        node.ahead = jump;
        let reading = node.wait(MINUTE);
        assert!(is_ahead(&reading) && reading.time == node.right(), "{jump}: {reading:?}");
        // Neighbours whose clocks are right don't vouch for it, nor does one that is wrong in its own way.
        for (neighbour, theirs) in [(Neighbour::Parent, 0), (Neighbour::Other, 0), (Neighbour::Other, jump + HOUR)] {
            let reading = node.hear(neighbour, theirs);
            assert!(is_ahead(&reading) && reading.time == node.right(), "{jump}, {neighbour:?}: {reading:?}");
        }
        node.ahead = 0;
        let reading = node.wait(30_000);
        assert_eq!((reading.standing, reading.time), (ClockStanding::Plausible, node.right()), "{jump}: at once, without a restart");
    }
}

#[test]
fn a_site_that_was_off_for_months_goes_on_when_a_neighbour_agrees() {
    for neighbour in [Neighbour::Parent, Neighbour::Other] {
        let mut node = Node::started(90 * DAY, 0);
        assert!(is_ahead(&node.wait(MINUTE)), "nobody vouches for so long a time");
        let reading = node.hear(neighbour, 20_000);
        assert_eq!((reading.standing, reading.time), (ClockStanding::Plausible, node.right()), "{neighbour:?}");
    }
}

#[test]
fn a_site_without_a_link_goes_on_from_what_it_committed_until_an_operator_confirms() {
    let mut node = Node::started(90 * DAY, 0);
    let reading = node.wait(HOUR);
    assert!(is_ahead(&reading) && reading.time == advanced(COMMITTED, HOUR.unsigned_abs()), "{reading:?}");
    let machine = node.machine();
    node.clock.confirm(machine, node.now);
    assert_eq!(node.read().time, node.right());
    assert_eq!(node.wait(DAY).standing, ClockStanding::Plausible);
}

#[test]
fn a_clock_that_is_minutes_fast_goes_by_its_parent_and_says_so() {
    let mut node = Node::started(2 * DAY, 10 * MINUTE);
    let reading = node.hear(Neighbour::Parent, 0);
    assert!(is_ahead(&reading) && reading.time == node.right(), "{reading:?}");
}

#[test]
fn a_clock_that_is_behind_its_parent_stamps_no_more_than_it_shows_and_says_so() {
    let mut node = Node::started(0, 0);
    node.hear(Neighbour::Parent, 0);
    node.ahead = -5 * HOUR;
    let reading = node.wait(MINUTE);
    assert!(is_behind(&reading) && reading.time == node.machine(), "{reading:?}");
    // A parent whose clock is of the future drags nobody along.
    node.ahead = 0;
    let reading = node.hear(Neighbour::Parent, 3 * YEAR);
    assert!(is_behind(&reading) && reading.time == node.right(), "{reading:?}");
    assert_eq!(node.hear(Neighbour::Parent, 0).standing, ClockStanding::Plausible);
}

#[test]
fn promise_9_a_parent_of_the_future_vouches_for_no_jump_that_comes_after_its_word() {
    for heard in [Neighbour::Parent, Neighbour::Other] {
        let mut node = Node::started(0, 0);
        node.hear(heard, 3 * YEAR);
        node.ahead = YEAR;
        let reading = node.wait(1_000);
        assert!(is_ahead(&reading) && reading.time == node.right(), "{heard:?}: {reading:?}");
    }
}

#[test]
fn a_lost_clock_is_carried_by_what_the_site_committed() {
    let mut node = Node::started(0, -20 * YEAR);
    let reading = node.wait(MINUTE);
    assert!(is_behind(&reading) && reading.time == node.right(), "{reading:?}");
    assert_eq!(reading.certificate_time(own()), node.right());
    // A neighbour that lost its clock as well vouches for nothing.
    let reading = node.hear(Neighbour::Other, -20 * YEAR);
    assert!(is_behind(&reading) && reading.time == node.right(), "{reading:?}");
}

#[test]
fn a_committed_time_of_the_future_keeps_nobody_out_once_the_clock_is_right() {
    let mut node = Node { clock: SiteClock::new(own(), Some(SiteTime(COMMITTED.0 + 3 * YEAR)), LinkTime(0)), ..Node::started(0, 0) };
    let reading = node.wait(MINUTE);
    assert!(is_behind(&reading) && reading.time == node.right(), "{reading:?}");
    assert_eq!(reading.certificate_time(own()), node.right());
    assert_eq!(node.hear(Neighbour::Parent, 0).standing, ClockStanding::Plausible);
}

#[test]
fn a_clock_by_which_the_own_certificate_has_ended_judges_certificates_by_what_is_vouched_for() {
    let mut node = Node::started(0, 3 * YEAR);
    let reading = node.wait(MINUTE);
    assert_eq!(reading.certificate_time(own()), node.right());
    // Off for months with a right clock: others may have new certificates since.
    let mut node = Node::started(90 * DAY, 0);
    let reading = node.wait(MINUTE);
    assert_eq!((reading.certificate_time(own()), is_ahead(&reading)), (node.right(), true));
}

#[test]
fn a_fresh_root_goes_by_its_own_clock_and_any_other_fresh_site_by_its_certificate() {
    let machine = SiteTime(SIGNED + 40 * DAY);
    let fresh = || SiteClock::new(own(), None, LinkTime(0));
    let mut root = fresh();
    root.settle(true, machine, LinkTime(0));
    assert_eq!(root.read(machine, LinkTime(0)).standing, ClockStanding::Plausible);
    // Its first word holds.
    root.settle(true, SiteTime(SIGNED + YEAR), LinkTime(0));
    assert!(is_ahead(&root.read(SiteTime(SIGNED + YEAR), LinkTime(0))));

    let mut district = fresh();
    district.settle(false, machine, LinkTime(0));
    let reading = district.read(machine, LinkTime(0));
    assert!(is_ahead(&reading) && reading.time == SiteTime(SIGNED), "{reading:?}");
    district.hear(Neighbour::Parent, machine, machine, LinkTime(0));
    assert_eq!(district.read(machine, LinkTime(0)).time, machine);

    let mut of_the_future = fresh();
    of_the_future.settle(true, SiteTime(SIGNED + 3 * YEAR), LinkTime(0));
    assert!(is_ahead(&of_the_future.read(SiteTime(SIGNED + 3 * YEAR), LinkTime(0))), "no certificate of its own is good then");
}

#[test]
fn small_corrections_never_add_up_to_a_jump() {
    let mut node = Node::started(0, 0);
    for _ in 0..100 {
        node.ahead += MINUTE;
        assert_eq!(node.wait(HOUR).standing, ClockStanding::Plausible);
    }
    // But not all at once.
    node.ahead += 10 * MINUTE;
    assert!(is_ahead(&node.wait(1_000)));
}
