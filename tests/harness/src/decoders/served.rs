//! A whole vault behind its router: the messages of a relay, and of a device below the seal.

use std::cell::RefCell;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use ohttp::KeyConfig;
use tokio::runtime::{Builder, Runtime};
use vault_protocol::Policy;
use vault_protocol::ohttp_keys::{KeyKind, derive_key_config};
use vault_server::channel::keys::ChannelKeys;
use vault_server::stored::leaf::{Leaves, Stored};
use zeroize::Zeroizing;

use crate::device::{self, InnerMessage};
use crate::in_process::{self, Answered, START, TestVault};

const ACCOUNT: &str = "alice";
const PATH: &str = "/v1/tenants/app/accounts/alice";
const ENDPOINTS: [&str; 6] = [
    "registration/start",
    "registration/finish",
    "retrieval/start",
    "retrieval/finish",
    "retrieval/abandon",
    "deletion",
];

/// The seeds of the vault's two keys, the same every time: a sealed message of the corpus opens.
const X_WING_SEED: [u8; 32] = [0x33; 32];
const X25519_SEED: [u8; 32] = [0x44; 32];

/// As a relay sends it. Whether it opens.
pub(super) fn message(sealed: &[u8]) -> bool {
    SERVED.with_borrow(|served| {
        let relayed = served
            .vault
            .relay(&served.vault.app, ACCOUNT, sealed.to_vec());
        let answered = served.runtime.block_on(relayed);
        if answered.status == StatusCode::OK {
            return true;
        }
        assert!(answered.status.is_client_error(), "{}", answered.text());
        answered.problem();
        false
    })
}

/// Lines: each an even byte and a value of `Authorization`, or an odd one and a value of
/// `Vault-Account`. The word TOKEN stands for the token, which is another one at every start.
/// Whether the sealed message that comes with them is opened.
pub(super) fn headers(lines: &[u8]) -> bool {
    SERVED.with_borrow(|served| served.lets_in(lines))
}

/// As it is inside a sealed message. Whether it is answered and not refused.
pub(super) fn request(inner: &[u8]) -> bool {
    SERVED.with_borrow(|served| served.takes(inner))
}

/// The first byte chooses the endpoint, the rest is the body.
pub(super) fn body(bytes: &[u8]) -> bool {
    let Some((endpoint, json)) = bytes.split_first() else {
        return false;
    };
    let endpoint = ENDPOINTS[usize::from(*endpoint) % ENDPOINTS.len()];
    request(&InnerMessage::json("POST", &format!("{PATH}/{endpoint}"), json).encode())
}

/// An inner message, sealed to the vault.
pub(super) fn sealed(inner: &[u8]) -> Vec<u8> {
    device::seal(&key_list(), inner).0
}

/// X25519 alone: sealing to the other key takes most of the time, and shows nothing more.
fn key_list() -> Vec<u8> {
    let config = derive_key_config(1, KeyKind::X25519, &Zeroizing::new(X25519_SEED));
    KeyConfig::encode_list(&[config]).expect("one key")
}

thread_local! {
    static SERVED: RefCell<Served> = RefCell::new(Served::new());
}

struct Served {
    runtime: Runtime,
    vault: TestVault,
}

const TOKEN: &[u8] = b"TOKEN";
static VAULT_ACCOUNT: HeaderName = HeaderName::from_static("vault-account");

impl Served {
    fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let vault = runtime.block_on(async {
            let mut vault = TestVault::start(Policy::default()).await;
            let put = vault.ledger().commit(|batch| {
                batch.set(&ChannelKeys::LEAF, &channel_keys());
                Ok(())
            });
            put.await.expect("the ledger runs");
            vault.restart(START).await;
            vault
        });
        Self { runtime, vault }
    }

    fn lets_in(&self, lines: &[u8]) -> bool {
        let inner = InnerMessage::request("GET", PATH).encode();
        let mut request = in_process::relayed("", ACCOUNT, sealed(&inner));
        let headers = request.headers_mut();
        headers.remove(AUTHORIZATION);
        headers.remove(&VAULT_ACCOUNT);
        for line in lines.split(|byte| *byte == b'\n') {
            self.add_header(headers, line);
        }
        let sent = headers.clone();
        let answered = self.runtime.block_on(self.vault.call(request));
        if answered.status != StatusCode::OK {
            assert!(answered.status.is_client_error(), "{}", answered.text());
            answered.problem();
            return false;
        }
        let count = |name| sent.get_all(name).iter().count();
        assert_eq!(count(&AUTHORIZATION), 1, "which one counts?");
        assert_eq!(count(&VAULT_ACCOUNT), 1, "which one counts?");
        let token = sent[&AUTHORIZATION].as_bytes();
        let expected = self.vault.app.use_token.as_bytes();
        assert!(token.trim_ascii_end().ends_with(expected));
        true
    }

    /// Unless it is none that could be sent.
    fn add_header(&self, headers: &mut HeaderMap, line: &[u8]) {
        let Some((name, value)) = line.split_first() else {
            return;
        };
        let mut value = value.to_vec();
        if let Some(at) = value.windows(TOKEN.len()).position(|part| part == TOKEN) {
            let token = self.vault.app.use_token.bytes();
            value.splice(at..at + TOKEN.len(), token);
        }
        let is_account = name % 2 == 1;
        let name = if is_account {
            &VAULT_ACCOUNT
        } else {
            &AUTHORIZATION
        };
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            headers.append(name, value);
        }
    }

    fn takes(&self, inner: &[u8]) -> bool {
        let (sealed, key) = device::seal(&key_list(), inner);
        let relayed = self.vault.relay(&self.vault.app, ACCOUNT, sealed);
        let outer = self.runtime.block_on(relayed);
        if outer.status != StatusCode::OK {
            assert_eq!(outer.status, StatusCode::PAYLOAD_TOO_LARGE, "it was opened");
            return false;
        }
        let opened = key.decapsulate(&outer.body).expect("an answer to this");
        let answered = Answered::from_inner(&opened);
        if answered.status.is_success() {
            return true;
        }
        assert!(answered.status.is_client_error(), "{}", answered.text());
        answered.problem();
        false
    }
}

fn channel_keys() -> ChannelKeys {
    ChannelKeys::decode(&stored_channel_keys()).expect("version 1, one pair")
}

/// One pair, published since [`START`].
pub(super) fn stored_channel_keys() -> Vec<u8> {
    let life = [0x80, 0xa0, 0xf1, 0xc2, 0xb1, 0x34, 0];
    [&[1, 1, 0][..], &X_WING_SEED, &X25519_SEED, &life].concat()
}
