//! The last answers of a registration and a retrieval: to a device that stands right before them,
//! because a vault has answered everything else as it should.
//!
//! `EvaluatedRetrieval::open` stretches the password before it looks at anything of KE2 but its points,
//! a tenth of a second and 64 MiB for every input. So KE2 is opened here without the stretching, by
//! the same library; and `Abandonment::outcome`, which only that step leads to, is left out: what it
//! reads is among `answers`.

use std::cell::RefCell;

use opaque_ke::ksf::Identity;
use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialResponse, RegistrationResponse, ServerLogin,
    ServerLoginParameters, ServerRegistration, ServerSetup,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vault_client::call::{InnerAnswer, InnerCall};
use vault_client::flows::{
    Opening, PreparedRegistration, ProvenRetrieval, Registration, Retrieval,
};
use vault_client::protection::Protection;
use vault_protocol::messages::{
    RegistrationFinish, RegistrationFinished, RegistrationStart, RegistrationStarted,
    RetrievalFinish, RetrievalFinished, RetrievalStart, RetrievalStarted,
};
use vault_protocol::suite::{self, Identities, KE1_LEN, KE2_LEN, REGISTRATION_REQUEST_LEN, Suite};
use vault_protocol::wrapping::{self, ReleasedKey, WrappedKey};
use vault_protocol::{AccountScope, BackupKey, Binary, Policy, Ticket};
use zeroize::Zeroizing;

use super::channel;
use super::common::NOW;
use crate::device::CheapSuite;

const GENERATION: u64 = 1;
const CREDENTIAL: &[u8] = b"credential";
const OK: u16 = 200;

/// The first byte chooses the reader, the next two are the status. The last reader is given the
/// plaintext below the session key's seal.
pub(super) fn client_finish(bytes: &[u8]) -> bool {
    let Some(([reader, high, low], content)) = bytes.split_first_chunk() else {
        return false;
    };
    let status = u16::from_be_bytes([*high, *low]);
    let is_read = DEVICE.with_borrow(|device| match reader % 3 {
        0 => device.registers(status, content),
        1 => device.retrieves(status, content),
        _ => device.unwraps(status, content),
    });
    assert!(
        (200..300).contains(&status) || !is_read,
        "an outcome that no 2xx told"
    );
    is_read
}

/// KE2. Only the one that the vault has made for this request opens.
pub(super) fn client_login(bytes: &[u8]) -> bool {
    // The message has its length; the library would not look behind it.
    let Ok(ke2) = Binary::<KE2_LEN>::try_from(bytes) else {
        return false;
    };
    let Ok(response) = CredentialResponse::deserialize(&ke2.0) else {
        return false;
    };
    LOGIN.with_borrow(|login| {
        let identities = Identities::new(&login.scope);
        let parameters =
            ClientLoginFinishParameters::new(None, identities.identifiers(), Some(&Identity));
        let client = login.client.clone();
        let opened = client.finish(&mut rng(), PASSWORD, response, parameters);
        assert_eq!(opened.is_ok(), ke2 == login.ke2);
        opened.is_ok()
    })
}

/// An answer of each kind, good and bad.
pub(super) fn answers() -> Vec<Vec<u8>> {
    DEVICE.with_borrow(|device| {
        let registered = RegistrationFinished {
            generation: GENERATION,
            policy: Policy::default(),
        };
        let other = RegistrationFinished {
            generation: GENERATION + 1,
            policy: Policy::default(),
        };
        let foreign = released(Binary([7; _]));
        vec![
            input(0, OK, &json(&registered)),
            input(0, OK, &json(&other)),
            input(1, OK, &json(&device.release(&device.wrapped_key))),
            input(1, OK, &json(&foreign)),
            input(2, OK, device.wrapped_key.as_bytes()),
            input(2, OK, &[7; wrapping::WRAPPED_KEY_LEN]),
        ]
    })
}

/// The one that opens.
pub(super) fn ke2() -> Vec<u8> {
    LOGIN.with_borrow(|login| login.ke2.as_bytes().to_vec())
}

fn input(reader: u8, status: u16, content: &[u8]) -> Vec<u8> {
    [&[reader][..], &status.to_be_bytes(), content].concat()
}

