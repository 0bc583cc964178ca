//! The table of decoders.

use super::{channel, files, finish, ledger, served, stored, wire};

/// A decoder, and how to fuzz it.
pub struct Decoder {
    /// Its name, also of its corpus.
    pub name: &'static str,
    /// The bytes that it reads.
    pub reads: &'static str,
    /// Whether each input takes a vault, a ledger or a restore of its own.
    pub is_slow: bool,
    /// The longest input of the fuzzer, in bytes: the longest message, and less where input unpacks
    /// to more.
    pub max_len: usize,
    /// Whether it accepts these bytes.
    pub accepts: fn(&[u8]) -> bool,
}

/// Every decoder.
pub const DECODERS: &[Decoder] = &[
    decoder("requests", "the JSON of every request", wire::requests),
    decoder("answers", "the JSON of every answer", wire::answers),
    decoder("problem", "problem+json", wire::problem),
    decoder(
        "text",
        "names, times, digits, fingerprints, tokens, passwords",
        wire::text,
    ),
    decoder("opaque", "OPAQUE's messages", wire::opaque),
    decoder("statement", "the answer of GET /v1/vault", wire::statement),
    decoder(
        "statement_text",
        "the text of a signed statement",
        wire::statement_text,
    ),
    decoder(
        "shown_identity",
        "the vault that a statement names, before it is believed",
        wire::shown_identity,
    ),
    decoder("key_list", "application/ohttp-keys", channel::key_list),
    decoder(
        "inner_request",
        "binary HTTP, as the vault reads it",
        channel::inner_request,
    ),
    decoder(
        "inner_answer",
        "binary HTTP, as the client reads it",
        channel::inner_answer,
    ),
    decoder(
        "client_answer",
        "answers, as the client's flows read them",
        channel::client_answer,
    ),
    decoder(
        "client_finish",
        "the last answers of a registration and a retrieval",
        finish::client_finish,
    ),
    decoder(
        "client_login",
        "KE2, as the client opens it",
        finish::client_login,
    ),
    decoder(
        "served_headers",
        "a relay's headers, by a whole vault",
        served::headers,
    )
    .slow()
    .at_most(8192),
    decoder(
        "served_message",
        "sealed messages, by a whole vault",
        served::message,
    )
    .slow()
    .at_most(8192),
    decoder(
        "served_request",
        "inner requests, by a whole vault",
        served::request,
    )
    .slow()
    .at_most(8192),
    decoder("served_body", "JSON bodies, by a whole vault", served::body)
        .slow()
        .at_most(8192),
    decoder("ticket", "sealed retrieval tickets", stored::ticket),
    decoder(
        "ticket_content",
        "what is in a ticket",
        stored::ticket_content,
    ),
    decoder(
        "ticket_keys",
        "the leaf of ticket keys",
        stored::ticket_keys,
    ),
    decoder(
        "channel_keys",
        "the leaf of channel keys",
        stored::channel_keys,
    ),
    decoder("tenant", "the leaves of tenants", stored::tenant),
    decoder("account", "an account's state", stored::account),
    decoder("account_leaf", "an account's leaf", stored::account_leaf),
    decoder("event", "an account's events", stored::event),
    decoder("keyring", "the keyring's file", stored::keyring),
    decoder(
        "keyring_content",
        "what is in a keyring",
        stored::keyring_content,
    ),
    decoder("anchor_file", "the anchor's file", ledger::anchor_file)
        .slow()
        .at_most(8192),
    decoder(
        "anchor_slots",
        "what is in an anchor's slots",
        ledger::anchor_slots,
    )
    .slow(),
    decoder("tree_row", "the root's row", ledger::tree_row).slow(),
    decoder("tree_root", "what is in the root's row", ledger::tree_root).slow(),
    decoder(
        "tree_node",
        "what is in another node's row",
        ledger::tree_node,
    )
    .slow(),
    decoder(
        "tree_record",
        "what the tree holds for a leaf",
        ledger::tree_record,
    )
    .slow(),
    decoder(
        "tree_event",
        "what is in an event's row",
        ledger::tree_event,
    )
    .slow(),
    decoder(
        "clear_rows",
        "the database's rows that are not sealed",
        ledger::clear_rows,
    )
    .slow(),
    decoder("config", "the configuration's file", files::config),
    decoder(
        "config_environment",
        "the configuration's environment",
        files::config_environment,
    ),
    decoder(
        "admin_request",
        "requests to the administration's socket",
        files::admin_request,
    ),
    decoder(
        "admin_answer",
        "answers of the administration's socket",
        files::admin_answer,
    ),
    decoder(
        "secret_file",
        "files with a key, a passphrase or a password",
        files::secret_file,
    ),
    decoder(
        "device_state",
        "the command line's state file",
        files::device_state,
    )
    .slow(),
    decoder("backup_file", "a backup's file", files::backup_file).slow(),
    decoder(
        "backup_compressed",
        "what a backup's envelope holds",
        files::backup_compressed,
    )
    .slow()
    .at_most(1024),
    decoder(
        "backup_archive",
        "what a backup's archive holds",
        files::backup_archive,
    )
    .slow()
    .at_most(16_384),
];

const fn decoder(name: &'static str, reads: &'static str, accepts: fn(&[u8]) -> bool) -> Decoder {
    Decoder {
        name,
        reads,
        is_slow: false,
        max_len: 4096,
        accepts,
    }
}

impl Decoder {
    const fn slow(self) -> Self {
        Self {
            is_slow: true,
            ..self
        }
    }

    const fn at_most(self, max_len: usize) -> Self {
        Self { max_len, ..self }
    }
}

/// The decoder of this name. The compiler looks it up: a fuzz target then holds one decoder and not
/// all. libFuzzer looks through all the code of a target after every input.
///
/// # Panics
/// If there is none.
pub const fn named(name: &str) -> Decoder {
    let mut index = 0;
    while index < DECODERS.len() {
        let decoder = &DECODERS[index];
        if is_same(decoder.name.as_bytes(), name.as_bytes()) {
            return Decoder { ..*decoder };
        }
        index += 1;
    }
    panic!("no decoder of the table has this name")
}

// `==` of slices is not for constants.
const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}
