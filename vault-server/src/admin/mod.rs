//! Administration: what an operator can ask of a vault, whether it is running (over its socket) or
//! stopped (by opening it). No answer has a secret but a new token, which is shown once.

pub mod socket;
mod use_cases;

pub use self::use_cases::{Admin, Answer, EventSummary, Request, TenantSummary, TokenSummary};
