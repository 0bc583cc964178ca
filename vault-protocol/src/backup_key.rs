//! K, the backup key: 32 random bytes made on the device, shown as 64 digits (PROTOCOL.md
//! section 3).

use std::fmt;
use std::str::FromStr;

use base16ct::{HexDisplay, lower, mixed};
use rand::{CryptoRng, RngCore};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Length of K in bytes.
pub const BACKUP_KEY_LEN: usize = 32;

/// K. Boxed, so that moving it leaves no copies behind; erased when dropped; never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct BackupKey(Box<[u8; BACKUP_KEY_LEN]>);

/// Why a text is no key. The message says what to look for, and repeats none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDigits {
    /// It has a character that is no hexadecimal digit, space or hyphen.
    #[error(
        "a backup key has only the digits 0-9 and the letters a-f: check for a mistyped character"
    )]
    Character,
    /// It has more or fewer than 64 digits.
    #[error("a backup key has 64 digits (16 groups of 4), this has {0}")]
    Length(usize),
}

impl BackupKey {
    /// K is drawn on a device and nowhere else.
    pub fn generate<R: RngCore + CryptoRng>(rng: &mut R) -> Self {
        let mut key = Self(Box::new([0; BACKUP_KEY_LEN]));
        rng.fill_bytes(key.0.as_mut());
        key
    }

    /// Copies the bytes; the buffer that they came in erases itself.
    pub fn from_bytes(bytes: &Zeroizing<[u8; BACKUP_KEY_LEN]>) -> Self {
        let mut key = Self(Box::new([0; BACKUP_KEY_LEN]));
        key.0.copy_from_slice(bytes.as_slice());
        key
    }

    /// The caller keeps no copy beyond its use.
    pub fn expose_secret(&self) -> &[u8; BACKUP_KEY_LEN] {
        &self.0
    }

    /// The 64 lower-case hexadecimal digits without spaces: also the passphrase of backup files.
    pub fn digits(&self) -> Zeroizing<String> {
        Zeroizing::new(lower::encode_string(self.0.as_slice()))
    }

    /// The 64 digits as a person writes them down: 16 groups of 4, separated by spaces.
    pub fn grouped_digits(&self) -> Zeroizing<String> {
        let digits = self.digits();
        let mut text = Zeroizing::new(String::with_capacity(80));
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && index % 4 == 0 {
                text.push(' ');
            }
            text.push(digit);
        }
        text
    }

    /// The public name by which the key of a backup is told from another: the first 8 bytes of
    /// SHA-256 over the label `backup-key-vault/v1 key id` and K (see [`crate::labelled`]).
    pub fn key_id(&self) -> KeyId {
        // Hashed without `Labelled`, which would leave a copy of K behind.
        let length = u16::try_from(BACKUP_KEY_LEN).expect("32 fits");
        let hash = Sha256::new()
            .chain_update(b"backup-key-vault/v1 key id")
            .chain_update(length.to_be_bytes())
            .chain_update(self.0.as_slice())
            .finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&hash[..8]);
        KeyId(id)
    }

    /// Compares in constant time.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

/// Reads the 64 digits as people type them: spaces, line breaks, hyphens and capitals are
/// forgiven; anything else is told apart from a wrong key.
impl FromStr for BackupKey {
    type Err = InvalidDigits;

    fn from_str(text: &str) -> Result<Self, InvalidDigits> {
        let mut bytes = Zeroizing::new([0; BACKUP_KEY_LEN]);
        let mut count = 0;
        for character in text.chars() {
            if character.is_whitespace() || character == '-' {
                continue;
            }
            let digit = character.to_digit(16).ok_or(InvalidDigits::Character)?;
            if let Some(byte) = bytes.get_mut(count / 2) {
                *byte = (*byte << 4) | u8::try_from(digit).expect("a hexadecimal digit");
            }
            count += 1;
        }
        if count != 2 * BACKUP_KEY_LEN {
            return Err(InvalidDigits::Length(count));
        }
        Ok(Self::from_bytes(&bytes))
    }
}

impl fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackupKey(…)")
    }
}

/// The public name of a key: 8 bytes, printed as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", HexDisplay(&self.0))
    }
}

/// The text is no key id: it has another length, or a character that is no hexadecimal digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key id has 16 hexadecimal digits")]
pub struct InvalidKeyId;

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(text: &str) -> Result<Self, InvalidKeyId> {
        let mut id = [0; 8];
        let decoded = mixed::decode(text, &mut id).map_err(|_| InvalidKeyId)?;
        if decoded.len() < 8 {
            return Err(InvalidKeyId);
        }
        Ok(Self(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> BackupKey {
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.iter_mut().zip(0..).for_each(|(byte, i)| *byte = i);
        BackupKey::from_bytes(&bytes)
    }

    #[test]
    fn malformed_digits_are_told_apart() {
        let digits = key().digits();
        assert_eq!(
            "".parse::<BackupKey>().unwrap_err(),
            InvalidDigits::Length(0)
        );
        assert_eq!(
            digits[1..].parse::<BackupKey>().unwrap_err(),
            InvalidDigits::Length(63)
        );
        let long = format!("{}0", digits.as_str());
        assert_eq!(
            long.parse::<BackupKey>().unwrap_err(),
            InvalidDigits::Length(65)
        );
        let typo = digits.replace('0', "o");
        assert_eq!(
            typo.parse::<BackupKey>().unwrap_err(),
            InvalidDigits::Character
        );
    }

    #[test]
    fn digits_are_read_as_people_write_them() {
        let groups = key().grouped_digits();
        assert_eq!(groups.split(' ').count(), 16);
        for text in [
            groups.to_uppercase(),
            groups.replace(' ', "-"),
            groups.replace(' ', "\n"),
        ] {
            assert!(text.parse::<BackupKey>().unwrap().is_same(&key()));
        }
    }

    #[test]
    fn digits_and_key_id_are_the_published_ones() {
        assert_eq!(
            key().digits().as_str(),
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        );
        assert_eq!(key().key_id().to_string(), KEY_ID_VECTOR);
        assert_eq!(KEY_ID_VECTOR.parse::<KeyId>().unwrap(), key().key_id());
    }

    // The label, 0x0020 and the bytes 00..1f, through sha256sum.
    const KEY_ID_VECTOR: &str = "36962ef6e051649d";

    /// Fails when `from_str` does not look at the length.
    #[test]
    fn a_key_id_of_another_length_or_with_another_character_is_refused() {
        for bad in [
            "",
            "36962ef6e05164",
            "36962ef6e051649",
            "36962ef6e051649d0",
            "36962ef6e051649d00",
            "36962ef6e051649g",
            "+6962ef6e051649d",
        ] {
            assert_eq!(bad.parse::<KeyId>(), Err(InvalidKeyId), "{bad}");
        }
    }

    #[test]
    fn a_key_is_not_printed_by_debug() {
        assert_eq!(format!("{:?}", key()), "BackupKey(…)");
    }
}
