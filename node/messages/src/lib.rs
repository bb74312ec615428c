//! kho-messages keeps one sentence true: *what a person reads stands in a message file, in every language, and never in code.*
//!
//! ```text
//! a typed kind ── Reportable ─► code + arguments ──► JSON, for programs
//!                                     │
//!                                     └─► Catalogue::text(lang, "subject-code", arguments) ──► a sentence, for people
//! ```
//! Reading order: [`argument`] (what a kind gives), [`declare`] (how an enum of kinds is written down), [`catalogue`] (how it becomes text), [`lang`] (whose language it is), [`coverage`]
//! (how tests see that no text is missing). The texts themselves are in `locales/en` and `locales/vi`, one file a subject.
//!
//! Invariant: both languages have the same messages, and each message has the same arguments in both
//! (test `both_languages_have_the_same_messages_with_the_same_arguments`).

pub mod argument;
pub mod catalogue;
pub mod coverage;
pub mod declare;
pub mod lang;

pub use argument::{Argument, Arguments, Message, Ordinal, Reportable};
pub use catalogue::{Catalogue, hint, report, text};
pub use lang::{Lang, UnknownLanguage};