thread_local! {
    static DEVICE: RefCell<Device> = RefCell::new(Device::new());
    static LOGIN: RefCell<Login> = RefCell::new(Login::new());
}

/// Before the last answer of a registration, and of the retrieval after it.
struct Device {
    scope: AccountScope,
    key: BackupKey,
    prepared: PreparedRegistration,
    proven: ProvenRetrieval,
    session_key: Vec<u8>,
    wrapped_key: WrappedKey,
}

impl Device {
    fn new() -> Self {
        let mut vault = Vault::new();
        let account = channel::account(&channel::vault(vault.public_key()));
        let scope = account.scope().clone();
        let key = BackupKey::from_bytes(&Zeroizing::new([2; 32]));
        let mut rng = rng();

        let begun = Registration::begin(account.clone(), channel::password(), &mut rng);
        let start: RegistrationStart = sent(&begun.request());
        let started = vault.registers(&start.registration_request);
        let prepared = begun
            .evaluated(&answer(OK, &json(&started)), &Policy::default())
            .and_then(|evaluated| evaluated.stretch(&mut rng))
            .expect("the vault's answer fits")
            .seal(&key, None, &mut rng);
        let registration: RegistrationFinish = sent(&prepared.request());

        let live = channel::live();
        let password = channel::password();
        let begun = Retrieval::begin(account, &live, &Policy::default(), password, &mut rng)
            .expect("a live record");
        let start: RetrievalStart = sent(&begun.request());
        let record = registration.registration_record.as_bytes();
        let (started, login) = vault.retrieves(&scope, record, &start.credential_request);
        let opening = begun
            .evaluated(&answer(OK, &json(&started)))
            .and_then(|evaluated| evaluated.open(&mut rng));
        let Ok(Opening::Right(proven)) = opening else {
            panic!("the password is right");
        };
        let finish: RetrievalFinish = sent(&proven.request());
        Self {
            session_key: session_key(&scope, login, &finish),
            wrapped_key: registration.wrapped_key,
            proven: *proven,
            scope,
            key,
            prepared,
        }
    }

    fn registers(&self, status: u16, content: &[u8]) -> bool {
        let registered = self.prepared.finished(&answer(status, content));
        if let Ok(registered) = &registered {
            assert_eq!(registered.policy, Policy::default(), "as was announced");
            let (live, maximum) = (channel::live(), Policy::default());
            let compared = registered
                .registration
                .compare(&self.scope, &live, &maximum);
            assert_eq!(compared, Protection::Protected, "another record");
        }
        registered.is_ok()
    }

    fn retrieves(&self, status: u16, content: &[u8]) -> bool {
        let retrieved = self.proven.finished(&answer(status, content));
        if let Ok(retrieved) = &retrieved {
            assert!(retrieved.key.is_same(&self.key), "another key");
        }
        retrieved.is_ok()
    }

    fn unwraps(&self, status: u16, wrapped: &[u8]) -> bool {
        let Ok(wrapped) = WrappedKey::try_from(wrapped) else {
            return false;
        };
        self.retrieves(status, &json(&self.release(&wrapped)))
    }

    fn release(&self, wrapped: &WrappedKey) -> RetrievalFinished {
        let (key, scope) = (&self.session_key, &self.scope);
        let sealed = wrapping::release_key(key, scope, GENERATION, &wrapped.0, &mut rng());
        released(sealed)
    }
}

/// A guess at a password, right before KE2.
struct Login {
    scope: AccountScope,
    client: ClientLogin<CheapSuite>,
    ke2: Binary<KE2_LEN>,
}

const PASSWORD: &[u8] = b"correct horse";

impl Login {
    fn new() -> Self {
        let (mut vault, mut rng) = (Vault::new(), rng());
        let account = channel::account(&channel::vault(vault.public_key()));
        let scope = account.scope().clone();
        let record = cheap_record(&vault, &scope);
        let begun = ClientLogin::<CheapSuite>::start(&mut rng, PASSWORD).expect("a short password");
        let request = exact(&begun.message.serialize());
        let (started, _) = vault.retrieves(&scope, &record, &request);
        Self {
            ke2: started.credential_response,
            client: begun.state,
            scope,
        }
    }
}

