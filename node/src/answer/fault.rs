//! What may be wrong with a question: one kind a text.
//!
//! Invariant: every kind has a text and a hint in every language (test `every_bad_question_has_a_text_and_a_hint_in_every_language`).

kho_messages::reportable! {
    /// Why a question can't be answered. Texts from outside are cut and safe to print (see [`super::cut`]).
    pub enum BadQuestion in "question" {
        UnknownIndicator { given: String, indicators: String } = "unknown_indicator",
        UnknownParameter { given: String, parameters: String } = "unknown_parameter",
        UnknownReadMode { given: String } = "unknown_read_mode",

        UnknownDimension { indicator: String, given: String, dimensions: String } = "unknown_dimension",
        /// As [`BadQuestion::UnknownDimension`], for an indicator that has none.
        NoDimensions { indicator: String, given: String } = "unknown_dimension" as "no_dimensions",
        RepeatedDimension { given: String } = "repeated_dimension",
        TooManyGroups { groups_max: usize } = "too_many_groups",

        WrongDate { given: String } = "wrong_date",
        AgesNotCounted { indicator: String } = "not_applicable" as "ages_not_counted",
        PeriodNotApplicable { indicator: String } = "not_applicable" as "period_not_applicable",
        WrongMonth { given: String, parameter: String } = "wrong_month",
        OpenPeriod { indicator: String } = "open_period",
        EmptyPeriod { first: String, last: String } = "empty_period",

        WrongArea { given: String } = "wrong_area",
        UnknownArea { given: String, catalogue: String, levels: String, others: String } = "unknown_area",
        UnknownLevel { given: String, levels: String } = "unknown_level",
        LevelMissing { level: &'static str, catalogue: String, levels: String } = "unknown_level" as "level_missing",
        LevelTooCoarse { level: &'static str, area_level: &'static str } = "level_too_coarse",
        UnknownCatalogue { given: String, catalogues: String } = "unknown_catalogue",

        UnknownTable { given: String, tables: String } = "unknown_table",
        WrongKey { bytes: usize, column: String, table: String, bytes_max: usize } = "wrong_key",

        /// The site's schema lacks a part that the indicator is counted from, such as cube `persons`.
        NotCounted { indicator: String, missing: String } = "not_counted",
        /// This node's clock gives a day that no calendar has.
        WrongClock { time: String } = "wrong_clock",
    }
}

#[cfg(test)]
mod tests {
    use kho_messages::coverage;

    use super::*;

    #[test]
    fn every_bad_question_has_a_text_and_a_hint_in_every_language() {
        assert_eq!(coverage::declared_gaps(BadQuestion::SUBJECT, BadQuestion::TEXTS, &["hint"]), Vec::<String>::new());
    }
}
