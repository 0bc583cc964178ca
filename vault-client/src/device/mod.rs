//! A device's knowledge of its key, and the changes that it may make: the state machine that an app
//! stores, without I/O, clock or async. `client::Device` runs it over a network.
//!
//! ```text
//!            begin_registration                  answered
//!   None ──────────────────────► Registering ──────────────► Registered
//!    ▲ ▲ ◄───── unchanged ─────    │       ▲                  │      │
//!    │ │                           │       └──────────────────┘      │
//!    │ │  answered                 ▼        begin_registration       │
//!    │ └──────────────────────  Deleting ◄───────────────────────────┘
//!    │                                          begin_deletion
//!    └── leave_record, from any of the three: the place stays named in `elsewhere`
//! ```
//!
//! # Promises
//!
//! - A change is stored before it is sent: it begins as [`Unstored`], and goes on once it is said to be
//!   stored.
//! - A registration that was sent can always be deleted: its place and its key stay in the state until
//!   the vault has answered that there is no record.
//! - No key is forgotten that may be registered or is used, except by
//!   [`DeviceState::forget_leaving_records`].
//!
//! There is one place and one pending change. Before a device moves to another place it deletes the
//! record, or leaves it behind where the vault is gone.

mod deletion;
mod error;
mod json;
mod place;
mod plan;
mod registration;
mod retrieved;
mod state;
mod unstored;

#[cfg(test)]
mod tests;

pub use self::deletion::{Deleted, SentDeletion};
pub use self::error::{DeviceError, InvalidState};
pub use self::json::MAX_LEN;
pub use self::place::Place;
pub use self::plan::{Destroyed, Plan, Planned};
pub use self::registration::SentRegistration;
pub use self::retrieved::Kept;
pub use self::state::{DeviceState, Record};
pub use self::unstored::Unstored;

#[cfg(feature = "http")]
pub(crate) use self::state::copy;
