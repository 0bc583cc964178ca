//! Where in the ledger things are. Accounts are found by their account key (PROTOCOL.md section 2),
//! everything else by the hash of a fixed name.

use vault_ledger::LeafKey;
use vault_protocol::TenantId;
use vault_protocol::labelled::Labelled;

/// The leaves without which the vault cannot serve: tenants, ticket keys, the channel's keys, the
/// serial.
pub fn own() -> [LeafKey; 4] {
    [tenants(), ticket_keys(), ohttp_keys(), statement_serial()]
}

/// The list of tenants.
pub fn tenants() -> LeafKey {
    place("tenants", b"")
}

/// One tenant: policy, tokens, count of live records.
pub fn tenant(tenant: &TenantId) -> LeafKey {
    place("tenant", tenant.as_str().as_bytes())
}

/// The keys that seal retrieval tickets.
pub fn ticket_keys() -> LeafKey {
    place("ticket keys", b"")
}

/// The private keys of the sealed channel.
pub fn ohttp_keys() -> LeafKey {
    place("ohttp keys", b"")
}

/// The last statement's serial.
pub fn statement_serial() -> LeafKey {
    place("statement serial", b"")
}

fn place(kind: &str, name: &[u8]) -> LeafKey {
    let label = Labelled::new("backup-key-vault/v1 place");
    LeafKey(label.bytes(kind.as_bytes()).bytes(name).sha256())
}
