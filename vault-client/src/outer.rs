//! The HTTP answer outside the seal (PROTOCOL.md section 5). The relay writes it, or an attacker on
//! the way: it can refuse, but it is never taken for an outcome.

use vault_protocol::Problem;

use crate::call::problem;
use crate::error::{Error, NoAnswer, Refusal};

/// An outer HTTP answer.
#[derive(Clone, Debug)]
pub struct OuterAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body: the signed statement, a sealed answer, or a problem.
    pub content: Vec<u8>,
}

/// Why an outer answer carries nothing to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OuterProblem {
    /// The message was sealed to a key the vault does not have: fetch the statement again.
    UnknownKey,
    /// Refused before the vault opened the message.
    Refused(Refusal),
    /// Refused because of load.
    Overloaded,
    /// Something on the way failed with this status; the message may have been delivered.
    Failed(u16),
}

impl OuterAnswer {
    /// The body of a 200. Of anything else only the status counts, and two problems that claim
    /// nothing about the account: an unknown key, and too much load.
    pub fn into_content(self) -> Result<Vec<u8>, OuterProblem> {
        match self.status {
            200 => Ok(self.content),
            400 if problem(&self.content) == Some(Problem::OhttpKey) => {
                Err(OuterProblem::UnknownKey)
            }
            401 => Err(OuterProblem::Refused(Refusal::Unauthenticated)),
            403 => Err(OuterProblem::Refused(Refusal::Forbidden)),
            429 => Err(OuterProblem::Overloaded),
            503 if is_busy(&self.content) => Err(OuterProblem::Overloaded),
            408 | 500.. => Err(OuterProblem::Failed(self.status)),
            status => Err(OuterProblem::Refused(Refusal::Status(status))),
        }
    }
}

/// Of a question, which can be asked again.
impl From<OuterProblem> for Error {
    fn from(problem: OuterProblem) -> Self {
        match problem {
            OuterProblem::Refused(refusal) => Self::Refused(refusal),
            OuterProblem::Overloaded => Self::Overloaded,
            OuterProblem::UnknownKey => Self::NotUnderstood,
            OuterProblem::Failed(status) => Self::Network(NoAnswer::Status(status)),
        }
    }
}

fn is_busy(content: &[u8]) -> bool {
    matches!(
        problem(content),
        Some(Problem::Overloaded | Problem::Unavailable)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_protocol::Timestamp;
    use vault_protocol::messages::DestructionReason;

    fn read(status: u16, problem: Option<Problem>) -> OuterProblem {
        let content = problem.map_or_else(Vec::new, |p| serde_json::to_vec(&p.details()).unwrap());
        OuterAnswer { status, content }.into_content().unwrap_err()
    }

    // Fails if `into_content` maps the outer problem by its type as inner answers are.
    #[test]
    fn an_outer_answer_is_never_taken_for_an_outcome() {
        let destroyed = Problem::Destroyed {
            destroyed_at: Timestamp::from_millis(0),
            reason: DestructionReason::Exhausted,
            generation: 1,
        };
        let wrong = Problem::WrongPassword {
            attempts_remaining: 0,
            retry_at: None,
        };
        assert_eq!(
            read(410, Some(destroyed)),
            OuterProblem::Refused(Refusal::Status(410))
        );
        assert_eq!(
            read(403, Some(wrong)),
            OuterProblem::Refused(Refusal::Forbidden)
        );
        assert_eq!(
            read(404, Some(Problem::NotRegistered)),
            OuterProblem::Refused(Refusal::Status(404))
        );
    }

    #[test]
    fn a_failing_relay_is_told_apart_from_a_refusing_one() {
        assert_eq!(read(502, None), OuterProblem::Failed(502));
        assert_eq!(read(503, None), OuterProblem::Failed(503));
        assert_eq!(
            read(503, Some(Problem::Overloaded)),
            OuterProblem::Overloaded
        );
        assert_eq!(read(400, Some(Problem::OhttpKey)), OuterProblem::UnknownKey);
        assert_eq!(read(302, None), OuterProblem::Refused(Refusal::Status(302)));
    }
}
