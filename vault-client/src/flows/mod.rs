//! The protocol's flows without I/O, clock or async (PROTOCOL.md section 6): each step takes the
//! answer to the one before and gives the next request, so a step cannot be left out or repeated
//! in another order. Randomness is a parameter.
//!
//! | flow | steps |
//! |---|---|
//! | [`StatusQuery`] | ask, read |
//! | [`Registration`] | begin, [`EvaluatedRegistration::stretch`] (slow), [`StretchedRegistration::seal`], [`PreparedRegistration::finished`] |
//! | [`Retrieval`] | begin, [`EvaluatedRetrieval::open`] (slow), then [`ProvenRetrieval::finished`] or [`Abandonment::outcome`] |
//! | [`Deletion`] | begin, finish |
//!
//! A step's `request` gives the same bytes however often it is called: after a lost answer send
//! them again, each time sealed anew.

mod checks;
mod deletion;
mod registration;
mod retrieval;
mod status;

pub use deletion::Deletion;
pub use registration::{
    EvaluatedRegistration, PreparedRegistration, Registered, Registration, StretchedRegistration,
};
pub use retrieval::{
    Abandonment, EvaluatedRetrieval, Opening, ProvenRetrieval, Retrieval, Retrieved,
};
pub use status::{StatusQuery, check_registrable};
