//! Keys, places and answers for the tests of this folder.

use vault_protocol::identity::Fingerprint;
use vault_protocol::statement::SeenStatement;
use vault_protocol::{AccountId, BackupKey, Binary, Policy, TenantId, VaultId};
use zeroize::Zeroizing;

use super::place::Place;
use crate::error::{Error, NoAnswer};
use crate::flows::Registered;
use crate::protection::RegistrationRef;
use crate::trust::TrustMemory;

/// The account at a vault that has these identities.
pub(super) fn place(account: &str, pins: &[u8]) -> Place {
    let pin = |digit: &u8| -> Fingerprint { digit.to_string().repeat(60).parse().unwrap() };
    let (tenant, account) = (
        TenantId::new("app").unwrap(),
        AccountId::new(account).unwrap(),
    );
    Place::new(
        tenant,
        account,
        pins.iter().map(pin),
        "https://relay.example",
    )
}

pub(super) fn key(number: u8) -> BackupKey {
    BackupKey::from_bytes(&Zeroizing::new([number; 32]))
}

pub(super) fn reference(at: &Place, generation: u64) -> RegistrationRef {
    RegistrationRef {
        vault: VaultId::new("v").unwrap(),
        tenant: at.tenant.clone(),
        account: at.account.clone(),
        generation,
    }
}

pub(super) fn registered(at: &Place, generation: u64) -> Registered {
    Registered {
        registration: reference(at, generation),
        policy: Policy::default(),
    }
}

pub(super) fn memory(vault: &str, serial: u64) -> Option<TrustMemory> {
    let digest = Binary([0; 32]);
    Some(TrustMemory {
        vault: VaultId::new(vault).unwrap(),
        seen: SeenStatement { serial, digest },
    })
}

pub(super) fn unknown() -> Error {
    Error::UnknownOutcome(NoAnswer::NotSealed)
}

pub(super) fn unreachable() -> Error {
    Error::Network(NoAnswer::NotSealed)
}
