//! State files of version 1, which kept a connection for each place where a registration was sent.

use std::path::PathBuf;

use serde::Deserialize;
use vault_client::BackupKey;
use vault_client::device::{DeviceState, Place};
use vault_client::protection::RegistrationRef;
use vault_client::trust::TrustMemory;
use vault_client::{AccountId, Fingerprint, TenantId};
use zeroize::Zeroizing;

use crate::connection::{Address, Route};

/// K and its protection are there both or neither.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u64,
    key: Option<Zeroizing<String>>,
    protection: Option<Protection>,
    connection: Option<Connection>,
    /// Where a vault may have a record of K.
    places: Vec<Connection>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Protection {
    Unfinished,
    KeyOnly,
    Password(RegistrationRef),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Connection {
    route: Route,
    ca_file: Option<PathBuf>,
    tenant: TenantId,
    account: AccountId,
    fingerprints: Vec<Fingerprint>,
    memory: Option<TrustMemory>,
}

/// `None` for anything that version 1 has not written.
pub(super) fn decode(text: &[u8]) -> Option<DeviceState> {
    let stored: Stored = serde_json::from_slice(text).ok()?;
    if stored.version != 1 {
        return None;
    }
    let current = match stored.connection {
        Some(connection) => Some(place(connection)?),
        None => None,
    };
    let places: Option<Vec<Place>> = stored.places.into_iter().map(place).collect();
    let places = places?;
    match (stored.key, stored.protection) {
        (Some(key), Some(protection)) => adopt(key.parse().ok()?, protection, current, places),
        // A device without a key has no record.
        (None, None) if places.is_empty() => {
            let mut state = DeviceState::new();
            state.use_place(current?).ok()?;
            Some(state)
        }
        (None, _) | (_, None) => None,
    }
}

fn adopt(
    key: BackupKey,
    protection: Protection,
    current: Option<Place>,
    mut places: Vec<Place>,
) -> Option<DeviceState> {
    let is_used = !matches!(protection, Protection::Unfinished);
    let registered = match protection {
        Protection::Password(registration) => Some((current.clone()?, registration)),
        Protection::Unfinished | Protection::KeyOnly => None,
    };
    // The place that the device talks to comes first.
    places.sort_by_key(|place| {
        !current
            .as_ref()
            .is_some_and(|current| current.is_same(place))
    });
    let mut state = DeviceState::adopt(key, is_used, registered, places);
    if let Some(current) = current {
        // Refused where a registration may have been sent to another place, which stays the one then.
        let _ = state.use_place(current);
    }
    Some(state)
}

fn place(connection: Connection) -> Option<Place> {
    let address = Address {
        route: connection.route,
        ca_file: connection.ca_file,
    };
    Some(Place {
        tenant: connection.tenant,
        account: connection.account,
        fingerprints: connection.fingerprints,
        memory: connection.memory,
        address: address.to_text().ok()?,
    })
}
