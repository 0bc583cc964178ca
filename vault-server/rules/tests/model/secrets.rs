//! What is drawn: no two numbers give the same bytes.

use vault_protocol::management::ManagementSigner;
use vault_protocol::messages::finish_digest;
use vault_protocol::{AccountScope, BackupKey};
use vault_rules::FinishRegistration;
use zeroize::Zeroizing;

/// `N` bytes in which no 16 in a row occur for another number or purpose.
pub fn bytes<const N: usize>(purpose: u8, number: u8) -> [u8; N] {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(purpose) << 8 ^ u64::from(number);
    std::array::from_fn(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
}

pub const IDENTIFIER: u8 = 1;
pub const RECORD: u8 = 2;
pub const WRAPPED: u8 = 3;
pub const TICKET: u8 = 4;
pub const KEY: u8 = 5;

pub fn windows(secret: &[u8]) -> impl Iterator<Item = [u8; 16]> {
    secret.windows(16).map(|window| window.try_into().unwrap())
}

pub fn scope() -> AccountScope {
    AccountScope {
        vault: "vault".parse().unwrap(),
        tenant: "app".parse().unwrap(),
        account: "alice".parse().unwrap(),
    }
}

pub fn signer(number: u8) -> ManagementSigner {
    ManagementSigner::new(&BackupKey::from_bytes(&Zeroizing::new(bytes(KEY, number))))
}

pub fn digest_of(finish: &FinishRegistration) -> [u8; 32] {
    finish_digest(
        &finish.registration_ticket.0,
        finish.registration_record.expose_secret(),
        finish.wrapped_key.expose_secret(),
        finish.stretching_profile,
        &finish.management_key.0,
    )
}
