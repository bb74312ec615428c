//! Answers: numbers and rows read from what the site holds, each with what it rests on.
//!
//! ```text
//!   parameters ──► IndicatorQuery::parse ──► answer_indicator ─┬─ Basis: which origins count, which sites are missing
//!                                                              ├─ Plan:  which cells of which cubes count where
//!   table, key ──────────────────────────► find_row            └─ Tally: sums by group, bounded
//! ```
//! Invariants: an answer names every site that it lacks and the oldest that it includes (test
//! `promise_9_an_answer_names_the_missing_and_the_oldest_site`); a table is added up while cells are read, so memory is bounded
//! by the groups asked for (test `a_table_of_too_many_groups_is_refused`).
//! Not here: rights, read indexes, rendering. The caller decides who may ask and makes sure that the node has applied enough.

mod completeness;
mod context;
mod fault;
mod indicator;
mod row;
mod territory;
#[cfg(test)]
pub(crate) mod tests;

pub use completeness::Basis;
pub use context::{AnswerContext, ReadMode};
pub use fault::BadQuestion;
pub use indicator::{GROUPS_MAX, Grouping, Indicator, IndicatorInfo, IndicatorQuery, answer_indicator, indicator_list, indicators};
pub use row::find_row;
pub use territory::{Territory, catalogue_in_use};

/// What was given, cut to a length and safe to print.
fn cut(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    let mut short = String::new();
    for c in text.chars().take(SHOWN_CHARS_MAX) {
        if c.is_control() { short.extend(c.escape_debug()) } else { short.push(c) }
    }
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}
