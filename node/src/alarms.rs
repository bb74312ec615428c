//! What an operator has to know: raised where it is found, shown in status until it is over.

use std::collections::BTreeMap;

use kho_storage::ids::SiteTime;
use parking_lot::Mutex;

use crate::api::Alarm;

/// Alarms kept at most; beyond it the oldest go.
const ALARMS_MAX: usize = 200;

/// Alarms by their subject. Raising one again keeps its first time.
#[derive(Debug, Default)]
pub struct Alarms {
    raised: Mutex<BTreeMap<String, (SiteTime, String)>>,
}

impl Alarms {
    /// Raises, or updates, the alarm about `subject`. Logged once, when it is new or says something else.
    pub fn raise(&self, subject: impl Into<String>, message: impl Into<String>, now: SiteTime) {
        let (subject, message) = (subject.into(), message.into());
        let mut raised = self.raised.lock();
        let since = raised.get(&subject).map_or(now, |(since, _)| *since);
        let news = raised.get(&subject).is_none_or(|(_, said)| *said != message);
        if news {
            tracing::error!(alarm = %subject, "{message}");
            metrics::counter!("kho_alarms_raised_total").increment(1);
        }
        raised.insert(subject, (since, message));
        if raised.len() > ALARMS_MAX
            && let Some(oldest) = raised.iter().min_by_key(|(_, (since, _))| *since).map(|(subject, _)| subject.clone())
        {
            raised.remove(&oldest);
        }
    }

    /// Ends the alarm about `subject`.
    pub fn clear(&self, subject: &str) {
        if self.raised.lock().remove(subject).is_some() {
            tracing::info!(alarm = %subject, "over");
        }
    }

    pub fn list(&self) -> Vec<Alarm> {
        self.raised
            .lock()
            .iter()
            .map(|(code, (since, message))| Alarm { code: code.clone(), message: message.clone(), since: since.to_rfc3339() })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_keeps_its_first_time_until_it_is_over() {
        let alarms = Alarms::default();
        alarms.raise("disk", "little space", SiteTime(1_000));
        alarms.raise("disk", "less space", SiteTime(9_000));
        let listed = alarms.list();
        assert_eq!((listed.len(), listed[0].since.as_str(), listed[0].message.as_str()), (1, "1970-01-01T00:00:01Z", "less space"));
        alarms.clear("disk");
        assert!(alarms.list().is_empty());
    }
}
