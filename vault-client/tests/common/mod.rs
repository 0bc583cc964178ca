//! A vault in memory, for one account, written directly on OPAQUE's server types: the client is
//! tested against the protocol and not against the server's code. It counts as PROTOCOL.md section
//! 7 says, without waits and expiry.

#[cfg(feature = "http")]
pub mod one_call;
#[cfg(feature = "http")]
pub mod wire;

use std::sync::LazyLock;

use opaque_ke::{ServerLogin, ServerLoginParameters, ServerRegistration, ServerSetup};
use rand::RngCore;
use rand::rngs::OsRng;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use vault_client::call::{InnerAnswer, InnerCall};
use vault_client::flows::{Deletion, Registration, StatusQuery};
use vault_client::trust::{Trust, VaultAccount, VerifiedVault};
use vault_client::{AccountId, BackupKey, Password, Policy, TenantId, Timestamp, VaultId};
use vault_protocol::identity::IdentitySigner;
use vault_protocol::messages::{self, AccountState, DestructionReason, Status};
use vault_protocol::ohttp_keys::{KeyKind, derive_key_config};
use vault_protocol::statement::{LIFETIME_SECONDS, Statement};
use vault_protocol::suite::{self, Identities, Suite};
use vault_protocol::wrapping::release_key;
use vault_protocol::{
    AccountScope, Binary, PROTOCOL_VERSION, Problem, StretchingProfile, Ticket, management,
};
use zeroize::Zeroizing;

/// The time in all tests.
pub const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// What is registered in [`registered`].
pub const RIGHT: &str = "correct horse battery";
/// What is not.
pub const WRONG: &str = "correct horse bakery";

#[derive(Clone)]
pub struct TestVault {
    pub scope: AccountScope,
    pub setup: ServerSetup<Suite>,
    /// What the statement names; a test may name another.
    pub server_key: [u8; 32],
    pub identity_seed: u8,
    pub ohttp_seed: u8,
    pub serial: u64,
    pub policy: Policy,
    pub generation: u64,
    pub record: Option<Record>,
    pub tombstone: Option<DestructionReason>,
    pub retry_at: Option<Timestamp>,
    /// Method, endpoint and body of every call that arrived.
    pub calls: Vec<(String, String, Vec<u8>)>,
    pending: Vec<(Binary<32>, [u8; 32])>,
    logins: Vec<Login>,
}

#[derive(Clone)]
pub struct Record {
    pub finish: messages::RegistrationFinish,
    /// Digest of KE1, and how the attempt ended.
    pub attempts: Vec<([u8; 32], Outcome)>,
    pub policy: Policy,
    credential_identifier: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Open,
    Failed,
    Succeeded,
}

#[derive(Clone)]
struct Login {
    ticket: Ticket,
    attempt: usize,
    state: ServerLogin<Suite>,
}

/// A vault where [`RIGHT`] protects [`key`]. One stretching for all tests of a file.
pub fn registered() -> TestVault {
    static VAULT: LazyLock<TestVault> = LazyLock::new(|| {
        let mut vault = TestVault::new();
        let registration = Registration::begin(vault.account(), password(RIGHT), &mut OsRng);
        let answer = vault.call(&registration.request());
        let evaluated = registration.evaluated(&answer, &Policy::default()).unwrap();
        let prepared = evaluated.stretch(&mut OsRng).unwrap();
        let prepared = prepared.seal(&key(7), None, &mut OsRng);
        let answer = vault.call(&prepared.request());
        assert_eq!(
            prepared.finished(&answer).unwrap().registration.generation,
            1
        );
        vault.calls.clear();
        vault
    });
    VAULT.clone()
}

/// K of tests.
pub fn key(byte: u8) -> BackupKey {
    BackupKey::from_bytes(&Zeroizing::new([byte; 32]))
}

pub fn password(typed: &str) -> Password {
    Password::prepare(typed).unwrap()
}

/// An answer with one change to its JSON.
pub fn changed(answer: &InnerAnswer, change: impl FnOnce(&mut Value)) -> InnerAnswer {
    let mut value = serde_json::from_slice(&answer.content).unwrap();
    change(&mut value);
    InnerAnswer {
        status: answer.status,
        content: serde_json::to_vec(&value).unwrap(),
    }
}

pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

impl TestVault {
    pub fn new() -> Self {
        let setup = ServerSetup::<Suite>::new(&mut OsRng);
        let server_key = public_key(&setup);
        Self {
            scope: AccountScope {
                vault: VaultId::new("test-vault").unwrap(),
                tenant: TenantId::new("app").unwrap(),
                account: AccountId::new("alice").unwrap(),
            },
            setup,
            server_key,
            identity_seed: 1,
            ohttp_seed: 2,
            serial: 1,
            policy: Policy::default(),
            generation: 0,
            record: None,
            tombstone: None,
            retry_at: None,
            calls: Vec::new(),
            pending: Vec::new(),
            logins: Vec::new(),
        }
    }

    pub fn identity(&self) -> IdentitySigner {
        IdentitySigner::from_seed(&Zeroizing::new([self.identity_seed; 32]))
    }

    pub fn trust(&self) -> Trust {
        Trust::new([self.identity().identity_key().fingerprint()])
    }

    pub fn ohttp_config(&self) -> ohttp::KeyConfig {
        let seed = Zeroizing::new([self.ohttp_seed; 32]);
        derive_key_config(self.ohttp_seed, KeyKind::XWing, &seed)
    }

    /// The body of `GET /v1/vault`.
    pub fn statement(&self) -> Vec<u8> {
        let configs = [self.ohttp_config()];
        let statement = Statement {
            vault_id: self.scope.vault.clone(),
            protocol: PROTOCOL_VERSION,
            serial: self.serial,
            expires_at: NOW.plus_seconds(LIFETIME_SECONDS),
            ohttp_keys: ohttp::KeyConfig::encode_list(&configs).unwrap(),
            opaque_server_public_key: Binary(self.server_key),
        };
        serde_json::to_vec(&statement.sign(&self.identity())).unwrap()
    }

    pub fn verified(&self) -> VerifiedVault {
        self.trust().accept(&self.statement(), NOW).unwrap()
    }

    pub fn account(&self) -> VaultAccount {
        self.verified()
            .account(&self.scope.tenant, &self.scope.account)
    }

    pub fn charged(&self) -> usize {
        self.record
            .as_ref()
            .map_or(0, |record| record.attempts.len())
    }

    /// How often an endpoint was called; the status is `""`.
    pub fn count(&self, endpoint: &str) -> usize {
        self.calls.iter().filter(|call| call.1 == endpoint).count()
    }

    /// The status as a device reads it.
    pub fn status(&mut self) -> Status {
        let query = StatusQuery::new(self.account());
        let answer = self.call(&query.request());
        query.answered(&answer).unwrap()
    }

    pub fn delete(&mut self, key: &BackupKey) -> InnerAnswer {
        let deletion = Deletion::begin(self.account(), self.generation, key);
        self.call(&deletion.request())
    }

    pub fn call(&mut self, call: &InnerCall) -> InnerAnswer {
        self.handle(call.method(), call.path(), call.body())
    }

    pub fn handle(&mut self, method: &str, path: &str, body: &[u8]) -> InnerAnswer {
        let endpoint = path.strip_prefix(&self.scope.path()).unwrap();
        let endpoint = endpoint.trim_start_matches('/').to_owned();
        self.calls
            .push((method.to_owned(), endpoint.clone(), body.to_vec()));
        let answered = match (method, endpoint.as_str()) {
            ("GET", "") => Ok(ok(200, &self.read_status())),
            ("POST", "registration/start") => self.start_registration(body),
            ("POST", "registration/finish") => self.finish_registration(body),
            ("POST", "retrieval/start") => self.start_retrieval(body),
            ("POST", "retrieval/finish") => self.finish_retrieval(body),
            ("POST", "retrieval/abandon") => self.abandon(body),
            ("POST", "deletion") => self.deletion(body),
            _ => panic!("no such endpoint: {method} {endpoint}"),
        };
        answered.unwrap_or_else(|problem| ok(problem.status(), &problem.details()))
    }

