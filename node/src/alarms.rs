//! What an operator has to know: raised where it happens, shown in status until it is over.
//!
//! Alarms are reports. No part of the node decides by them, and what stands in the data is no alarm but a [`crate::api::Finding`].
//!
//! Invariants: there is one alarm of a kind and subject (test `one_failure_is_reported_once`), and when there are too many, the most
//! severe stay (test `a_flood_of_alarms_evicts_no_guard`).

use std::{cmp::Reverse, collections::BTreeMap};

use kho_messages::{Lang, Reportable as _, report};
use kho_storage::ids::SiteTime;
use parking_lot::Mutex;

use crate::api::{Alarm, AlarmKind, AlarmSubject};

/// Alarms kept at most. Beyond it the least severe go, of them the oldest.
const ALARMS_MAX: usize = 200;

type Key = (&'static str, AlarmSubject);

#[derive(Debug)]
struct Raised {
    kind: AlarmKind,
    since: SiteTime,
}

/// Alarms by kind and subject.
#[derive(Debug, Default)]
pub struct Alarms {
    raised: Mutex<BTreeMap<Key, Raised>>,
}

impl Alarms {
    /// Raises an alarm. One of the same kind and subject takes the new figures and keeps its first time. Logged when it is new or says
    /// something else.
    pub fn raise(&self, kind: AlarmKind, now: SiteTime) {
        let key = (kind.code(), kind.about());
        let mut raised = self.raised.lock();
        let earlier = raised.get(&key);
        if earlier.is_none_or(|earlier| !kind.repeats(&earlier.kind)) {
            tracing::error!(alarm = key.0, subject = report(Lang::En, &key.1), "{}", report(Lang::En, &kind));
            metrics::counter!("kho_alarms_raised_total").increment(1);
        }
        let since = earlier.map_or(now, |earlier| earlier.since);
        raised.insert(key, Raised { kind, since });
        if raised.len() > ALARMS_MAX
            && let Some(least) = raised.iter().min_by_key(|(_, raised)| (raised.kind.severity(), raised.since)).map(|(key, _)| key.clone())
        {
            raised.remove(&least);
        }
    }

    /// Ends every alarm that is over.
    pub fn end(&self, is_over: impl Fn(&AlarmKind) -> bool) {
        self.raised.lock().retain(|(code, subject), raised| {
            let over = is_over(&raised.kind);
            if over {
                tracing::info!(alarm = code, subject = report(Lang::En, subject), "over");
            }
            !over
        });
    }

    /// Every alarm, the most severe first.
    pub fn list(&self) -> Vec<Alarm> {
        let raised = self.raised.lock();
        let mut list: Vec<_> = raised.iter().collect();
        list.sort_by_key(|(_, raised)| Reverse(raised.kind.severity()));
        list.into_iter()
            .map(|((_, subject), raised)| Alarm {
                severity: raised.kind.severity(),
                subject: subject.clone(),
                kind: raised.kind.clone(),
                since: raised.since.to_rfc3339(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Reason, Severity};

    fn refused(origin: u32) -> AlarmKind {
        AlarmKind::SegmentRefused { origin, carrier: 4, reason: Reason::new("refusal", "bad_chain", vec![], "they do not fit") }
    }

    fn disk_full(free_mib: u64) -> AlarmKind {
        AlarmKind::DiskFull { folder: "/data".into(), free_mib, reserve_mib: 9 }
    }

    #[test]
    fn an_alarm_keeps_its_first_time_until_it_is_over() {
        let alarms = Alarms::default();
        alarms.raise(disk_full(3), SiteTime(1_000));
        alarms.raise(disk_full(2), SiteTime(9_000));
        let listed = alarms.list();
        assert_eq!((listed.len(), listed[0].since.as_str(), &listed[0].kind), (1, "1970-01-01T00:00:01Z", &disk_full(2)));
        alarms.end(|kind| matches!(kind, AlarmKind::DiskFull { .. }));
        assert!(alarms.list().is_empty());
    }

    #[test]
    fn one_failure_is_reported_once() {
        let alarms = Alarms::default();
        for second in 0..5 {
            alarms.raise(refused(3), SiteTime(second));
            alarms.raise(disk_full(second as u64), SiteTime(second));
        }
        assert_eq!(alarms.list().len(), 2);
        assert!(disk_full(1).repeats(&disk_full(2)), "free space changes all the time: it is no new report");
        alarms.raise(refused(4), SiteTime(9));
        assert_eq!(alarms.list().len(), 3, "another origin is another subject");
        alarms.end(|kind| matches!(kind, AlarmKind::SegmentRefused { origin: 3, .. }));
        assert_eq!(alarms.list().iter().filter(|alarm| alarm.severity == Severity::Warning).count(), 1);
    }

    #[test]
    fn a_flood_of_alarms_evicts_no_guard() {
        let alarms = Alarms::default();
        alarms.raise(disk_full(0), SiteTime(0));
        for origin in 0..3 * ALARMS_MAX {
            alarms.raise(refused(u32::try_from(origin).expect("small")), SiteTime(1 + origin as i64));
        }
        let listed = alarms.list();
        assert_eq!(listed.len(), ALARMS_MAX);
        assert_eq!((&listed[0].kind, listed[0].severity), (&disk_full(0), Severity::Critical));
    }
}
