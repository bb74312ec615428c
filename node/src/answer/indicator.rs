//! Indicators: named tables of numbers over cubes.
//!
//! Reading order: [`registry`] says what each indicator counts, [`query`] what may be asked, [`plan`] resolves both against
//! the schema, [`tally`] adds cells up, [`evaluate`] runs it all over one consistent picture.
//!
//! Ages are completed years at the precision of months, because cubes keep the month of birth: a person turns N in the month of
//! birth, an unknown month counts as July (the middle of the year), an unknown date of birth is age `unknown`, and whoever
//! was born after the reference date is counted as `born_later`.

mod evaluate;
mod grouping;
mod period;
mod plan;
mod query;
mod registry;
mod tally;

pub use evaluate::answer_indicator;
pub use grouping::Grouping;
pub use period::{Month, Period};
pub use query::IndicatorQuery;
pub use registry::{Indicator, IndicatorInfo, indicator_list, indicators};
pub use tally::GROUPS_MAX;
