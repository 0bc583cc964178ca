//! Administration of a vault by its operator: of a running one over its socket, of a stopped one by
//! opening its ledger.

mod answers;
mod requests;
pub mod socket;
mod use_cases;

pub use self::answers::{Answer, EventSummary, TenantSummary, TokenSummary};
pub use self::requests::Request;
pub(crate) use self::use_cases::Admin;
