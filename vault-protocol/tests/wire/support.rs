//! Reading the vectors, and a random number generator that says what it was given.

use rand::{CryptoRng, Error, RngCore};
use serde_json::Value;
use vault_protocol::{AccountId, AccountScope, TenantId, VaultId};

/// A file of `tests/vectors`.
pub fn vectors(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read_to_string(&path).expect("the vectors are part of the crate");
    serde_json::from_str(&file).expect("the vectors are JSON")
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

pub fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

pub fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

/// A number written in hexadecimal.
pub fn number_of_hex(value: &Value) -> u32 {
    u32::from_str_radix(text(value), 16).expect("a hexadecimal number")
}

/// The bytes of a hexadecimal string.
pub fn hex(value: &Value) -> Vec<u8> {
    base16ct::mixed::decode_vec(text(value)).expect("hexadecimal digits of whole bytes")
}

/// Exactly `N` bytes of a hexadecimal string.
pub fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    hex(value).try_into().expect("of the length asked for")
}

pub use base16ct::lower::encode_string as to_hex;

pub fn scope(value: &Value) -> AccountScope {
    AccountScope {
        vault: VaultId::new(text(&value["vault"])).expect("a vault id"),
        tenant: TenantId::new(text(&value["tenant"])).expect("a tenant"),
        account: AccountId::new(text(&value["account"])).expect("an account id"),
    }
}

/// Hands out the bytes it was given, in order and each once. Panics when they do not suffice, or
/// when some are left at the end: a vector that fixes more or less than what is drawn is wrong.
pub struct Script(Vec<u8>);

impl Script {
    pub fn new(parts: &[&[u8]]) -> Self {
        Self(parts.concat())
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "{} bytes were not drawn", self.0.len());
        }
    }
}

impl CryptoRng for Script {}

impl RngCore for Script {
    fn next_u32(&mut self) -> u32 {
        unreachable!("only bytes are drawn")
    }

    fn next_u64(&mut self) -> u64 {
        unreachable!("only bytes are drawn")
    }

    fn fill_bytes(&mut self, target: &mut [u8]) {
        assert!(target.len() <= self.0.len(), "more is drawn than was given");
        let rest = self.0.split_off(target.len());
        target.copy_from_slice(&self.0);
        self.0 = rest;
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(target);
        Ok(())
    }
}
