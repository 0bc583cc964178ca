//! A real vault inside the test's process.
//!
//! | module | content |
//! |---|---|
//! | `vault` | the vault, its tenants, its time |
//! | `answer` | an answer, read as a message or as a problem |
//! | `device_calls` | whole calls of the tests' own device |

mod answer;
mod device_calls;
mod vault;

pub use self::answer::{Answered, SealedAnswer};
pub use self::device_calls::Said;
pub use self::vault::{
    CHANNEL, DAY, START, Stored, TENANT, TestTenant, TestVault, VAULT_ID, outer_request, relayed,
    token,
};
