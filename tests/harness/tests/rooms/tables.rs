//! The tables. A room or crate that is new gets a line here before it can be used.

use super::rooms::Rooms;

pub const ROOMS: &[Rooms] = &[
    Rooms {
        package: "vault-server",
        layers: &[
            &["process", "stored", "telemetry"],
            &["tenants", "keyring", "config"],
            &["service", "channel", "net"],
            &["http", "admin", "maintenance"],
            &["server"],
            &["cli"],
        ],
        never: &[
            ("admin", "http"),
            ("service", "http"),
            ("channel", "service"),
        ],
    },
    Rooms {
        package: "vault-ledger",
        layers: &[
            &["error", "key", "files"],
            &["tree", "store", "anchor", "options"],
            &["leaf"],
            &["engine"],
            &["writer"],
            &["ledger"],
        ],
        never: &[
            ("store", "anchor"),
            ("anchor", "store"),
            ("anchor", "tree"),
            ("tree", "anchor"),
        ],
    },
];

/// The crates of the workspace that a product crate may depend on. Test crates may know all.
pub const CRATES: &[(&str, &[&str])] = &[
    ("vault-protocol", &[]),
    ("vault-rules", &["vault-protocol"]),
    ("vault-ledger", &[]),
    (
        "vault-server",
        &["vault-protocol", "vault-rules", "vault-ledger"],
    ),
    ("vault-client", &["vault-protocol"]),
    ("vault-backup", &["vault-protocol"]),
    (
        "vault-client-cli",
        &["vault-protocol", "vault-client", "vault-backup"],
    ),
    ("vault-app-backend", &["vault-protocol"]),
];

/// Foreign crates that a product crate must never depend on.
pub const NEVER_CRATES: &[(&str, &[&str])] = &[
    (
        "vault-protocol",
        &["tokio", "reqwest", "axum", "hyper", "rusqlite", "tracing"],
    ),
    (
        "vault-rules",
        &[
            "tokio", "reqwest", "axum", "hyper", "rusqlite", "tracing", "rand", "rustix",
        ],
    ),
    ("vault-ledger", &["axum", "hyper", "reqwest"]),
    ("vault-client", &["tar", "zstd", "age", "axum", "rusqlite"]),
    ("vault-backup", &["tokio", "reqwest", "axum"]),
];

/// A foreign crate, the package that may name it in these folders and files of its `src` only.
pub const FOREIGN: &[(&str, &str, &[&str])] = &[
    ("vault-ledger", "rusqlite", &["store/sqlite/"]),
    ("vault-ledger", "rusqlite_migration", &["store/sqlite/"]),
    (
        "vault-server",
        "opaque_ke",
        &["keyring/", "service/opaque.rs"],
    ),
    ("vault-server", "axum", &["http/", "net/"]),
];
