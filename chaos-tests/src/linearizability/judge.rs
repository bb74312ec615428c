//! Judges a history: is there one order of all calls, each at some moment between its beginning and its end, in which every read
//! gives the value of the write before it?
//!
//! Keys are judged one by one: a history is linearizable exactly when its part for each key is (Herlihy and Wing, 1990, theorem
//! 1). For one key this is the search of Wing and Gong (1993), which extends an order call by call, with Lowe's memory of what
//! was tried (2017): after the same calls with the same value in the register nothing else can follow. Two things keep it short:
//!
//! - A read that may come next and sees the register's value comes next. It changes nothing, so putting it off gains nothing.
//! - A write that was never answered and never read is left out: it may just as well never have happened. One that was read
//!   happened; it may come at any time after its beginning.
//!
//! The judge is held against `stateright`'s tester on small histories (test `it_agrees_with_another_judge`), which has no memory
//! of what it tried and takes for ever on histories of hundreds of calls.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use super::history::{Call, History, Operation};

/// Why no order explains a history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {key}: no order explains these calls; {explained} of {calls} were put in order, and then none of these can come next:\n{}", .stuck.join("\n"))]
pub struct NotLinearizable {
    pub key: String,
    pub calls: usize,
    /// In the longest order that was found.
    pub explained: usize,
    /// The calls that had to come next after it, and the value that stood in the register.
    pub stuck: Vec<String>,
}

/// # Errors
/// [`NotLinearizable`] for the first key that no order explains.
pub fn judge(history: &History) -> Result<(), NotLinearizable> {
    let mut by_key: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in &history.calls {
        by_key.entry(&call.key).or_default().push(call);
    }
    by_key.into_iter().try_for_each(|(key, calls)| judge_key(key, &calls))
}

/// The value in the register: 0 for none, else the place of the write among all writes, from 1.
type Value = usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Writes(Value),
    Reads(Value),
}

#[derive(Debug, Clone, Copy)]
struct Step {
    effect: Effect,
    begun: Duration,
    /// [`Duration::MAX`] for a call that may come at any later time, and need not come at all.
    ended: Duration,
}

fn judge_key(key: &str, calls: &[&Call]) -> Result<(), NotLinearizable> {
    let read: BTreeSet<&str> = calls
        .iter()
        .filter_map(|call| if let Operation::Read { value: Some(value) } = &call.operation { Some(value.as_str()) } else { None })
        .collect();
    let counts =
        |call: &&&Call| call.ended.is_some() || matches!(&call.operation, Operation::Write { value } if read.contains(value.as_str()));
    let mut calls: Vec<&Call> = calls.iter().filter(counts).copied().collect();
    calls.sort_by_key(|call| call.begun);
    let mut values: HashMap<&str, Value> = HashMap::new();
    for call in &calls {
        if let Operation::Write { value } = &call.operation {
            let number = values.len() + 1;
            values.insert(value, number);
        }
    }
    let failed = |explained: usize, stuck: Vec<String>| Err(NotLinearizable { key: key.into(), calls: calls.len(), explained, stuck });
    let mut steps = Vec::with_capacity(calls.len());
    for call in &calls {
        let effect = match &call.operation {
            Operation::Write { value } => Effect::Writes(values[value.as_str()]),
            Operation::Read { value: None } => Effect::Reads(0),
            Operation::Read { value: Some(value) } => match values.get(value.as_str()) {
                Some(value) => Effect::Reads(*value),
                None => return failed(0, vec![format!("  {call}, which nobody wrote")]),
            },
        };
        steps.push(Step { effect, begun: call.begun, ended: call.ended.unwrap_or(Duration::MAX) });
    }
    match Search::new(&steps).run() {
        None => Ok(()),
        Some(Stuck { done, value }) => {
            let stands = values.iter().find(|(_, number)| **number == value).map_or("nothing", |(text, _)| text);
            let stuck = done.next_of(&steps).map(|place| format!("  {} (the register holds {stands})", calls[place]));
            failed(done.count(), stuck.collect())
        }
    }
}

/// Which steps are in the order already.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Done(Vec<u64>);

impl Done {
    fn none_of(steps: usize) -> Self {
        Self(vec![0; steps.div_ceil(64)])
    }

    fn holds(&self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 == 1
    }

    fn with(&self, place: usize) -> Self {
        let mut more = self.clone();
        more.0[place / 64] |= 1 << (place % 64);
        more
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Steps that may come next: no other step that is still to come had ended before they began.
    fn next_of<'s>(&'s self, steps: &'s [Step]) -> impl Iterator<Item = usize> + 's {
        let first_end = self.open(steps).map(|place| steps[place].ended).min().unwrap_or(Duration::MAX);
        self.open(steps).take_while(move |place| steps[*place].begun <= first_end)
    }

    fn open<'s>(&'s self, steps: &'s [Step]) -> impl Iterator<Item = usize> + 's {
        (0..steps.len()).filter(|place| !self.holds(*place))
    }

    /// Whether all that must come has come.
    fn is_complete(&self, steps: &[Step]) -> bool {
        self.open(steps).all(|place| steps[place].ended == Duration::MAX)
    }
}

/// The longest order found when there is none for all.
struct Stuck {
    done: Done,
    value: Value,
}

struct Search<'s> {
    steps: &'s [Step],
    tried: HashSet<(Done, Value)>,
}

