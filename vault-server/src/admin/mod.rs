//! Administration: what an operator can ask of a vault, whether it is running (over its socket) or
//! stopped (by opening its ledger).

mod answers;
mod requests;
pub mod socket;
mod use_cases;

pub use self::answers::{Answer, EventSummary, TenantSummary, TokenSummary};
pub use self::requests::Request;
pub(crate) use self::use_cases::Admin;
