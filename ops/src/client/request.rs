//! One request to a site, in a form that can be sent again.

use std::path::PathBuf;

use bytes::Bytes;
use reqwest::Method;

use super::retry::{Idempotency, RetryBudget};

/// What a request carries.
#[derive(Debug, Clone)]
pub enum Payload {
    None,
    /// Held in memory, so bounded by whoever makes it.
    Bytes {
        content_type: &'static str,
        body: Bytes,
    },
    /// Streamed from disk at every attempt.
    File {
        content_type: &'static str,
        path: PathBuf,
        length: u64,
    },
}

/// One request to a site.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    /// Path segments, not escaped.
    pub path: Vec<String>,
    pub query: Vec<(&'static str, String)>,
    pub headers: Vec<(&'static str, String)>,
    pub payload: Payload,
    pub idempotency: Idempotency,
    pub retry_budget: RetryBudget,
}

impl Request {
    /// A request that changes nothing.
    pub fn read(path: &[&str]) -> Self {
        Self::new(Method::GET, path, Payload::None, Idempotency::Read)
    }

    /// A request that changes something.
    pub fn write(method: Method, path: &[&str], payload: Payload, idempotency: Idempotency) -> Self {
        Self::new(method, path, payload, idempotency)
    }

    fn new(method: Method, path: &[&str], payload: Payload, idempotency: Idempotency) -> Self {
        let path = path.iter().map(|segment| (*segment).to_owned()).collect();
        Self { method, path, query: Vec::new(), headers: Vec::new(), payload, idempotency, retry_budget: RetryBudget::Short }
    }

    /// Adds a parameter when there is a value.
    pub fn with(mut self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        self.query.extend(value.map(|value| (name, value.into())));
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn retry_budget(mut self, retry_budget: RetryBudget) -> Self {
        self.retry_budget = retry_budget;
        self
    }
}
