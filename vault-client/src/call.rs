//! A device's requests and the vault's answers, inside the sealed channel (PROTOCOL.md section
//! 6). Every flow speaks in these two types, so that any transport can carry them.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vault_protocol::problem::ProblemDetails;
use vault_protocol::{AccountScope, MAX_BODY_LEN, Problem};

use crate::error::{Error, Refusal};

/// One inner request. Only flows make them; sending the same one again is always allowed and never
/// charges twice.
#[derive(Clone, PartialEq, Eq)]
pub struct InnerCall {
    method: &'static str,
    path: String,
    body: Vec<u8>,
    has_effect: bool,
}

/// One inner answer, as it came out of the sealed channel.
#[derive(Clone)]
pub struct InnerAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body: JSON, or problem+json.
    pub content: Vec<u8>,
}

impl InnerCall {
    pub(crate) fn get(scope: &AccountScope) -> Self {
        Self {
            method: "GET",
            path: scope.path(),
            body: Vec::new(),
            has_effect: false,
        }
    }

    /// `endpoint` is what follows the account's path, `retrieval/start` for example.
    pub(crate) fn post(scope: &AccountScope, endpoint: &str, message: &impl Serialize) -> Self {
        Self {
            method: "POST",
            path: format!("{}/{endpoint}", scope.path()),
            body: serde_json::to_vec(message).expect("messages have only string keys"),
            has_effect: true,
        }
    }

    /// The same for a message that charges nothing and changes nothing that a user could miss.
    pub(crate) fn question(scope: &AccountScope, endpoint: &str, message: &impl Serialize) -> Self {
        Self {
            has_effect: false,
            ..Self::post(scope, endpoint, message)
        }
    }

    /// `GET` asks for something and changes nothing, `POST` is everything else.
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// Whether something depends on it: an attempt, or a record. If so, only a sealed answer tells
    /// whether it had its effect.
    pub fn has_effect(&self) -> bool {
        self.has_effect
    }

    /// The path, which needs no escaping.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The body: JSON, or empty.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl InnerAnswer {
    /// The typed answer of a 2xx, otherwise the problem as an error. Unknown fields are ignored.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        if self.content.len() > MAX_BODY_LEN {
            return Err(Error::NotUnderstood);
        }
        if (200..300).contains(&self.status) {
            return serde_json::from_slice(&self.content).map_err(|_| Error::NotUnderstood);
        }
        Err(problem(&self.content).map_or(Error::NotUnderstood, Error::from))
    }

    /// A sealed answer that does not tell the call's outcome. The vault could not answer now
    /// ([`Error::Overloaded`], [`Error::Unavailable`]), or the relay named another account outside
    /// ([`Refusal::AccountMismatch`]). A relay can do that at any time, also with a copy of a message
    /// that has had its effect. The same call can be sent again later. Ask before a flow's step takes
    /// the answer and is used up by it.
    pub fn no_outcome(&self) -> Option<Error> {
        match problem(&self.content) {
            Some(Problem::Overloaded) => Some(Error::Overloaded),
            Some(Problem::Unavailable) => Some(Error::Unavailable),
            Some(Problem::AccountMismatch) => Some(Error::Refused(Refusal::AccountMismatch)),
            _ => None,
        }
        .filter(|_| !(200..300).contains(&self.status))
    }
}

/// The problem that a body describes, if it is one of the closed list.
pub(crate) fn problem(content: &[u8]) -> Option<Problem> {
    let details: ProblemDetails = serde_json::from_slice(content).ok()?;
    Problem::from_details(&details)
}

// Not derived: the path names a person, the body carries a record.
impl fmt::Debug for InnerCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InnerCall({} … {} bytes)", self.method, self.body.len())
    }
}

impl fmt::Debug for InnerAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "InnerAnswer({} … {} bytes)",
            self.status,
            self.content.len()
        )
    }
}