    fn read_status(&self) -> Status {
        let state = match (&self.record, self.tombstone) {
            (Some(_), _) if self.retry_at.is_some() => AccountState::Waiting,
            (Some(_), _) => AccountState::Active,
            (None, Some(_)) => AccountState::Destroyed,
            (None, None) => AccountState::Absent,
        };
        Status {
            state,
            generation: self.generation,
            attempts_remaining: self.remaining(),
            retry_at: self.retry_at,
            destroyed_at: self.tombstone.map(|_| NOW),
            reason: self.tombstone,
            stretching_profile: self.record.as_ref().map(|r| r.finish.stretching_profile),
            policy: self
                .record
                .as_ref()
                .map_or_else(|| self.policy.clone(), |r| r.policy.clone()),
        }
    }

    fn start_registration(&mut self, body: &[u8]) -> Result<InnerAnswer, Problem> {
        let message: messages::RegistrationStart = read(body)?;
        let request = suite::registration_request(&message.registration_request.0).unwrap();
        let (ticket, identifier) = (Binary(random()), random::<32>());
        let evaluated =
            ServerRegistration::<Suite>::start(&self.setup, request, &identifier).unwrap();
        self.pending.push((ticket, identifier));
        let response = evaluated.message.serialize();
        Ok(ok(
            200,
            &messages::RegistrationStarted {
                registration_response: Binary::try_from(response.as_slice()).unwrap(),
                registration_ticket: ticket,
                policy: self.policy.clone(),
                generation: self.generation,
                expires_at: NOW.plus_seconds(900),
            },
        ))
    }

    fn finish_registration(&mut self, body: &[u8]) -> Result<InnerAnswer, Problem> {
        let finish: messages::RegistrationFinish = read(body)?;
        let live = self.record.as_ref();
        if live.is_none_or(|r| r.finish.digest() != finish.digest()) {
            let pending = self.pending.iter();
            let found = pending.clone().find(|p| p.0 == finish.registration_ticket);
            let identifier = found.ok_or(Problem::TicketExpired)?.1;
            if let Some(record) = live {
                let generation = self.generation;
                let proof = finish.replace_proof;
                let proof = proof.ok_or(Problem::AlreadyRegistered { generation })?;
                let (key, digest) = (&record.finish.management_key.0, finish.digest());
                let scope = &self.scope;
                if !management::verify_replacement(key, scope, generation, &digest, &proof.0) {
                    return Err(Problem::Forbidden);
                }
            } else if finish.replace_proof.is_some() {
                return Err(Problem::TicketExpired);
            }
            self.generation += 1;
            self.tombstone = None;
            self.pending.clear();
            self.logins.clear();
            self.record = Some(Record {
                finish,
                attempts: Vec::new(),
                policy: self.policy.clone(),
                credential_identifier: identifier,
            });
        }
        Ok(ok(
            201,
            &messages::RegistrationFinished {
                generation: self.generation,
                policy: self.policy.clone(),
            },
        ))
    }

    fn start_retrieval(&mut self, body: &[u8]) -> Result<InnerAnswer, Problem> {
        let message: messages::RetrievalStart = read(body)?;
        let request = suite::credential_request(&message.credential_request.0).unwrap();
        let digest = Sha256::digest(message.credential_request.0).into();
        let destroyed = self.destroyed();
        let record = self.record.as_mut().ok_or(destroyed)?;
        let attempts = &mut record.attempts;
        let open = attempts.iter().position(|a| *a == (digest, Outcome::Open));
        let attempt = open.unwrap_or_else(|| {
            attempts.push((digest, Outcome::Open));
            attempts.len() - 1
        });
        let upload = suite::registration_record(&record.finish.registration_record.0).unwrap();
        let identities = Identities::new(&self.scope);
        let started = ServerLogin::start(
            &mut OsRng,
            &self.setup,
            Some(ServerRegistration::finish(upload)),
            request,
            &record.credential_identifier,
            parameters(&identities),
        )
        .unwrap();
        let ticket = Ticket(random::<48>().to_vec());
        self.logins.push(Login {
            ticket: ticket.clone(),
            attempt,
            state: started.state,
        });
        let response = started.message.serialize();
        Ok(ok(
            200,
            &messages::RetrievalStarted {
                credential_response: Binary::try_from(response.as_slice()).unwrap(),
                retrieval_ticket: ticket,
                attempts_remaining: self.remaining(),
                generation: self.generation,
            },
        ))
    }

