//! The message files, read once, and how a message becomes a text.
//!
//! Invariant: rendering never fails and never panics. A message that a language lacks is shown in English, and one that English lacks by its
//! id (test `a_message_that_is_missing_shows_its_id`).
//! Invariant: a text is bounded, whatever its arguments are (test `texts_are_bounded_and_stay_on_their_line`).

use std::sync::LazyLock;

use fluent_bundle::{FluentArgs, FluentResource, FluentValue, concurrent::FluentBundle};

use crate::{
    argument::{Argument, Message, Reportable},
    lang::Lang,
};

/// The longest text that is rendered, in bytes.
pub const TEXT_BYTES_MAX: usize = 8 << 10;
/// The longest argument that is shown, in characters.
const ARGUMENT_CHARS_MAX: usize = 2_000;
/// How deep texts may stand inside texts.
const DEPTH_MAX: usize = 4;
/// Numbers above are not exact as floats, so they are shown as text.
const EXACT_MAX: u64 = 1 << 53;

macro_rules! subjects {
    ($($name:literal),+ $(,)?) => {
        &[$(Subject {
            name: $name,
            sources: [
                (Lang::En, include_str!(concat!("../locales/en/", $name, ".ftl"))),
                (Lang::Vi, include_str!(concat!("../locales/vi/", $name, ".ftl"))),
            ],
        }),+]
    };
}

/// Every message file.
pub(crate) const SUBJECTS: &[Subject] =
    subjects!["alarms", "done", "findings", "health", "questions", "reasons", "requests", "rows", "states", "status", "upgrade"];

/// One message file in each language.
pub(crate) struct Subject {
    #[cfg_attr(not(test), expect(dead_code, reason = "names the file in tests"))]
    pub name: &'static str,
    pub sources: [(Lang, &'static str); Lang::ALL.len()],
}

static EMBEDDED: LazyLock<Catalogue> = LazyLock::new(Catalogue::read);

/// The messages of every language.
pub struct Catalogue {
    bundles: Vec<(Lang, FluentBundle<FluentResource>)>,
}

/// Renders the message `id` of the files that are built in; see [`Catalogue::text`].
pub fn text(lang: Lang, id: &str, arguments: &[(&str, Argument)]) -> String {
    Catalogue::embedded().text(lang, id, arguments)
}

/// Renders what `kind` reports.
pub fn report(lang: Lang, kind: &(impl Reportable + ?Sized)) -> String {
    Catalogue::embedded().text(lang, &kind.message_id(), &kind.arguments())
}

/// Renders what to do about `kind`: the attribute `.hint` of its text.
pub fn hint(lang: Lang, kind: &(impl Reportable + ?Sized)) -> String {
    Catalogue::embedded().text(lang, &format!("{}.hint", kind.message_id()), &kind.arguments())
}

impl Catalogue {
    /// The message files that are built in.
    pub fn embedded() -> &'static Self {
        &EMBEDDED
    }

    fn read() -> Self {
        Self { bundles: Lang::ALL.into_iter().map(|lang| (lang, bundle(lang))).collect() }
    }

    /// Renders the message `id`, or its attribute where `id` is `message.attribute`. A message that `lang` lacks is rendered in English;
    /// one that English lacks gives its id.
    pub fn text(&self, lang: Lang, id: &str, arguments: &[(&str, Argument)]) -> String {
        self.render(lang, id, arguments, 0)
    }

    /// As [`Self::text`], but `None` where neither language has the message: for attributes that only some messages have.
    pub fn text_if_any(&self, lang: Lang, id: &str, arguments: &[(&str, Argument)]) -> Option<String> {
        self.try_render(lang, id, arguments, 0)
    }

    /// Whether there is a message `id`.
    pub fn has(&self, id: &str) -> bool {
        self.bundles.iter().any(|(lang, bundle)| *lang == Lang::default() && bundle.has_message(id))
    }

    fn render(&self, lang: Lang, id: &str, arguments: &[(&str, Argument)], depth: usize) -> String {
        self.try_render(lang, id, arguments, depth).unwrap_or_else(|| bounded(shown(id)))
    }

    fn try_render(&self, lang: Lang, id: &str, arguments: &[(&str, Argument)], depth: usize) -> Option<String> {
        let languages = [lang, Lang::default()];
        languages.into_iter().find_map(|lang| self.render_in(lang, id, arguments, depth)).map(bounded)
    }

    fn render_in(&self, lang: Lang, id: &str, arguments: &[(&str, Argument)], depth: usize) -> Option<String> {
        let (_, bundle) = self.bundles.iter().find(|(known, _)| *known == lang)?;
        let (message, attribute) = id.split_once('.').map_or((id, None), |(message, attribute)| (message, Some(attribute)));
        let message = bundle.get_message(message)?;
        let pattern = match attribute {
            None => message.value()?,
            Some(attribute) => message.get_attribute(attribute)?.value(),
        };
        let mut values = FluentArgs::with_capacity(arguments.len());
        for (name, argument) in arguments {
            values.set((*name).to_owned(), self.value(lang, argument, depth));
        }
        // An argument that is missing stands in the text by its name; tests see to it that there is none.
        let mut faults = Vec::new();
        Some(bundle.format_pattern(pattern, Some(&values), &mut faults).into_owned())
    }

    fn value(&self, lang: Lang, argument: &Argument, depth: usize) -> FluentValue<'static> {
        match argument {
            Argument::Number(count) if *count <= EXACT_MAX => FluentValue::from(*count as f64),
            Argument::Number(count) => FluentValue::from(grouped(lang, *count)),
            Argument::Text(text) => FluentValue::from(shown(text)),
            Argument::Message(_) if depth >= DEPTH_MAX => FluentValue::from("…"),
            Argument::Message(Message { id, arguments }) => {
                let arguments: Vec<_> = arguments.iter().map(|(name, argument)| (name.as_str(), argument.clone())).collect();
                FluentValue::from(self.render(lang, id, &arguments, depth + 1))
            }
        }
    }
}

