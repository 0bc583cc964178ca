//! A device of the tests' own. It speaks the protocol byte by byte, remembers everything, and can
//! be told to do what no client library would: guess without end, send what is broken, mix up
//! tickets, seal what is no request.

use bhttp::{Message, Mode};
use ohttp::ClientResponse;
use opaque_ke::ciphersuite::CipherSuite;
use opaque_ke::key_exchange::tripledh::TripleDh;
use opaque_ke::ksf::Identity;
use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialResponse, RegistrationResponse, Ristretto255,
};
use rand::rngs::OsRng;
use sha2::Sha512;
use vault_protocol::inner_http::PADDED_LEN;
use vault_protocol::management::ManagementSigner;
use vault_protocol::messages::{
    Deletion, RegistrationFinish, RegistrationStart, RegistrationStarted, RetrievalAbandon,
    RetrievalFinish, RetrievalFinished, RetrievalStart, RetrievalStarted,
};
use vault_protocol::ohttp_keys::select;
use vault_protocol::sealing::DoesNotOpen;
use vault_protocol::suite::{Identities, KE3_LEN};
use vault_protocol::wrapping::{self, WrappedKey};
use vault_protocol::{AccountScope, BackupKey, Binary, StretchingProfile, Ticket};

/// OPAQUE's configuration of PROTOCOL.md section 4 without the stretching, which only a device
/// does and no vault can see. Good for tests alone: only this crate has this type.
pub struct CheapSuite;

impl CipherSuite for CheapSuite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = Identity;
}

/// A device that holds K for one account.
pub struct Device {
    scope: AccountScope,
    key: BackupKey,
}

/// A registration under way.
pub struct StartedRegistration {
    password: String,
    client: ClientRegistration<CheapSuite>,
    /// The message of the device.
    pub message: RegistrationStart,
}

/// A registration that the vault has evaluated.
pub struct EvaluatedRegistration {
    /// The message, without a proof.
    pub message: RegistrationFinish,
    /// 64 bytes, which only the password yields.
    pub export_key: Vec<u8>,
}

/// One guess: a password, blinded once.
pub struct Guess {
    scope: AccountScope,
    password: String,
    login: ClientLogin<CheapSuite>,
    /// The message of the device.
    pub message: RetrievalStart,
}

/// The guess was wrong: KE2's envelope did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongPassword;

/// The guess was right.
pub struct Login {
    scope: AccountScope,
    generation: u64,
    /// The message of the device.
    pub message: RetrievalFinish,
    /// 64 bytes, shared with the vault.
    pub session_key: Vec<u8>,
    /// 64 bytes, as at the registration.
    pub export_key: Vec<u8>,
}

impl Device {
    /// A new device with a new K.
    pub fn new(scope: &AccountScope) -> Self {
        Self::with_key(scope, BackupKey::generate(&mut OsRng))
    }

    /// A new device that was given K.
    pub fn with_key(scope: &AccountScope, key: BackupKey) -> Self {
        Self {
            scope: scope.clone(),
            key,
        }
    }

    /// Whose device it is.
    pub fn scope(&self) -> &AccountScope {
        &self.scope
    }

    /// K.
    pub fn key(&self) -> &BackupKey {
        &self.key
    }

    /// Blinds the password of a new registration.
    pub fn register(&self, password: &str) -> StartedRegistration {
        let started = ClientRegistration::start(&mut OsRng, password.as_bytes())
            .expect("a short password hashes to a group element");
        let bytes = started.message.serialize();
        StartedRegistration {
            password: password.to_owned(),
            client: started.state,
            message: RegistrationStart {
                registration_request: exact(&bytes),
            },
        }
    }

    /// Makes the record and wraps K.
    ///
    /// # Panics
    /// If the vault's answer is no evaluation of this registration.
    pub fn evaluated(
        &self,
        started: &StartedRegistration,
        answer: &RegistrationStarted,
    ) -> EvaluatedRegistration {
        let response = RegistrationResponse::deserialize(&answer.registration_response.0)
            .expect("the vault answers with a registration response");
        let identities = Identities::new(&self.scope);
        let parameters =
            ClientRegistrationFinishParameters::new(identities.identifiers(), Some(&Identity));
        let password = started.password.as_bytes();
        let finished = started
            .client
            .clone()
            .finish(&mut OsRng, password, response, parameters)
            .expect("the vault's response fits the request");
        let export_key = finished.export_key.to_vec();
        let message = RegistrationFinish {
            registration_ticket: answer.registration_ticket,
            registration_record: exact(&finished.message.serialize()),
            wrapped_key: wrapping::wrap_key(&export_key, &self.scope, &self.key, &mut OsRng),
            stretching_profile: StretchingProfile::CURRENT,
            management_key: self.signer().management_key(),
            replace_proof: None,
        };
        EvaluatedRegistration {
            message,
            export_key,
        }
    }

    /// The finish with this device's proof that it may replace the record of this generation.
    pub fn proven(&self, finish: &RegistrationFinish, generation: u64) -> RegistrationFinish {
        let digest = finish.digest();
        let proof = self
            .signer()
            .sign_replacement(&self.scope, generation, &digest);
        RegistrationFinish {
            replace_proof: Some(proof),
            ..finish.clone()
        }
    }

    /// The deletion of the record of this generation.
    pub fn deletion(&self, generation: u64) -> Deletion {
        Deletion {
            proof: self.signer().sign_deletion(&self.scope, generation),
        }
    }

