//! A whole vault behind its router: what a relay sends, and what a device seals.

use std::cell::RefCell;

use http::StatusCode;
use ohttp::KeyConfig;
use tokio::runtime::{Builder, Runtime};
use vault_protocol::Policy;
use vault_protocol::ohttp_keys::{KeyKind, derive_key_config};
use vault_server::channel_keys::ChannelKeys;
use vault_server::places;
use zeroize::Zeroizing;

use crate::device::{self, InnerMessage};
use crate::in_process::{Answered, START, TestVault};

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

impl Served {
    fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let vault = runtime.block_on(async {
            let mut vault = TestVault::start(Policy::default()).await;
            let put = vault.ledger().commit(|batch| {
                batch.put(&places::ohttp_keys(), channel_keys().encode());
                Ok(())
            });
            put.await.expect("the ledger runs");
            vault.restart(START).await;
            vault
        });
        Self { runtime, vault }
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
