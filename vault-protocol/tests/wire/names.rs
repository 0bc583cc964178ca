//! Names and times (PROTOCOL.md section 2).

use serde_json::Value;
use vault_protocol::suite::Identities;
use vault_protocol::{AccountId, TenantId, Timestamp, VaultId};

use crate::support::{list, number, scope, text, vectors};

#[test]
fn names_are_accepted_and_refused_as_published() {
    let file = vectors("names.json");
    check(&file["vault"], |name| VaultId::new(name).is_ok());
    check(&file["tenant"], |name| TenantId::new(name).is_ok());
    check(&file["account"], |name| AccountId::new(name).is_ok());
}

fn check(vectors: &Value, accepts: impl Fn(&str) -> bool) {
    for name in list(&vectors["refused"]) {
        assert!(!accepts(text(name)), "{name} was accepted");
    }
    for name in list(&vectors["accepted"]) {
        assert!(accepts(text(name)), "{name} was refused");
    }
}

#[test]
fn an_account_has_the_published_path_and_identities() {
    let file = vectors("names.json");
    let scope = scope(&file["scope"]);
    assert_eq!(scope.path(), text(&file["path"]));
    let identities = Identities::new(&scope);
    let bound = identities.identifiers();
    let client = text(&file["client_identity"]).as_bytes();
    let server = text(&file["server_identity"]).as_bytes();
    assert_eq!(bound.client, Some(client));
    assert_eq!(bound.server, Some(server));
}

#[test]
fn times_are_written_and_read_as_published() {
    let file = vectors("times.json");
    for spelling in list(&file["refused"]) {
        assert_eq!(Timestamp::from_rfc3339(text(spelling)), None, "{spelling}");
    }
    for vector in list(&file["written"]) {
        let time = Timestamp::from_millis(number(&vector["milliseconds"]));
        let written = text(&vector["text"]);
        assert_eq!(time.to_rfc3339(), written);
        // Rounded up when it was written, never down.
        let read = Timestamp::from_rfc3339(written).unwrap();
        assert!(read >= time && read.millis() - time.millis() < 1000);
    }
}
