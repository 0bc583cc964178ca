//! The required answers of the vault: any other is a violation.

use std::fmt::Debug;

use vault_protocol::Problem;

use crate::gate::{Violation, holds};

/// The answer of a request that the vault has to grant.
pub fn granted<T>(said: Result<T, Problem>, what: &str) -> Result<T, Violation> {
    said.map_err(|problem| Violation::new(format!("{what} was refused: {problem:?}")))
}

/// A request has to be refused with exactly this problem.
pub fn refused<T: Debug>(
    said: Result<T, Problem>,
    expected: &Problem,
    what: &str,
) -> Result<(), Violation> {
    holds(said.as_ref().err() == Some(expected), || {
        format!("{what} was answered with {said:?} instead of {expected:?}")
    })
}

/// Two values that have to be the same.
pub fn same<T: Debug + PartialEq>(seen: &T, expected: &T, what: &str) -> Result<(), Violation> {
    holds(seen == expected, || {
        format!("{what}: {seen:?} instead of {expected:?}")
    })
}

/// The same error, and where it was met.
pub fn met_in(error: anyhow::Error, place: &dyn Debug) -> anyhow::Error {
    match error.downcast::<Violation>() {
        Ok(violation) => Violation::new(format!("{violation}, in {place:?}")).into(),
        Err(error) => error.context(format!("in {place:?}")),
    }
}
