//! Refusals as HTTP answers: every one has a stable word, a sentence and a hint.

use axum::{
    Json,
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use kho_storage::error::StorageError;

use crate::{
    api::Problem,
    consensus::{MembersError, ProposeError, ReadError},
};

/// An HTTP status and what went wrong.
#[derive(Debug)]
pub struct HttpError {
    pub status: u16,
    pub problem: Box<Problem>,
}

/// What a handler answers.
pub type Reply<T> = Result<Json<T>, HttpError>;

/// A refusal from its parts.
pub fn refused(status: u16, code: &str, message: impl Into<String>, hint: impl Into<String>) -> HttpError {
    HttpError {
        status,
        problem: Box::new(Problem {
            code: code.into(),
            message: message.into(),
            hint: hint.into(),
            retry_after_ms: None,
            errors: vec![],
            more: 0,
        }),
    }
}

/// Nothing changed; come back later.
pub fn retry_later(status: u16, code: &str, message: String, retry_after_ms: u64) -> HttpError {
    let mut refused = refused(status, code, message, format!("try again in {retry_after_ms} ms"));
    refused.problem.retry_after_ms = Some(retry_after_ms);
    refused
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry = self.problem.retry_after_ms.map(|ms| ms.div_ceil(1000).max(1).to_string());
        let mut response = (status, Json(self.problem)).into_response();
        if let Some(retry) = retry.and_then(|text| text.parse().ok()) {
            response.headers_mut().insert(RETRY_AFTER, retry);
        }
        response
    }
}

impl From<Problem> for HttpError {
    fn from(problem: Problem) -> Self {
        Self { status: 400, problem: Box::new(problem) }
    }
}

impl From<StorageError> for HttpError {
    fn from(error: StorageError) -> Self {
        tracing::error!(%error, "a request met a fault of the local disk");
        refused(500, "local_storage", error.to_string(), "see the node's log and `kho status`")
    }
}

impl From<ProposeError> for HttpError {
    fn from(error: ProposeError) -> Self {
        let message = error.to_string();
        match error {
            ProposeError::Busy { retry_after_ms } => retry_later(429, "busy", message, retry_after_ms),
            ProposeError::NoLeader { retry_after_ms } => retry_later(503, "no_leader", message, retry_after_ms),
            ProposeError::TooLarge { .. } => refused(413, "batch_too_large", message, "send fewer rows in one batch"),
            ProposeError::Unknown { .. } => {
                refused(504, "outcome_unknown", message, "send the same body again with the same request key: it is applied once")
            }
            ProposeError::Fatal { .. } => refused(500, "node_stopped", message, "use another node of the site"),
        }
    }
}

impl From<ReadError> for HttpError {
    fn from(error: ReadError) -> Self {
        let message = error.to_string();
        match error {
            ReadError::NoLeader { retry_after_ms, .. } => retry_later(503, "no_leader", message, retry_after_ms),
            ReadError::Fatal { .. } => refused(500, "node_stopped", message, "use another node of the site"),
        }
    }
}

impl From<MembersError> for HttpError {
    fn from(error: MembersError) -> Self {
        let message = error.to_string();
        match error {
            MembersError::NoLeader { retry_after_ms, .. } => retry_later(503, "no_leader", message, retry_after_ms),
            MembersError::Fatal { .. } => refused(500, "node_stopped", message, "use another node of the site"),
            _ => refused(409, "members_unchanged", message, "see `kho status`"),
        }
    }
}

/// A task that was to answer is gone.
pub fn task_lost(error: tokio::task::JoinError) -> HttpError {
    tracing::error!(%error, "a request's task ended early");
    refused(500, "internal", "the request's task ended early", "see the node's log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_and_a_missing_leader_say_when_to_come_back() {
        for (error, status) in [(ProposeError::Busy { retry_after_ms: 200 }, 429), (ProposeError::NoLeader { retry_after_ms: 1_500 }, 503)]
        {
            let response = HttpError::from(error).into_response();
            assert_eq!(response.status().as_u16(), status);
            let seconds: u64 = response.headers()[RETRY_AFTER].to_str().expect("text").parse().expect("whole seconds");
            assert!((1..=2).contains(&seconds));
        }
    }

    #[test]
    fn promise_1_an_unknown_outcome_is_never_told_as_a_refusal_that_changed_nothing() {
        let response = HttpError::from(ProposeError::Unknown { why: "the leader was lost".into() });
        assert_eq!((response.status, response.problem.code.as_str()), (504, "outcome_unknown"));
        assert!(response.problem.hint.contains("same request key"));
    }
}