fn bundle(lang: Lang) -> FluentBundle<FluentResource> {
    let tag = lang.tag().parse().expect("en and vi are language tags");
    let mut bundle = FluentBundle::new_concurrent(vec![tag]);
    // Marks of direction would stand in terminals and logs as rubbish; both languages run from left to right.
    bundle.set_use_isolating(false);
    match lang {
        Lang::En => bundle.set_formatter(Some(number_in_english)),
        Lang::Vi => bundle.set_formatter(Some(number_in_vietnamese)),
    }
    for subject in SUBJECTS {
        for (_, source) in subject.sources.iter().filter(|(known, _)| *known == lang) {
            // What can be read of a file with a fault is used; a test refuses files with faults.
            let resource = FluentResource::try_new((*source).to_owned()).unwrap_or_else(|(resource, _)| resource);
            let _ = bundle.add_resource(resource);
        }
    }
    bundle
}

fn number_in_english<M>(value: &FluentValue<'_>, _: &M) -> Option<String> {
    number_text(Lang::En, value)
}

fn number_in_vietnamese<M>(value: &FluentValue<'_>, _: &M) -> Option<String> {
    number_text(Lang::Vi, value)
}

fn number_text(lang: Lang, value: &FluentValue<'_>) -> Option<String> {
    match value {
        FluentValue::Number(number) if number.value >= 0.0 && number.value.fract() == 0.0 => Some(grouped(lang, number.value as u64)),
        _ => None,
    }
}

/// 1234567 as `1,234,567` in English and `1.234.567` in Vietnamese.
pub fn grouped(lang: Lang, count: u64) -> String {
    let separator = match lang {
        Lang::En => ',',
        Lang::Vi => '.',
    };
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(separator);
        }
        text.push(digit);
    }
    text
}

/// An argument's text, cut to a length; control characters are escaped, so that none can break a line or steer a terminal.
fn shown(text: &str) -> String {
    let mut short = String::with_capacity(text.len().min(ARGUMENT_CHARS_MAX));
    for c in text.chars().take(ARGUMENT_CHARS_MAX) {
        if c.is_control() {
            short.extend(c.escape_debug());
        } else {
            short.push(c);
        }
    }
    if text.chars().nth(ARGUMENT_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

fn bounded(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX - '…'.len_utf8()).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_rendered_in_both_languages_and_groups_its_numbers() {
        let arguments = [("batches", Argument::Number(12_345))];
        assert_eq!(text(Lang::En, "status-lag-batches", &arguments), "12,345 batches");
        assert_eq!(text(Lang::Vi, "status-lag-batches", &arguments), "12.345 lô");
        assert_eq!(text(Lang::En, "status-lag-batches", &[("batches", Argument::Number(1))]), "1 batch");
    }

    #[test]
    fn a_message_that_is_missing_shows_its_id() {
        for lang in Lang::ALL {
            assert_eq!(text(lang, "status-nothing-of-the-kind", &[]), "status-nothing-of-the-kind");
            assert_eq!(text(lang, "status-lag-batches.hint", &[]), "status-lag-batches.hint");
            assert_eq!(Catalogue::embedded().text_if_any(lang, "status-lag-batches.hint", &[]), None);
            assert!(Catalogue::embedded().has("status-lag-batches") && !Catalogue::embedded().has("status-nothing-of-the-kind"));
        }
    }

    #[test]
    fn a_text_inside_a_text_has_its_language() {
        let inner = Message { id: "status-no-leader".into(), arguments: vec![] };
        let arguments = [("batches", Argument::Message(inner))];
        assert!(text(Lang::Vi, "status-lag-batches", &arguments).contains("nút chủ"));
    }

    #[test]
    fn texts_are_bounded_and_stay_on_their_line() {
        let endless = "ồ".repeat(1 << 16);
        let long = text(Lang::Vi, "status-lag-batches", &[("batches", Argument::from(endless.as_str()))]);
        assert!(long.len() <= TEXT_BYTES_MAX, "{}", long.len());
        assert!(bounded(endless).len() <= TEXT_BYTES_MAX);
        let steering = text(Lang::En, "status-lag-batches", &[("batches", Argument::from("a\n\u{1b}[2J"))]);
        assert!(steering.chars().all(|c| !c.is_control()), "{steering}");
        let mut nested = Message { id: "status-lag-batches".into(), arguments: vec![] };
        for _ in 0..50 {
            nested = Message { id: "status-lag-batches".into(), arguments: vec![("batches".into(), Argument::Message(nested))] };
        }
        assert!(text(Lang::En, "status-lag-batches", &[("batches", nested.into())]).contains('…'));
    }

    #[test]
    fn numbers_too_large_for_a_float_keep_their_digits() {
        assert_eq!(text(Lang::En, "status-lag-batches", &[("batches", u64::MAX.into())]), "18,446,744,073,709,551,615 batches");
        assert_eq!([0, 999, 1_000].map(|count| grouped(Lang::Vi, count)), ["0", "999", "1.000"]);
    }

    #[test]
    fn arguments_pass_through_json() {
        let nested = Message { id: "a-b".into(), arguments: vec![("site".into(), Argument::name(7))] };
        for argument in [Argument::Number(7), Argument::name(7), nested.into()] {
            let json = serde_json::to_string(&argument).expect("plain values");
            assert_eq!(serde_json::from_str::<Argument>(&json).expect("as written"), argument, "{json}");
        }
    }
}
