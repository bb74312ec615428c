//! For tests: which texts are missing. Each crate with kinds asks it about all of them.

use std::collections::{BTreeMap, BTreeSet};

use fluent_syntax::{
    ast::{Entry, Expression, InlineExpression, Pattern, PatternElement},
    parser,
};

use crate::{
    argument::{Argument, Message, Reportable},
    catalogue::SUBJECTS,
    lang::Lang,
};

/// Variables of every message and attribute (`message.attribute`) of one language.
pub type Variables = BTreeMap<String, BTreeSet<String>>;

/// What is missing for `kinds`, one sentence each: a message that a language does not have, or a variable of it that the kind does not
/// give. Empty when every kind has its text in every language. `attributes` are demanded of every kind, such as `hint`.
pub fn gaps<'k, K: Reportable + ?Sized + 'k>(kinds: impl IntoIterator<Item = &'k K>, attributes: &[&str]) -> Vec<String> {
    let known = every_language();
    let mut gaps = Vec::new();
    for kind in kinds {
        let given: BTreeSet<_> = kind.arguments().into_iter().map(|(name, _)| name.to_owned()).collect();
        let id = kind.message_id();
        gaps_of(&known, &id, &given, &mut gaps);
        for attribute in attributes {
            gaps_of(&known, &format!("{id}.{attribute}"), &given, &mut gaps);
        }
    }
    gaps
}

/// As [`gaps`], for every kind of an enum that [`reportable!`](crate::reportable) declares: its `SUBJECT` and its `TEXTS`.
pub fn declared_gaps(subject: &str, texts: &[(&str, &[&str])], attributes: &[&str]) -> Vec<String> {
    let known = every_language();
    let mut gaps = Vec::new();
    for (text, arguments) in texts {
        let given = arguments.iter().map(|name| (*name).to_owned()).collect();
        gaps_of(&known, &format!("{subject}-{text}"), &given, &mut gaps);
        for attribute in attributes {
            gaps_of(&known, &format!("{subject}-{text}.{attribute}"), &given, &mut gaps);
        }
    }
    gaps
}

/// As [`gaps`], for texts that have no kind of their own, and for the texts inside them.
pub fn message_gaps<'m>(messages: impl IntoIterator<Item = &'m Message>) -> Vec<String> {
    let known = every_language();
    let mut gaps = Vec::new();
    let mut waiting: Vec<&Message> = messages.into_iter().collect();
    while let Some(message) = waiting.pop() {
        let given = message.arguments.iter().map(|(name, _)| name.clone()).collect();
        gaps_of(&known, &message.id, &given, &mut gaps);
        waiting.extend(message.arguments.iter().filter_map(|(_, argument)| match argument {
            Argument::Message(inner) => Some(inner),
            Argument::Number(_) | Argument::Text(_) => None,
        }));
    }
    gaps
}

fn every_language() -> Vec<(Lang, Variables)> {
    Lang::ALL.into_iter().map(|lang| (lang, variables(lang))).collect()
}

fn gaps_of(known: &[(Lang, Variables)], id: &str, given: &BTreeSet<String>, gaps: &mut Vec<String>) {
    for (lang, messages) in known {
        match messages.get(id) {
            None => gaps.push(format!("{lang} has no text `{id}`")),
            Some(used) => gaps.extend(used.difference(given).map(|name| format!("{lang}: `{id}` uses ${name}, which is not given"))),
        }
    }
}

/// Whether every language has the message or attribute `id`.
pub fn has(id: &str) -> bool {
    Lang::ALL.into_iter().all(|lang| variables(lang).contains_key(id))
}

/// The messages of one language with their variables.
pub fn variables(lang: Lang) -> Variables {
    let mut found = Variables::new();
    for subject in SUBJECTS {
        for (_, source) in subject.sources.iter().filter(|(known, _)| *known == lang) {
            let resource = parser::parse(*source).unwrap_or_else(|(resource, _)| resource);
            for entry in resource.body {
                let Entry::Message(message) = entry else { continue };
                if let Some(pattern) = &message.value {
                    gather(pattern, found.entry(message.id.name.to_owned()).or_default());
                }
                for attribute in &message.attributes {
                    gather(&attribute.value, found.entry(format!("{}.{}", message.id.name, attribute.id.name)).or_default());
                }
            }
        }
    }
    found
}

