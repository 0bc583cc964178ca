//! Stretching on the device (PROTOCOL.md section 3). The profile's number is stored with the
//! record, so that stronger ones can follow.

use argon2::{Algorithm, Argon2, Params, Version};
use generic_array::{ArrayLength, GenericArray};
use opaque_ke::errors::InternalError;
use opaque_ke::ksf::Ksf;
use serde::{Deserialize, Serialize};

/// The number of a stretching profile, as it is stored and sent. The vault stores any number; a
/// client refuses one that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StretchingProfile(pub u16);

impl StretchingProfile {
    /// Profile 1: RFC 9807's memory-constrained choice.
    pub const ONE: Self = Self(1);
    /// For new registrations.
    pub const CURRENT: Self = Self::ONE;
    /// A client attempts no record with a weaker one.
    pub const WEAKEST_ACCEPTED: Self = Self::ONE;

    /// `None` for a number that is not known here: the client then stops *before* an attempt is
    /// charged.
    pub fn function(self) -> Option<Stretching> {
        (self >= Self::WEAKEST_ACCEPTED && self == Self::ONE).then(Stretching::default)
    }
}

/// Profile 1 as OPAQUE's key stretching function: Argon2id v0x13 (RFC 9106), 65,536 KiB, 3 passes,
/// 4 lanes, 64 bytes of output, 16 zero bytes of salt.
///
/// The salt is constant because the input, the OPRF's output, is already unique to one record
/// (RFC 9807, section 6.4.4). The parameters are RFC 9807's memory-constrained choice (section 7),
/// the largest that phones manage: about 0.1 to 0.5 s there.
pub struct Stretching(Argon2<'static>);

const MEMORY_KIB: u32 = 65_536;
const PASSES: u32 = 3;
const LANES: u32 = 4;
const OUTPUT_LEN: usize = 64;
const SALT: [u8; 16] = [0; 16];

impl Default for Stretching {
    fn default() -> Self {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(OUTPUT_LEN))
            .expect("the parameters are within Argon2's bounds");
        Self(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }
}

impl Ksf for Stretching {
    fn hash<L: ArrayLength<u8>>(
        &self,
        input: GenericArray<u8, L>,
    ) -> Result<GenericArray<u8, L>, InternalError> {
        let mut output = GenericArray::default();
        self.0
            .hash_password_into(&input, &SALT, &mut output)
            .map_err(|_| InternalError::KsfError)?;
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_weaker_profiles_have_no_function() {
        assert!(StretchingProfile(0).function().is_none());
        assert!(StretchingProfile(2).function().is_none());
        assert!(StretchingProfile::ONE.function().is_some());
    }
}
