//! What a typed kind gives to its text: a stable code, and named arguments.

use serde::{Deserialize, Serialize};

/// Something that is reported to people as a text and to programs as a code.
///
/// Its text is the message `subject-code` of the message files; the message's attribute `.hint`, if it has one, says what to do.
pub trait Reportable {
    /// The group of messages that the text belongs to, such as `health`. Letters, digits, `-` and `_`.
    fn subject(&self) -> &'static str;

    /// A stable English word that programs may rely on. Letters, digits, `-` and `_`.
    fn code(&self) -> &'static str;

    /// What the text names. The names are the variables of the message.
    fn arguments(&self) -> Arguments;

    /// The part of the text's name behind the subject. It is the code, unless several texts share one code.
    fn text_name(&self) -> &'static str {
        self.code()
    }

    /// The text's name in the message files.
    fn message_id(&self) -> String {
        format!("{}-{}", self.subject(), self.text_name())
    }

    /// The text as a value, to be an argument of another text.
    fn to_message(&self) -> Message {
        let arguments = self.arguments().into_iter().map(|(name, argument)| (name.to_owned(), argument)).collect();
        Message { id: self.message_id(), arguments }
    }
}

/// Arguments by name, in the order in which the kind lists them.
pub type Arguments = Vec<(&'static str, Argument)>;

/// A value that a text names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Argument {
    /// An amount. It is grouped as the language does (`1,234` or `1.234`) and chooses the plural.
    Number(u64),
    /// A name, a code, a time, or the number of a thing (site 7): shown as it is.
    Text(String),
    /// A text of its own, rendered in the same language.
    Message(Message),
}

/// A text that is not rendered yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its name in the message files.
    pub id: String,
    pub arguments: Vec<(String, Argument)>,
}

impl Argument {
    /// The number, name or code of a thing, shown as it is and never grouped.
    pub fn name(value: impl ToString) -> Self {
        Self::Text(value.to_string())
    }

    /// An amount.
    pub fn amount(count: impl TryInto<u64>) -> Self {
        Self::Number(count.try_into().unwrap_or(u64::MAX))
    }
}

/// The number of a thing (site 7) or its place among others (row 3): shown as it is and never grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ordinal(pub u64);

impl From<Ordinal> for Argument {
    fn from(place: Ordinal) -> Self {
        Self::name(place.0)
    }
}

impl From<i64> for Argument {
    /// A value, not an amount: shown as it is.
    fn from(value: i64) -> Self {
        Self::name(value)
    }
}

impl From<u64> for Argument {
    fn from(count: u64) -> Self {
        Self::Number(count)
    }
}

impl From<u32> for Argument {
    fn from(count: u32) -> Self {
        Self::Number(count.into())
    }
}

impl From<usize> for Argument {
    fn from(count: usize) -> Self {
        Self::amount(count)
    }
}

impl From<String> for Argument {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Argument {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Message> for Argument {
    fn from(message: Message) -> Self {
        Self::Message(message)
    }
}