    fn finish_retrieval(&mut self, body: &[u8]) -> Result<InnerAnswer, Problem> {
        let message: messages::RetrievalFinish = read(body)?;
        let login = self.login(&message.retrieval_ticket)?;
        let ke3 = suite::credential_finalization(&message.credential_finalization.0).unwrap();
        let identities = Identities::new(&self.scope);
        let finished = login.state.finish(ke3, parameters(&identities)).unwrap();
        let record = self.record.as_mut().ok_or(Problem::TicketExpired)?;
        record.attempts[login.attempt].1 = Outcome::Succeeded;
        let before = &record.attempts[..login.attempt];
        let in_a_row = before
            .iter()
            .rev()
            .take_while(|a| a.1 != Outcome::Succeeded);
        let in_all = before.iter().filter(|a| a.1 != Outcome::Succeeded);
        let wrapped = &record.finish.wrapped_key.0;
        let released = release_key(
            &finished.session_key,
            &self.scope,
            self.generation,
            wrapped,
            &mut OsRng,
        );
        Ok(ok(
            200,
            &messages::RetrievalFinished {
                released_key: released,
                failures_since_success: in_a_row.count() as u64,
                failures_in_generation: in_all.count() as u64,
                last_success_at: None,
                generation: self.generation,
            },
        ))
    }

    fn abandon(&mut self, body: &[u8]) -> Result<InnerAnswer, Problem> {
        let message: messages::RetrievalAbandon = read(body)?;
        let login = self.login(&message.retrieval_ticket)?;
        if let Some(record) = &mut self.record {
            record.attempts[login.attempt].1 = Outcome::Failed;
        }
        if self.remaining() == 0 {
            self.record = None;
            self.tombstone = Some(DestructionReason::Exhausted);
        }
        let status = self.read_status();
        Ok(ok(
            200,
            &messages::RetrievalAbandoned {
                attempts_remaining: status.attempts_remaining,
                retry_at: None,
                state: status.state,
                generation: self.generation,
            },
        ))
    }

    fn deletion(&mut self, body: &[u8]) -> Result<InnerAnswer, Problem> {
        let message: messages::Deletion = read(body)?;
        let generation = self.generation;
        if let Some(record) = &self.record {
            let key = &record.finish.management_key.0;
            if !management::verify_deletion(key, &self.scope, generation, &message.proof.0) {
                return Err(Problem::Forbidden);
            }
            self.record = None;
            self.tombstone = Some(DestructionReason::Deleted);
        }
        self.pending.clear();
        if generation == 0 {
            return Err(Problem::NotRegistered);
        }
        Ok(ok(200, &messages::Removed { generation }))
    }

    fn login(&self, ticket: &Ticket) -> Result<Login, Problem> {
        let found = self.logins.iter().find(|login| login.ticket == *ticket);
        found.cloned().ok_or(Problem::TicketExpired)
    }

    fn remaining(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| {
            let attempts = record.attempts.iter().rev();
            let failures = attempts.take_while(|a| a.1 != Outcome::Succeeded).count();
            record.policy.limit().saturating_sub(failures as u64)
        })
    }

    fn destroyed(&self) -> Problem {
        match self.tombstone {
            Some(reason) => Problem::Destroyed {
                destroyed_at: NOW,
                reason,
                generation: self.generation,
            },
            None => Problem::NotRegistered,
        }
    }
}

pub fn public_key(setup: &ServerSetup<Suite>) -> [u8; 32] {
    let key = setup.keypair().public().serialize();
    key.as_slice().try_into().unwrap()
}

/// A profile that this version does not know.
pub const UNKNOWN_PROFILE: StretchingProfile = StretchingProfile(9);

fn parameters(identities: &Identities) -> ServerLoginParameters<'_, '_> {
    ServerLoginParameters {
        context: None,
        identifiers: identities.identifiers(),
    }
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|_| Problem::malformed())
}

fn ok(status: u16, message: &impl Serialize) -> InnerAnswer {
    InnerAnswer {
        status,
        content: serde_json::to_vec(message).unwrap(),
    }
}
