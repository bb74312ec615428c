//! Who answers, when, and how the node read.

use kho_storage::ids::{SiteId, SiteTime};

use super::{BadQuestion, cut};

/// How the answering node read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum ReadMode {
    /// Everything acknowledged before the question is in the answer.
    #[default]
    Linearizable,
    /// What this node has applied, which may be older.
    Local,
}

impl ReadMode {
    /// Reads the parameter `read`; linearizable when it is not given.
    ///
    /// # Errors
    /// [`BadQuestion::UnknownReadMode`].
    pub fn parse(text: Option<&str>) -> Result<Self, BadQuestion> {
        match text.unwrap_or_default() {
            "" | "linearizable" => Ok(Self::Linearizable),
            "local" => Ok(Self::Local),
            other => Err(BadQuestion::UnknownReadMode { given: cut(other) }),
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Linearizable => "linearizable",
            Self::Local => "local",
        }
    }
}

/// What every answer carries about the node that gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerContext {
    /// The answering node's site.
    pub site: SiteId,
    pub now: SiteTime,
    pub read: ReadMode,
    /// Position of the site's log up to which the node had applied.
    pub applied: u64,
    /// The node, as people know it.
    pub answered_by: String,
}
