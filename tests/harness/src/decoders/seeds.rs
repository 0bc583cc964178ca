//! The first inputs of the corpora: committed vectors and fixtures, and the code's own output.

use std::fs;

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use vault_protocol::Policy;
use vault_protocol::TenantId;
use vault_server::stored::leaf::Stored;
use vault_server::tenants::tenant::{Tenant, TenantList};
use vault_server::tenants::token::TokenScope;

use super::common::NOW;
use super::{files, finish, ledger, served, stored};
use crate::device::InnerMessage;
use crate::paths::repository;

/// The first inputs of the decoder of this name.
///
/// # Panics
/// If the committed files are not where they were.
pub fn seeds(name: &str) -> Vec<Vec<u8>> {
    match name {
        "requests" => messages("request"),
        "answers" => messages("answer"),
        "problem" => texts("problems.json", &["problems", "unknown"], "json"),
        "text" => text(),
        "opaque" => opaque(),
        "statement" => vec![of(&vectors("statement.json")["json"])],
        "statement_text" => vec![of(&vectors("statement.json")["text"])],
        "shown_identity" => shown_identities(),
        "key_list" => hexes("ohttp_keys.json", &["chosen", "refused"], "list"),
        "inner_request" | "served_request" => {
            let parts = ["requests", "accepted_requests", "refused_requests"];
            let mut inner = hexes("inner_messages.json", &parts, "bytes");
            inner.push(InnerMessage::request("GET", "/v1/tenants/app/accounts/alice").encode());
            inner.iter().map(|bytes| without_padding(bytes)).collect()
        }
        "inner_answer" => {
            let inner = hexes("inner_messages.json", &["answers"], "bytes");
            inner.iter().map(|bytes| without_padding(bytes)).collect()
        }
        "client_answer" => client_answers(),
        "client_finish" => finish::answers(),
        "client_login" => vec![finish::ke2()],
        "served_headers" => headers(),
        "served_message" => vec![
            served::sealed(b"\0"),
            served::sealed(&seeds("inner_request")[0]),
        ],
        "served_body" => numbered(6, &messages("request")),
        "ticket" => vec![stored::sealed_ticket()],
        "ticket_content" => vec![stored::ticket_plaintext()],
        "ticket_keys" => vec![hex(stored::TICKET_KEYS), hex("0100")],
        "channel_keys" => vec![served::stored_channel_keys(), hex("0100")],
        "tenant" => tenants(),
        "account" => accounts(),
        "account_leaf" => {
            let leaf = |state: Vec<u8>| [&[1, 3][..], b"app", &state].concat();
            accounts().into_iter().map(leaf).collect()
        }
        "event" => fixture("events-v1.hex").lines().map(hex).collect(),
        "keyring" => stored::sealed_keyrings(),
        "keyring_content" => vec![stored::keyring_plaintext()],
        "anchor_file" => {
            let slots = [ledger::live(), ledger::empty()].map(|slot| ledger::sealed_slot(&slot));
            vec![
                slots.concat(),
                slots.map(|slot| slot[..106].to_vec()).concat(),
            ]
        }
        "anchor_slots" => vec![
            [ledger::live(), ledger::empty()].concat(),
            [ledger::empty(), ledger::live()].concat(),
        ],
        "tree_row" => vec![ledger::root_row(&ledger::root())],
        "tree_root" => vec![
            ledger::root(),
            [&ledger::metadata()[..], &inner_node()].concat(),
        ],
        "tree_node" => vec![vec![2], ledger::bucket(b"\x01\x04state"), inner_node()],
        "tree_record" => ledger::records(),
        "tree_event" => vec![[&[0; 40][..], b"event"].concat()],
        "clear_rows" => ledger::clear_rows_of_all_kinds(),
        "config" => vec![
            fs::read(repository().join("deploy/vault.toml")).expect("the sample"),
            b"listen = \"[::1]:1\"\n[limits]\nbatch_limit = 1\n".to_vec(),
        ],
        "config_environment" => vec![
            b"LISTEN=[::1]:1\nLIMITS__BATCH_LIMIT=9\nANCHOR__MIRRORS=/a:/b".to_vec(),
            b"DATA_FOLDER=/d\nLOG__FORMAT=json\nLOG__FILTER=info,a=debug".to_vec(),
        ],
        "admin_request" => admin_requests(),
        "admin_answer" => admin_answers(),
        "secret_file" => secret_files(),
        "device_state" => ["device-v1.json", "device-v2.json"]
            .map(|name| repository().join("vault-client/cli/tests/data").join(name))
            .map(|path| fs::read(path).expect("the fixture"))
            .to_vec(),
        "backup_file" => vec![files::sealed(&compressed(&files::archives()[0]))],
        "backup_compressed" => files::archives()
            .iter()
            .map(|tar| compressed(tar))
            .collect(),
        "backup_archive" => files::archives(),
        _ => panic!("{name} has no seeds"),
    }
}

