//! Why something was refused, stopped or failed, as another part of the node found it.

use std::collections::BTreeMap;

use kho_messages::{Argument, Arguments, Catalogue, Lang, Message};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why something was refused, stopped or failed, as another part of the node found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// What kind of reason it is, such as `refusal`; codes are unique within it.
    pub group: String,
    /// A stable word that programs may rely on.
    pub code: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub arguments: BTreeMap<String, Argument>,
    /// The reason in English.
    pub detail: String,
}

impl Reason {
    /// A reason from its parts; `arguments` are what its text in a message file may name.
    pub fn new(group: &str, code: &str, arguments: Arguments, detail: impl ToString) -> Self {
        let arguments = arguments.into_iter().map(|(name, argument)| (name.to_owned(), argument)).collect();
        Self { group: group.into(), code: code.into(), arguments, detail: detail.to_string() }
    }

    /// The reason as a message, to be rendered in any language that has its text.
    pub fn to_message(&self) -> Message {
        let arguments = self.arguments.iter().map(|(name, argument)| (name.clone(), argument.clone())).collect();
        Message { id: format!("{}-{}", self.group, self.code), arguments }
    }

    /// The reason in a language; one whose code has no text is in English.
    pub fn text(&self, lang: Lang) -> String {
        let message = self.to_message();
        let arguments: Vec<_> = message.arguments.iter().map(|(name, argument)| (name.as_str(), argument.clone())).collect();
        if Catalogue::embedded().has(&message.id) { Catalogue::embedded().text(lang, &message.id, &arguments) } else { self.detail.clone() }
    }

    /// The reason as an argument of another text. A reason whose code has no text is shown in English.
    pub fn to_argument(&self) -> Argument {
        let message = self.to_message();
        if Catalogue::embedded().has(&message.id) { message.into() } else { self.detail.as_str().into() }
    }
}
