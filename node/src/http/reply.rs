//! Answers that people read: every refusal has a stable code, a sentence and a hint, in the language of the request.
//!
//! A handler answers with kinds ([`HttpError`], [`Told`]). They become text in [`in_language`], the outermost layer, because the language
//! stands in the request's headers, which the conversion of an answer does not see.

use std::sync::Arc;

use axum::{
    Json,
    body::to_bytes,
    extract::Request,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, RETRY_AFTER},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use kho_messages::{Lang, Reportable};
use kho_storage::error::StorageError;

use super::fault::{OrderDone, RequestFault};
use crate::{
    answer::BadQuestion,
    api::{Done, Problem, RowProblem},
    consensus::{MembersError, ProposeError, ReadError},
    entry::{EntryError, EntryRefusal, RowFault},
};

/// The longest refusal of the framework that is repeated, in bytes.
const DETAIL_BYTES_MAX: usize = 1 << 10;

/// Why a request was refused.
#[derive(Debug)]
pub struct HttpError(Box<Refused>);

#[derive(Debug)]
struct Refused {
    status: u16,
    fault: Fault,
    /// Nothing changed; the client may come back after so many milliseconds.
    retry_after_ms: Option<u64>,
    rows: Vec<EntryError>,
    /// Findings beyond `rows`.
    more: u32,
}

#[derive(Debug)]
enum Fault {
    Request(RequestFault),
    Question(BadQuestion),
    /// A body that was refused: the text is that of its first finding.
    Body(RowFault),
}

/// What a handler answers.
pub type Reply<T> = Result<Json<T>, HttpError>;

/// What an order did.
#[derive(Debug)]
pub struct Told(pub OrderDone);

/// What a handler of an order answers.
pub type OrderReply = Result<Told, HttpError>;

impl HttpError {
    fn new(status: u16, fault: Fault) -> Self {
        Self(Box::new(Refused { status, fault, retry_after_ms: None, rows: vec![], more: 0 }))
    }

    /// Nothing changed; the client may come back after `retry_after_ms`, if there is such a time.
    pub fn retry_after(mut self, retry_after_ms: impl Into<Option<u64>>) -> Self {
        self.0.retry_after_ms = retry_after_ms.into();
        self
    }

    /// The refusal as the API gives it.
    pub fn problem(&self, lang: Lang) -> Problem {
        let Refused { fault, retry_after_ms, rows, more, .. } = &*self.0;
        let (code, message, hint) = match fault {
            Fault::Request(fault) => texts(lang, fault),
            Fault::Question(bad) => texts(lang, bad),
            Fault::Body(first) => {
                let refused = RequestFault::BatchRefused { first: first.to_message() };
                (refused.code(), kho_messages::report(lang, &refused), kho_messages::hint(lang, first))
            }
        };
        let row = |error: &EntryError| {
            let (code, message, hint) = texts(lang, &error.fault);
            RowProblem { row: error.row, line: error.line, column: error.column.clone(), code: code.into(), message, hint }
        };
        Problem { code: code.into(), message, hint, retry_after_ms: *retry_after_ms, errors: rows.iter().map(row).collect(), more: *more }
    }
}

fn texts(lang: Lang, kind: &impl Reportable) -> (&'static str, String, String) {
    (kind.code(), kho_messages::report(lang, kind), kho_messages::hint(lang, kind))
}

/// The language that a request asks for.
pub fn language(headers: &HeaderMap) -> Lang {
    headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).map_or(Lang::default(), Lang::of_accept_language)
}

/// A body that is written once the language is known.
#[derive(Clone)]
struct InLanguage(Arc<dyn Fn(Lang) -> Response + Send + Sync>);

impl InLanguage {
    /// An answer without a body, which [`in_language`] will write.
    fn response(status: StatusCode, write: impl Fn(Lang) -> Response + Send + Sync + 'static) -> Response {
        let mut response = status.into_response();
        response.extensions_mut().insert(Self(Arc::new(write)));
        response
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry = self.0.retry_after_ms.map(|ms| ms.div_ceil(1000).max(1).to_string());
        let mut response = InLanguage::response(status, move |lang| Json(self.problem(lang)).into_response());
        if let Some(retry) = retry.and_then(|text| text.parse().ok()) {
            response.headers_mut().insert(RETRY_AFTER, retry);
        }
        response
    }
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        InLanguage::response(StatusCode::OK, move |lang| {
            Json(Done { code: self.0.code().into(), done: kho_messages::report(lang, &self.0) }).into_response()
        })
    }
}

/// Writes answers in the language of the request, and gives the framework's own refusals the form of all others.
pub async fn in_language(request: Request, next: Next) -> Response {
    let lang = language(request.headers());
    let mut response = next.run(request).await;
    if response.extensions().get::<InLanguage>().is_none() && response.status().is_client_error() {
        response = framework_refusal(response).await.into_response();
    }
    match response.extensions_mut().remove::<InLanguage>() {
        Some(InLanguage(write)) => put_body(response, write(lang), lang),
        None => response,
    }
}

/// `response` with the body of `written`.
fn put_body(mut response: Response, written: Response, lang: Lang) -> Response {
    let (parts, body) = written.into_parts();
    response.headers_mut().extend(parts.headers);
    if let Ok(tag) = lang.tag().parse() {
        response.headers_mut().insert(CONTENT_LANGUAGE, tag);
    }
    *response.body_mut() = body;
    response
}

