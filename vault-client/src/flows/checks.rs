//! Checks and helpers of several flows.

use vault_protocol::Policy;
use zeroize::{Zeroize, Zeroizing};

use crate::error::Error;

/// Refuses a policy with larger limits than the app's maximum.
pub(super) fn check_policy(policy: &Policy, maximum: &Policy) -> Result<(), Error> {
    if policy.is_looser_than(maximum) {
        return Err(Error::PolicyTooLoose {
            limit: policy.limit(),
            total_limit: policy.total_limit(),
        });
    }
    Ok(())
}

/// Moves a secret out of the library's result, which would not erase it.
pub(super) fn take_secret(bytes: &mut [u8]) -> Zeroizing<Vec<u8>> {
    let secret = Zeroizing::new(bytes.to_vec());
    bytes.zeroize();
    secret
}