fn compressed(tar: &[u8]) -> Vec<u8> {
    zstd::encode_all(tar, 1).expect("into memory")
}

fn messages(kind: &str) -> Vec<Vec<u8>> {
    let vectors = vectors("messages.json");
    let of_kind = list(&vectors["messages"])
        .iter()
        .filter(|message| message["kind"] == kind);
    of_kind.map(|message| of(&message["json"])).collect()
}

fn text() -> Vec<Vec<u8>> {
    let (keys, names) = (vectors("backup_key.json"), vectors("names.json"));
    let mut texts = texts("password.json", &["prepared"], "typed");
    texts.extend(
        [
            &keys["keys"][1]["grouped"],
            &keys["keys"][1]["key_id"],
            &vectors("identity.json")["fingerprint"],
            &vectors("times.json")["written"][5]["text"],
            &names["scope"]["vault"],
            &names["scope"]["account"],
        ]
        .map(of),
    );
    texts.push(b"bkv1_app_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_vec());
    texts
}

fn opaque() -> Vec<Vec<u8>> {
    let outputs = &vectors("opaque.json")["outputs"];
    let names = [
        "registration_request",
        "registration_response",
        "registration_upload",
        "KE1",
        "KE2",
        "KE3",
    ];
    let message = |(kind, name): (u8, &str)| [&[kind][..], &unhex(&outputs[name])].concat();
    (0..).zip(names).map(message).collect()
}

fn client_answers() -> Vec<Vec<u8>> {
    let [ok, refused] = [[0, 200], [1, 153]];
    let mut answers = Vec::new();
    for reader in 0..6 {
        for content in messages("answer") {
            answers.push([&[reader][..], &ok, &content].concat());
        }
        for content in texts("problems.json", &["problems"], "json") {
            answers.push([&[reader][..], &refused, &content].concat());
        }
    }
    answers
}

/// Each of these with each of so many first bytes.
fn numbered(count: u8, contents: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let with = |number| move |content: &Vec<u8>| [&[number][..], content].concat();
    (0..count)
        .flat_map(|number| contents.iter().map(with(number)))
        .collect()
}

fn tenants() -> Vec<Vec<u8>> {
    let name = TenantId::new("app").expect("a valid name");
    let mut tenant = Tenant::new(Policy::default());
    let list = TenantList(vec![name.clone()]);
    let mut rng = StdRng::seed_from_u64(0);
    let scopes = vec![TokenScope::Use, TokenScope::Reset];
    tenant
        .add_token(&name, scopes, NOW, &mut rng)
        .expect("its first");
    vec![tenant.encode().to_vec(), list.encode().to_vec()]
}

fn admin_requests() -> Vec<Vec<u8>> {
    let policy = serde_json::to_value(Policy::default()).expect("a policy");
    let (tenant, account) = ("app", "alice");
    [
        json!({"request": "add-tenant", "tenant": tenant, "policy": policy, "scopes": ["use"]}),
        json!({"request": "list-tenants"}),
        json!({"request": "revoke-token", "tenant": tenant, "id": 1}),
        json!({"request": "reset-account", "tenant": tenant, "account": account, "generation": 1}),
        json!({"request": "show-account", "tenant": tenant, "account": account}),
    ]
    .map(|request| json!({"data_folder": [64_769, 1_234_567], "request": request}))
    .map(|line| line.to_string().into_bytes())
    .to_vec()
}

fn admin_answers() -> Vec<Vec<u8>> {
    let policy = serde_json::to_value(Policy::default()).expect("a policy");
    let (token, time) = ("bkv1_app_AAAA", NOW.to_rfc3339());
    let tokens = json!([{"id": 1, "scopes": ["use", "status", "reset"], "created_at": time}]);
    let tenant = json!({"tenant": "app", "policy": policy, "live_records": 1, "tokens": tokens});
    let status =
        json!({"state": "absent", "generation": 0, "attempts_remaining": 0, "policy": policy});
    let events = json!([{"at": time, "generation": 1, "event": "registered"}]);
    let fingerprint = of(&vectors("identity.json")["fingerprint"]);
    let fingerprint = String::from_utf8(fingerprint).expect("digits");
    [
        json!({"answer": "token", "token": token}),
        json!({"answer": "tenants", "tenants": [tenant]}),
        json!({"answer": "account", "status": status, "events": events}),
        json!({"answer": "done"}),
        json!({"answer": "fingerprint", "fingerprint": fingerprint}),
        json!({"answer": "refused", "reason": "there is no such tenant"}),
    ]
    .map(|answer| answer.to_string().into_bytes())
    .to_vec()
}

fn shown_identities() -> Vec<Vec<u8>> {
    let signed = of(&vectors("statement.json")["json"]);
    let whole: Value = serde_json::from_slice(&signed).expect("JSON");
    let alone = json!({"identity_key": whole["identity_key"]});
    vec![signed, alone.to_string().into_bytes(), b"{}".to_vec()]
}

fn headers() -> Vec<Vec<u8>> {
    [
        &b"\0Bearer TOKEN\n\x01alice"[..],
        b"\0bEARER  TOKEN \n\x01bob",
        b"\0Bearer TOKEN\n\x01alice\n\x01bob",
        b"\0Bearer TOKEN\n\0Bearer TOKEN\n\x01alice",
        b"\0Basic TOKEN\n\x01a b",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

fn secret_files() -> Vec<Vec<u8>> {
    [
        &[7; 32][..],
        "0f".repeat(32).as_bytes(),
        ("0F".repeat(32) + "\r\n").as_bytes(),
        "0g".repeat(32).as_bytes(),
        b"correct horse\n",
        b"\n",
        b"\xff",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

fn inner_node() -> Vec<u8> {
    let present = 0b11_u64.to_be_bytes();
    [&[1][..], &present, &[7; 32], &[8; 32]].concat()
}

/// Padding is a few thousand bytes of nothing to look for.
fn without_padding(inner: &[u8]) -> Vec<u8> {
    let end = inner.iter().rposition(|byte| *byte != 0);
    inner[..end.map_or(0, |end| end + 2).min(inner.len())].to_vec()
}

fn accounts() -> Vec<Vec<u8>> {
    ["absent", "destroyed", "live", "pending"]
        .map(|kind| fixture(&format!("account-v1-{kind}.hex")))
        .map(|digits| hex(&digits.split_whitespace().collect::<String>()))
        .to_vec()
}

fn fixture(name: &str) -> String {
    let folder = repository().join("vault-server/rules/tests/fixtures");
    fs::read_to_string(folder.join(name)).expect("the fixture")
}

fn texts(file: &str, parts: &[&str], name: &str) -> Vec<Vec<u8>> {
    let vectors = vectors(file);
    let values = parts.iter().flat_map(|part| list(&vectors[*part]));
    values.map(|value| of(&value[name])).collect()
}

fn hexes(file: &str, parts: &[&str], name: &str) -> Vec<Vec<u8>> {
    let vectors = vectors(file);
    let values = parts.iter().flat_map(|part| list(&vectors[*part]));
    values.map(|value| unhex(&value[name])).collect()
}

fn vectors(file: &str) -> Value {
    let path = repository().join("vault-protocol/tests/vectors").join(file);
    serde_json::from_slice(&fs::read(path).expect("the vectors")).expect("JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list").as_slice()
}

fn of(value: &Value) -> Vec<u8> {
    value.as_str().expect("a text").as_bytes().to_vec()
}

fn unhex(value: &Value) -> Vec<u8> {
    hex(value.as_str().expect("a text"))
}

fn hex(digits: &str) -> Vec<u8> {
    base16ct::lower::decode_vec(digits).expect("hexadecimal")
}