/// What the framework refused by itself: an unknown path, a method, a parameter or a body of another form.
async fn framework_refusal(response: Response) -> HttpError {
    let status = response.status();
    let fault = match status {
        StatusCode::NOT_FOUND => RequestFault::UnknownResource {},
        StatusCode::METHOD_NOT_ALLOWED => RequestFault::MethodNotAllowed {},
        _ => {
            let text = to_bytes(response.into_body(), DETAIL_BYTES_MAX).await.unwrap_or_default();
            RequestFault::Unreadable { detail: String::from_utf8_lossy(&text).into_owned() }
        }
    };
    HttpError::new(status.as_u16(), Fault::Request(fault))
}

impl From<RequestFault> for HttpError {
    fn from(fault: RequestFault) -> Self {
        Self::new(fault.status(), Fault::Request(fault))
    }
}

impl From<BadQuestion> for HttpError {
    fn from(bad: BadQuestion) -> Self {
        Self::new(400, Fault::Question(bad))
    }
}

impl From<EntryRefusal> for HttpError {
    fn from(refusal: EntryRefusal) -> Self {
        let first = refusal.errors.first().map(|first| first.fault.clone());
        let mut error = Self::new(refusal.status.http(), Fault::Body(first.unwrap_or(RowFault::EmptyBody {})));
        (error.0.rows, error.0.more) = (refusal.errors, refusal.more);
        error
    }
}

impl From<StorageError> for HttpError {
    fn from(error: StorageError) -> Self {
        RequestFault::from(error).into()
    }
}

impl From<ProposeError> for HttpError {
    fn from(error: ProposeError) -> Self {
        let retry = match &error {
            ProposeError::Busy { retry_after_ms }
            | ProposeError::NoLeader { retry_after_ms }
            | ProposeError::LeaderUnreachable { retry_after_ms, .. } => Some(*retry_after_ms),
            _ => None,
        };
        Self::from(RequestFault::from(error)).retry_after(retry)
    }
}

impl From<ReadError> for HttpError {
    fn from(error: ReadError) -> Self {
        let retry = match &error {
            ReadError::NoLeader { retry_after_ms, .. } | ReadError::LeaderUnreachable { retry_after_ms, .. } => Some(*retry_after_ms),
            ReadError::Fatal { .. } => None,
        };
        Self::from(RequestFault::from(error)).retry_after(retry)
    }
}

impl From<MembersError> for HttpError {
    fn from(error: MembersError) -> Self {
        let retry = if let MembersError::NoLeader { retry_after_ms, .. } = &error { Some(*retry_after_ms) } else { None };
        Self::from(RequestFault::from(error)).retry_after(retry)
    }
}

/// A task that was to answer is gone.
pub fn task_lost(error: tokio::task::JoinError) -> HttpError {
    tracing::error!(%error, "a request's task ended early");
    RequestFault::TaskLost {}.into()
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn, routing::get};
    use tower::ServiceExt as _;

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
        let refused = HttpError::from(ProposeError::Unknown { why: "the leader was lost".into() });
        let problem = refused.problem(Lang::En);
        assert_eq!((refused.0.status, problem.code.as_str()), (504, "outcome_unknown"));
        assert!(problem.hint.contains("same request key"));
    }

    /// Status and body of what a small server answers.
    async fn ask(method: &str, path: &str, accept_language: &str) -> (u16, serde_json::Value) {
        async fn refuse() -> Reply<()> {
            Err(RequestFault::NoRegister {}.into())
        }
        async fn order() -> OrderReply {
            Ok(Told(OrderDone::NodeAdded { node: kho_messages::Ordinal(3), site: kho_messages::Ordinal(1_001) }))
        }
        async fn number(path: axum::extract::Path<u32>) -> Json<u32> {
            Json(path.0)
        }
        let router = Router::new()
            .route("/refused", get(refuse))
            .route("/order", get(order))
            .route("/number/{n}", get(number))
            .layer(from_fn(in_language));
        let request = Request::builder().method(method).uri(path).header(ACCEPT_LANGUAGE, accept_language).body(Body::empty());
        let response = router.oneshot(request.expect("a request")).await.expect("an answer");
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.expect("a short body");
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn a_refusal_comes_in_the_language_of_the_request_with_the_same_code() {
        let (status, english) = ask("GET", "/refused", "en").await;
        assert_eq!((status, english["code"].as_str()), (503, Some("no_register")));
        assert_eq!(english["message"], "this site has no register yet");
        let (_, vietnamese) = ask("GET", "/refused", "fr, vi;q=0.5").await;
        assert_eq!(vietnamese["code"], english["code"]);
        assert_eq!(vietnamese["message"], "điểm kho này chưa có sổ đăng ký");
        let (status, order) = ask("GET", "/order", "vi").await;
        assert_eq!((status, order["code"].as_str()), (200, Some("node_added")));
        assert_eq!(order["done"], "nút 3 đã là nút biểu quyết của điểm kho 1001");
    }

    #[tokio::test]
    async fn what_the_framework_refuses_has_the_form_of_every_refusal() {
        for (method, path, status, code) in [
            ("GET", "/nowhere", 404, "not_found"),
            ("POST", "/refused", 405, "method_not_allowed"),
            ("GET", "/number/many", 400, "malformed"),
        ] {
            let (found, problem) = ask(method, path, "vi").await;
            assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{problem}");
            assert!(!problem["hint"].as_str().expect("a hint").is_ascii(), "{problem}");
        }
    }
}