fn cheap_record(vault: &Vault, scope: &AccountScope) -> Vec<u8> {
    let mut rng = rng();
    let begun =
        ClientRegistration::<CheapSuite>::start(&mut rng, PASSWORD).expect("a short password");
    let started = vault.registers(&exact(&begun.message.serialize()));
    let response = RegistrationResponse::deserialize(&started.registration_response.0);
    let identities = Identities::new(scope);
    let parameters =
        ClientRegistrationFinishParameters::new(identities.identifiers(), Some(&Identity));
    let response = response.expect("the vault's answer");
    let finished = begun.state.finish(&mut rng, PASSWORD, response, parameters);
    let message = finished.expect("the vault's answer fits").message;
    message.serialize().to_vec()
}

/// The vault's half, the same every time, so that its sealed answers open again.
struct Vault {
    setup: ServerSetup<Suite>,
    rng: StdRng,
}

impl Vault {
    fn new() -> Self {
        let mut rng = rng();
        let setup = ServerSetup::new(&mut rng);
        Self { setup, rng }
    }

    fn public_key(&self) -> Binary<32> {
        exact(&self.setup.keypair().public().serialize())
    }

    fn registers(&self, request: &Binary<REGISTRATION_REQUEST_LEN>) -> RegistrationStarted {
        let request = suite::registration_request(&request.0).expect("a device's request");
        let started = ServerRegistration::<Suite>::start(&self.setup, request, CREDENTIAL);
        let message = started.expect("a request can be evaluated").message;
        RegistrationStarted {
            registration_response: exact(&message.serialize()),
            registration_ticket: Binary([1; 32]),
            policy: Policy::default(),
            generation: GENERATION - 1,
            expires_at: NOW,
        }
    }

    fn retrieves(
        &mut self,
        scope: &AccountScope,
        record: &[u8],
        request: &Binary<KE1_LEN>,
    ) -> (RetrievalStarted, ServerLogin<Suite>) {
        let record = record.try_into().expect("a record's length");
        let record = suite::registration_record(record).expect("a device's record");
        let request = suite::credential_request(&request.0).expect("a device's request");
        let identities = Identities::new(scope);
        let started = ServerLogin::start(
            &mut self.rng,
            &self.setup,
            Some(ServerRegistration::finish(record)),
            request,
            CREDENTIAL,
            parameters(&identities),
        );
        let started = started.expect("a request can be evaluated");
        let answer = RetrievalStarted {
            credential_response: exact(&started.message.serialize()),
            retrieval_ticket: Ticket(vec![1]),
            attempts_remaining: 9,
            generation: GENERATION,
        };
        (answer, started.state)
    }
}

fn session_key(
    scope: &AccountScope,
    login: ServerLogin<Suite>,
    finish: &RetrievalFinish,
) -> Vec<u8> {
    let finalization = suite::credential_finalization(&finish.credential_finalization.0);
    let identities = Identities::new(scope);
    let finished = login.finish(finalization.expect("KE3"), parameters(&identities));
    finished
        .expect("the password is right")
        .session_key
        .to_vec()
}

fn parameters(identities: &Identities) -> ServerLoginParameters<'static, '_> {
    ServerLoginParameters {
        context: None,
        identifiers: identities.identifiers(),
    }
}

fn released(released_key: ReleasedKey) -> RetrievalFinished {
    RetrievalFinished {
        released_key,
        failures_since_success: 0,
        failures_in_generation: 0,
        last_success_at: None,
        generation: GENERATION,
    }
}

fn sent<T: DeserializeOwned>(call: &InnerCall) -> T {
    serde_json::from_slice(call.body()).expect("a device's message")
}

fn answer(status: u16, content: &[u8]) -> InnerAnswer {
    InnerAnswer {
        status,
        content: content.to_vec(),
    }
}

fn json(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("messages have only string keys")
}

fn exact<const N: usize>(bytes: &[u8]) -> Binary<N> {
    Binary::try_from(bytes).expect("OPAQUE's messages have the lengths of PROTOCOL.md section 4")
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(0)
}