fn gather(pattern: &Pattern<&str>, names: &mut BTreeSet<String>) {
    for element in &pattern.elements {
        if let PatternElement::Placeable { expression } = element {
            gather_expression(expression, names);
        }
    }
}

fn gather_expression(expression: &Expression<&str>, names: &mut BTreeSet<String>) {
    match expression {
        Expression::Inline(inline) => gather_inline(inline, names),
        Expression::Select { selector, variants } => {
            gather_inline(selector, names);
            variants.iter().for_each(|variant| gather(&variant.value, names));
        }
    }
}

fn gather_inline(expression: &InlineExpression<&str>, names: &mut BTreeSet<String>) {
    match expression {
        InlineExpression::VariableReference { id } => {
            names.insert(id.name.to_owned());
        }
        InlineExpression::Placeable { expression } => gather_expression(expression, names),
        InlineExpression::FunctionReference { arguments, .. } => {
            arguments.positional.iter().for_each(|argument| gather_inline(argument, names));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::argument::Arguments;

    #[test]
    fn both_languages_have_the_same_messages_with_the_same_arguments() {
        let english = variables(Lang::En);
        assert!(!english.is_empty());
        for lang in Lang::ALL {
            let other = variables(lang);
            for (id, names) in &english {
                assert_eq!(Some(names), other.get(id), "{lang}: {id}");
            }
            assert!(other.keys().all(|id| english.contains_key(id)), "{lang} has a text that English does not have");
        }
    }

    #[test]
    fn message_files_can_be_read_and_name_each_message_once() {
        for lang in Lang::ALL {
            let mut seen = BTreeSet::new();
            for subject in SUBJECTS {
                for (_, source) in subject.sources.iter().filter(|(known, _)| *known == lang) {
                    let resource = parser::parse(*source).unwrap_or_else(|(_, faults)| panic!("{lang}/{}.ftl: {faults:?}", subject.name));
                    for entry in resource.body {
                        match entry {
                            Entry::Message(message) => {
                                assert!(seen.insert(message.id.name), "{lang}/{}.ftl: {} twice", subject.name, message.id.name);
                            }
                            Entry::Junk { content } => panic!("{lang}/{}.ftl: {content}", subject.name),
                            _ => {}
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_message_file_is_built_in() {
        for lang in Lang::ALL {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("locales").join(lang.tag());
            let files: BTreeSet<_> = std::fs::read_dir(folder)
                .expect("the folder of a language")
                .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
                .collect();
            assert_eq!(files, SUBJECTS.iter().map(|subject| format!("{}.ftl", subject.name)).collect(), "{lang}");
        }
    }

    struct Kind(&'static str, &'static str);

    impl Reportable for Kind {
        fn subject(&self) -> &'static str {
            "status"
        }
        fn code(&self) -> &'static str {
            self.0
        }
        fn arguments(&self) -> Arguments {
            vec![(self.1, Argument::Number(1))]
        }
    }

    #[test]
    fn a_kind_without_a_text_or_with_another_argument_is_found() {
        assert!(gaps([&Kind("lag-batches", "batches")], &[]).is_empty());
        assert_eq!(gaps([&Kind("lag-batches", "count")], &[]).len(), 2);
        assert_eq!(gaps([&Kind("never-written", "count")], &[]).len(), 2);
        assert_eq!(gaps([&Kind("lag-batches", "batches")], &["hint"]).len(), 2);
        let inner = Message { id: "status-never-written".into(), arguments: vec![] };
        let outer = Message { id: "status-lag-batches".into(), arguments: vec![("batches".into(), inner.into())] };
        assert_eq!(message_gaps([&outer]).len(), 2);
        assert!(declared_gaps("status", &[("lag-batches", &["batches"])], &[]).is_empty());
        assert_eq!(declared_gaps("status", &[("lag-batches", &[]), ("never-written", &[])], &["hint"]).len(), 8);
        assert!(has("status-lag-batches") && !has("status-lag-batches.hint"));
    }
}
