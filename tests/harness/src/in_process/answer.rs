//! A vault's answer, read as a message, or as a problem of PROTOCOL.md section 8.

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::de::DeserializeOwned;
use vault_protocol::Problem;
use vault_protocol::inner_http::decode_response;
use vault_protocol::problem::{PROBLEM_MEDIA_TYPE, ProblemDetails};

/// An answer, from outside or from inside the sealed channel.
#[derive(Debug)]
pub struct Answered {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// The answer to a sealed message.
#[derive(Debug)]
pub struct SealedAnswer {
    /// The answer that the relay sees.
    pub outer: Answered,
    /// The answer that the device sees, unless the outer answer is a problem.
    pub inner: Option<Answered>,
}

impl SealedAnswer {
    /// The inner answer.
    ///
    /// # Panics
    /// If there is none.
    pub fn opened(self) -> Answered {
        let outer = self.outer;
        self.inner
            .unwrap_or_else(|| panic!("an outer problem: {outer:?}"))
    }
}

impl Answered {
    /// The answer of this status.
    ///
    /// # Panics
    /// If it has another one, or is not of this type.
    pub fn read<T: DeserializeOwned>(&self, expected: StatusCode) -> T {
        assert_eq!(self.status, expected, "{}", self.text());
        assert_eq!(self.headers[CONTENT_TYPE], "application/json");
        serde_json::from_slice(&self.body).expect("an answer of this type")
    }

    /// The problem, checked to be exactly as PROTOCOL.md section 8 lists it: status, media type,
    /// type, fixed title, extras and nothing more.
    ///
    /// # Panics
    /// If it is none.
    pub fn problem(&self) -> Problem {
        let media_type = self.headers.get(CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok());
        assert_eq!(media_type, Some(PROBLEM_MEDIA_TYPE), "{}", self.text());
        let details: ProblemDetails = serde_json::from_slice(&self.body).expect("a problem");
        let problem = Problem::from_details(&details).expect("a problem of the list");
        let listed = serde_json::to_vec(&problem.details()).expect("problems are JSON");
        assert_eq!(self.text(), String::from_utf8_lossy(&listed));
        assert_eq!(self.status.as_u16(), problem.status());
        problem
    }

    /// `Retry-After` in seconds.
    pub fn retry_after(&self) -> Option<u64> {
        let value = self.headers.get(RETRY_AFTER)?;
        value.to_str().ok()?.parse().ok()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// An opened inner answer.
    ///
    /// # Panics
    /// If it is none.
    pub(crate) fn from_inner(opened: &[u8]) -> Self {
        let inner = decode_response(opened).expect("binary HTTP padded with zeros");
        let mut headers = HeaderMap::new();
        for (name, value) in &inner.headers {
            let name = HeaderName::from_bytes(name).expect("a header's name");
            headers.append(name, HeaderValue::from_bytes(value).expect("its value"));
        }
        Self {
            status: StatusCode::from_u16(inner.status).expect("a status"),
            headers,
            body: inner.content,
        }
    }
}