    fn signer(&self) -> ManagementSigner {
        ManagementSigner::new(&self.key)
    }
}

impl Guess {
    /// Blinds a password. Every call gives another request.
    pub fn new(scope: &AccountScope, password: &str) -> Self {
        let started = ClientLogin::start(&mut OsRng, password.as_bytes())
            .expect("a short password hashes to a group element");
        let bytes = started.message.serialize();
        Self {
            scope: scope.clone(),
            password: password.to_owned(),
            login: started.state,
            message: RetrievalStart {
                credential_request: exact(&bytes),
            },
        }
    }

    /// Whose key is guessed at.
    pub fn scope(&self) -> &AccountScope {
        &self.scope
    }

    /// Learns from KE2 whether the guess was right. The same guess can be evaluated more than once.
    ///
    /// # Panics
    /// If the answer is no KE2.
    pub fn evaluated(&self, answer: &RetrievalStarted) -> Result<Login, WrongPassword> {
        let response = CredentialResponse::deserialize(&answer.credential_response.0)
            .expect("the vault answers with KE2");
        let identities = Identities::new(&self.scope);
        let parameters =
            ClientLoginFinishParameters::new(None, identities.identifiers(), Some(&Identity));
        let password = self.password.as_bytes();
        let finished = self
            .login
            .clone()
            .finish(&mut OsRng, password, response, parameters)
            .map_err(|_| WrongPassword)?;
        Ok(Login {
            scope: self.scope.clone(),
            generation: answer.generation,
            message: RetrievalFinish {
                retrieval_ticket: answer.retrieval_ticket.clone(),
                credential_finalization: exact(&finished.message.serialize()),
            },
            session_key: finished.session_key.to_vec(),
            export_key: finished.export_key.to_vec(),
        })
    }
}

impl Login {
    /// Opens the released key.
    pub fn open(&self, answer: &RetrievalFinished) -> Result<BackupKey, DoesNotOpen> {
        let wrapped = self.wrapped_key(answer)?;
        wrapping::unwrap_key(&self.export_key, &self.scope, &wrapped)
    }

    /// Opens only the outer of K's two wrappings.
    pub fn wrapped_key(&self, answer: &RetrievalFinished) -> Result<WrappedKey, DoesNotOpen> {
        let released = &answer.released_key;
        wrapping::open_released_key(&self.session_key, &self.scope, self.generation, released)
    }
}

/// A finish that proves nothing: a KE3 that does not verify.
pub fn false_finish(ticket: &Ticket) -> RetrievalFinish {
    RetrievalFinish {
        retrieval_ticket: ticket.clone(),
        credential_finalization: Binary([0x5a; KE3_LEN]),
    }
}

/// Giving up an attempt.
pub fn abandon(ticket: &Ticket) -> RetrievalAbandon {
    RetrievalAbandon {
        retrieval_ticket: ticket.clone(),
    }
}

/// An inner message in the making, right or wrong.
pub struct InnerMessage {
    message: Message,
    padding: Padding,
}

/// The bytes behind an inner message.
#[derive(Clone, Copy)]
pub enum Padding {
    /// Zeros up to the next multiple of 2048 bytes.
    Zeros,
    /// Nothing.
    None,
    /// Zeros, and a one as the last byte.
    NotZero,
}

impl InnerMessage {
    /// A request without headers and body.
    pub fn request(method: &str, path: &str) -> Self {
        let [method, path] = [method, path].map(|text| text.as_bytes().to_vec());
        let (scheme, authority) = (b"https".to_vec(), b"elsewhere.example".to_vec());
        Self {
            message: Message::request(method, scheme, authority, path),
            padding: Padding::Zeros,
        }
    }

    /// A request with a JSON body.
    pub fn json(method: &str, path: &str, body: &[u8]) -> Self {
        let header = ("content-type", "application/json");
        Self::request(method, path)
            .header(header.0, header.1)
            .body(body)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.message.put_header(name, value);
        self
    }

    /// Adds a trailer.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.message.put_trailer(name, value);
        self
    }

    /// Adds a body.
    #[must_use]
    pub fn body(mut self, body: &[u8]) -> Self {
        self.message.write_content(body);
        self
    }

    /// Chooses the bytes behind it.
    #[must_use]
    pub fn padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// The message as it is sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.message
            .write_bhttp(Mode::KnownLength, &mut bytes)
            .expect("writing to memory does not fail");
        // At least one byte of padding, for `NotZero` to have room.
        let padded = (bytes.len() + 1).next_multiple_of(PADDED_LEN);
        match self.padding {
            Padding::None => {}
            Padding::Zeros => bytes.resize(padded, 0),
            Padding::NotZero => {
                bytes.resize(padded - 1, 0);
                bytes.push(1);
            }
        }
        bytes
    }
}

/// Seals an inner message for the best key of a list (RFC 9458, section 4.3).
///
/// # Panics
/// If the list has no key that can be used.
pub fn seal(key_list: &[u8], inner: &[u8]) -> (Vec<u8>, ClientResponse) {
    let client = select(key_list).expect("the vault's key list has a usable key");
    client
        .encapsulate(inner)
        .expect("a short message can be sealed")
}

fn exact<const N: usize>(bytes: &[u8]) -> Binary<N> {
    Binary::try_from(bytes).expect("OPAQUE's messages have the lengths of PROTOCOL.md section 4")
}
