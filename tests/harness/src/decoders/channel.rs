//! The sealed channel: key lists, binary HTTP, and answers as the client reads them.

use std::cell::RefCell;

use rand::SeedableRng;
use rand::rngs::StdRng;
use vault_client::call::InnerAnswer;
use vault_client::flows::{Deletion, Registration, Retrieval, StatusQuery, check_registrable};
use vault_client::outer::OuterAnswer;
use vault_client::trust::{Trust, VaultAccount, VerifiedVault};
use vault_protocol::inner_http::{
    InnerRequest, PADDED_LEN, decode_request, decode_response, encode_request, encode_response,
};
use vault_protocol::messages::{AccountState, Status};
use vault_protocol::ohttp_keys::{KeyKind, derive_key_config, select};
use vault_protocol::password::Password;
use vault_protocol::statement::Statement;
use vault_protocol::{AccountId, BackupKey, Binary, Policy, StretchingProfile, TenantId, VaultId};
use zeroize::Zeroizing;

use super::common::NOW;
use super::wire;

pub(super) fn key_list(list: &[u8]) -> bool {
    let Ok(request) = select(list) else {
        return false;
    };
    // A key that is no point of its curve is found out here at the latest.
    let Ok((sealed, _)) = request.encapsulate(b"x") else {
        return false;
    };
    let named = sealed.get(..3).expect("a key's id and its KEM");
    assert!(list.windows(3).any(|three| three == named));
    true
}

pub(super) fn inner_request(bytes: &[u8]) -> bool {
    let Ok(inner) = decode_request(bytes) else {
        return false;
    };
    assert!(size(&inner) <= bytes.len(), "bounded by what came");
    let texts = (
        std::str::from_utf8(&inner.method),
        std::str::from_utf8(&inner.path),
    );
    if let (Ok(method), Ok(path)) = texts {
        let written = encode_request(method, path, &inner.content);
        assert_eq!(written.len() % PADDED_LEN, 0);
        let again = decode_request(&written).expect("what was written is read");
        assert_eq!(again.method, inner.method);
        assert_eq!(again.path, inner.path);
        assert_eq!(again.content, inner.content);
    }
    true
}

fn size(inner: &InnerRequest) -> usize {
    let headers = inner
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len());
    inner.method.len() + inner.path.len() + headers.sum::<usize>() + inner.content.len()
}

pub(super) fn inner_answer(bytes: &[u8]) -> bool {
    let Ok(inner) = decode_response(bytes) else {
        return false;
    };
    let written = encode_response(&inner);
    assert_eq!(written.len() % PADDED_LEN, 0);
    let again = decode_response(&written).expect("what was written is read");
    assert_eq!(again.status, inner.status);
    assert_eq!(again.headers, inner.headers);
    assert_eq!(again.content, inner.content);
    true
}

/// The first byte chooses the reader, the next two are the status.
pub(super) fn client_answer(bytes: &[u8]) -> bool {
    let Some(([reader, high, low], content)) = bytes.split_first_chunk() else {
        return false;
    };
    let status = u16::from_be_bytes([*high, *low]);
    let answer = InnerAnswer {
        status,
        content: content.to_vec(),
    };
    let is_success = (200..300).contains(&status);
    let is_read = DEVICE.with_borrow(|device| device.reads(*reader, &answer));
    assert!(is_success || !is_read, "an outcome that no 2xx told");
    assert!(!is_success || answer.no_outcome().is_none());
    is_read
}

thread_local! {
    static DEVICE: RefCell<Device> = RefCell::new(Device::new());
}

/// A device that has seen the statement of a vault.
struct Device {
    vault: VerifiedVault,
    key: BackupKey,
}

impl Device {
    fn new() -> Self {
        Self {
            vault: vault(Binary([1; 32])),
            key: BackupKey::from_bytes(&Zeroizing::new([2; 32])),
        }
    }

    /// Whether an answer is an outcome to the flow of this number.
    fn reads(&self, reader: u8, answer: &InnerAnswer) -> bool {
        let mut rng = StdRng::seed_from_u64(0);
        let maximum = Policy::default();
        match reader % 6 {
            0 => StatusQuery::new(self.account())
                .answered(answer)
                .map(|status| {
                    let _ = check_registrable(&status, false);
                    let _ = self.retrieval(&status);
                })
                .is_ok(),
            1 => Registration::begin(self.account(), password(), &mut rng)
                .evaluated(answer, &maximum)
                .is_ok(),
            2 => self
                .retrieval(&live())
                .expect("a live record")
                .evaluated(answer)
                .is_ok(),
            3 => Deletion::begin(self.account(), 1, &self.key)
                .finished(answer)
                .is_ok(),
            4 => OuterAnswer {
                status: answer.status,
                content: answer.content.clone(),
            }
            .into_content()
            .is_ok(),
            _ => {
                let call = StatusQuery::new(self.account()).request();
                let (_, key) = self.vault.seal(&call, NOW).expect("a usable key");
                key.open(&answer.content).is_ok()
            }
        }
    }

    fn retrieval(&self, status: &Status) -> Option<Retrieval> {
        let mut rng = StdRng::seed_from_u64(0);
        let maximum = Policy::default();
        Retrieval::begin(self.account(), status, &maximum, password(), &mut rng).ok()
    }

    fn account(&self) -> VaultAccount {
        account(&self.vault)
    }
}

/// A vault whose statement was believed and names this key.
pub(super) fn vault(opaque_server_public_key: Binary<32>) -> VerifiedVault {
    let config = derive_key_config(1, KeyKind::X25519, &Zeroizing::new([1; 32]));
    let statement = Statement {
        vault_id: VaultId::new("v").expect("a valid name"),
        protocol: vault_protocol::PROTOCOL_VERSION,
        serial: 1,
        expires_at: NOW.plus_seconds(1),
        ohttp_keys: ohttp::KeyConfig::encode_list(&[config]).expect("one key"),
        opaque_server_public_key,
    };
    let signed = serde_json::to_vec(&statement.sign(&wire::signer())).expect("a statement");
    let mut trust = Trust::new([wire::signer().identity_key().fingerprint()]);
    trust.accept(&signed, NOW).expect("a good statement")
}

pub(super) fn account(vault: &VerifiedVault) -> VaultAccount {
    let tenant = TenantId::new("app").expect("a valid name");
    let account = AccountId::new("alice").expect("a valid name");
    vault.account(&tenant, &account)
}

pub(super) fn password() -> Password {
    Password::prepare("correct horse").expect("a password")
}

pub(super) fn live() -> Status {
    Status {
        state: AccountState::Active,
        generation: 1,
        attempts_remaining: 10,
        retry_at: None,
        destroyed_at: None,
        reason: None,
        stretching_profile: Some(StretchingProfile::ONE),
        policy: Policy::default(),
    }
}