impl<'s> Search<'s> {
    fn new(steps: &'s [Step]) -> Self {
        Self { steps, tried: HashSet::new() }
    }

    /// None when there is an order.
    fn run(mut self) -> Option<Stuck> {
        let mut longest = Stuck { done: Done::none_of(self.steps.len()), value: 0 };
        let mut to_try = vec![(longest.done.clone(), 0)];
        while let Some((done, value)) = to_try.pop() {
            let done = self.with_reads(done, value);
            if done.is_complete(self.steps) {
                return None;
            }
            if done.count() > longest.done.count() {
                longest = Stuck { done: done.clone(), value };
            }
            if !self.tried.insert((done.clone(), value)) {
                continue;
            }
            let before = to_try.len();
            for place in done.next_of(self.steps) {
                if let Effect::Writes(value) = self.steps[place].effect {
                    to_try.push((done.with(place), value));
                }
            }
            // The write that began first is tried first: most often it came first.
            to_try[before..].reverse();
        }
        Some(longest)
    }

    /// Every read that may come next and sees `value`, over and over: the end of one lets others come.
    fn with_reads(&self, mut done: Done, value: Value) -> Done {
        loop {
            let read = done.next_of(self.steps).find(|place| self.steps[*place].effect == Effect::Reads(value));
            match read {
                Some(place) => done = done.with(place),
                None => return done,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;
    use stateright::semantics::{
        ConsistencyTester as _, LinearizabilityTester,
        register::{Register, RegisterOp, RegisterRet},
    };

    use super::*;

    fn call(client: usize, operation: Operation, begun: u64, ended: Option<u64>) -> Call {
        Call { client, key: "k".into(), operation, begun: Duration::from_millis(begun), ended: ended.map(Duration::from_millis) }
    }

    fn write(client: usize, value: &str, begun: u64, ended: u64) -> Call {
        call(client, Operation::Write { value: value.into() }, begun, Some(ended))
    }

    fn open_write(client: usize, value: &str, begun: u64) -> Call {
        call(client, Operation::Write { value: value.into() }, begun, None)
    }

    fn read(client: usize, value: &str, begun: u64, ended: u64) -> Call {
        call(client, Operation::Read { value: (!value.is_empty()).then(|| value.into()) }, begun, Some(ended))
    }

    fn is_linearizable(calls: &[Call]) -> bool {
        judge(&History { calls: calls.to_vec() }).is_ok()
    }

    #[test]
    fn a_read_that_misses_an_acknowledged_write_is_found() {
        assert!(is_linearizable(&[write(0, "a", 0, 10), read(1, "a", 20, 30)]));
        assert!(!is_linearizable(&[write(0, "a", 0, 10), read(1, "", 20, 30)]));
        assert!(!is_linearizable(&[write(0, "a", 0, 10), write(0, "b", 20, 30), read(1, "a", 40, 50)]), "a planted stale read");
    }

    #[test]
    fn calls_beside_each_other_may_come_in_any_order_but_in_one() {
        let beside = [write(0, "a", 0, 100), write(1, "b", 0, 100)];
        for last in ["a", "b"] {
            assert!(is_linearizable(&[&beside[..], &[read(2, last, 110, 120)]].concat()));
        }
        assert!(is_linearizable(&[&beside[..], &[read(2, "", 50, 60), read(3, "b", 70, 80), read(2, "a", 85, 90)]].concat()));
        assert!(
            !is_linearizable(&[&beside[..], &[read(2, "a", 10, 20), read(3, "b", 30, 40), read(2, "a", 50, 60)]].concat()),
            "a comes back"
        );
        assert!(!is_linearizable(&[&beside[..], &[read(2, "a", 110, 120), read(3, "b", 130, 140)]].concat()), "nobody writes any more");
    }

    #[test]
    fn a_write_without_an_answer_may_come_late_or_never_but_not_early_and_not_twice() {
        let before = [write(0, "a", 0, 10), open_write(1, "b", 20)];
        assert!(is_linearizable(&[&before[..], &[read(2, "a", 30, 40)]].concat()), "never");
        assert!(is_linearizable(&[&before[..], &[read(2, "a", 30, 40), read(2, "b", 900, 910)]].concat()), "late");
        assert!(!is_linearizable(&[&before[..], &[read(2, "b", 12, 15)]].concat()), "before it began");
        assert!(!is_linearizable(&[&before[..], &[read(2, "b", 30, 40), write(0, "c", 50, 60), read(2, "b", 70, 80)]].concat()), "twice");
    }

    #[test]
    fn a_value_that_nobody_wrote_and_one_of_another_key_are_found() {
        let invented = judge(&History { calls: vec![write(0, "a", 0, 10), read(1, "x", 20, 30)] }).expect_err("invented");
        assert!(invented.to_string().contains("nobody wrote"), "{invented}");
        let mut elsewhere = read(1, "a", 20, 30);
        elsewhere.key = "other".into();
        assert!(!is_linearizable(&[write(0, "a", 0, 10), elsewhere]));
    }

    #[test]
    fn what_can_not_come_next_is_named() {
        let error = judge(&History { calls: vec![write(0, "a", 0, 10), write(0, "b", 20, 30), read(1, "a", 40, 50)] }).expect_err("stale");
        assert_eq!((error.explained, error.calls), (2, 3));
        assert!(error.to_string().contains("read a (the register holds b)"), "{error}");
    }

    /// A history of a register that serves some reads from a while ago, as a follower that lags would.
    fn drawn(chance: &mut ChaCha8Rng, stale_percent: u32) -> Vec<Call> {
        let clients = 3;
        let mut free_at = [0u64; 3];
        let mut past: Vec<(u64, Option<String>)> = vec![(0, None)];
        let mut calls = Vec::new();
        for number in 0..10 {
            let client = chance.random_range(0..clients);
            let begun = free_at[client] + chance.random_range(1..20);
            let acts = begun + chance.random_range(0..10);
            let ended = acts + chance.random_range(1..10);
            free_at[client] = ended;
            if chance.random_bool(0.5) {
                let value = format!("v{number}");
                let answered = chance.random_bool(0.8);
                if answered || chance.random_bool(0.5) {
                    past.push((acts, Some(value.clone())));
                }
                calls.push(call(client, Operation::Write { value }, begun, answered.then_some(ended)));
                if !answered {
                    free_at[client] = u64::MAX / 2;
                }
            } else {
                let back = if chance.random_ratio(stale_percent, 100) { chance.random_range(1..25) } else { 0 };
                let sees = acts.saturating_sub(back);
                calls.push(call(client, Operation::Read { value: Some(format!("{sees}")) }, begun, Some(ended)));
            }
            if free_at.iter().all(|free| *free >= u64::MAX / 2) {
                break;
            }
        }
        // Reads are answered once all writes are known.
        past.sort();
        for call in &mut calls {
            if let Operation::Read { value } = &mut call.operation {
                let sees: u64 = value.as_deref().and_then(|text| text.parse().ok()).expect("drawn above");
                *value = past.iter().rev().find(|(at, _)| *at <= sees).and_then(|(_, value)| value.clone());
            }
        }
        calls.retain(|call| call.begun < Duration::from_millis(u64::MAX / 4));
        calls
    }

    fn other_judge(calls: &[Call]) -> bool {
        let mut tester = LinearizabilityTester::new(Register(None::<String>));
        // Ends BEFORE beginnings at the same time would say "one after the other", which our judge does not.
        let mut events: Vec<(Duration, bool, &Call)> = Vec::new();
        for call in calls {
            events.push((call.begun, false, call));
            events.extend(call.ended.map(|ended| (ended, true, call)));
        }
        events.sort_by_key(|(at, is_end, _)| (*at, *is_end));
        for (_, is_end, call) in events {
            let fed = match (&call.operation, is_end) {
                (Operation::Write { value }, false) => tester.on_invoke(call.client, RegisterOp::Write(Some(value.clone()))).map(drop),
                (Operation::Write { .. }, true) => tester.on_return(call.client, RegisterRet::WriteOk).map(drop),
                (Operation::Read { .. }, false) => tester.on_invoke(call.client, RegisterOp::Read).map(drop),
                (Operation::Read { value }, true) => tester.on_return(call.client, RegisterRet::ReadOk(value.clone())).map(drop),
            };
            fed.expect("one call of a client at a time");
        }
        tester.is_consistent()
    }

    #[test]
    fn it_agrees_with_another_judge() {
        let (mut good, mut bad) = (0, 0);
        for seed in 0..3_000 {
            let calls = drawn(&mut ChaCha8Rng::seed_from_u64(seed), u32::try_from(seed % 3).expect("small") * 30);
            let theirs = other_judge(&calls);
            assert_eq!(is_linearizable(&calls), theirs, "seed {seed}: {calls:#?}");
            *(if theirs { &mut good } else { &mut bad }) += 1;
        }
        assert!(good > 500 && bad > 300, "{good} were linearizable and {bad} were not");
    }

    #[test]
    fn hundreds_of_calls_beside_each_other_are_judged_at_once() {
        let mut chance = ChaCha8Rng::seed_from_u64(1);
        let mut calls = Vec::new();
        for number in 0..300u64 {
            let begun = number * 2;
            let value = format!("v{number}");
            calls.push(write(usize::try_from(number).expect("small"), &value, begun, begun + chance.random_range(20..60)));
        }
        calls.push(read(999, "v299", 1_000, 1_010));
        let started = std::time::Instant::now();
        assert!(is_linearizable(&calls));
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}
