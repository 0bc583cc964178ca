//! OPAQUE's server side (RFC 9807) and the one rule around it: an attempt is evaluated only after
//! its charge is durable. [`ChargedAttempt`] is that rule as a type.

use opaque_ke::{Identifiers, ServerLogin, ServerLoginParameters, ServerRegistration, ServerSetup};
use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use vault_ledger::Committed;
use vault_protocol::binary::Binary;
use vault_protocol::ids::AccountScope;
use vault_protocol::suite::{self, Identities, KE1_LEN, KE2_LEN, KE3_LEN, Suite};
use vault_protocol::suite::{REGISTRATION_REQUEST_LEN, REGISTRATION_RESPONSE_LEN};
use vault_rules::{Charge, Decision, Refusal, StartedRegistration};
use zeroize::{Zeroize, Zeroizing};

/// The secret half of OPAQUE's server, as the keyring keeps it.
pub(crate) type Setup = ServerSetup<Suite>;

/// An attempt whose charge is on the disk. It can only be made from the answer of the ledger's
/// writer after COMMIT, and a [`Charge`] only by the rules. There is no other way to an evaluation.
pub(crate) struct ChargedAttempt(Charge);

/// KE1, checked. Decoded before anything is charged: a malformed one costs nothing.
pub(crate) struct CheckedRequest(opaque_ke::CredentialRequest<Suite>);

/// Verifies KE3. It travels in the sealed ticket.
#[derive(Serialize, Deserialize)]
pub struct LoginState(pub Zeroizing<Vec<u8>>);

/// The session key of a verified login, 64 bytes.
pub(crate) struct SessionKey(Zeroizing<Vec<u8>>);

/// An evaluated attempt.
pub(crate) struct Evaluated {
    /// KE2.
    pub(crate) credential_response: Binary<KE2_LEN>,
    /// For the ticket.
    pub(crate) login_state: LoginState,
}

/// opaque-ke refused a stored record. It has been checked when it was registered, so this is
/// damage; the charge stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored registration record cannot be evaluated")]
pub(crate) struct Unusable;

impl ChargedAttempt {
    /// Takes the committed answer of `retrieval/start`.
    pub(crate) fn from_commit(committed: Committed<Decision<Charge>>) -> Result<Self, Refusal> {
        match committed.into_inner() {
            Decision::Granted(charge) => Ok(Self(charge)),
            Decision::Refused(refusal) => Err(refusal),
        }
    }

    /// The attempt, as the rules counted it.
    pub(crate) fn charge(&self) -> &Charge {
        &self.0
    }
}

impl CheckedRequest {
    /// Decodes KE1 strictly.
    pub(crate) fn decode(bytes: &Binary<KE1_LEN>) -> Result<Self, suite::Malformed> {
        suite::credential_request(&bytes.0).map(Self)
    }
}

impl SessionKey {
    /// Wraps the released key; never print it.
    pub(crate) fn expose_secret(&self) -> &[u8] {
        &self.0
    }
}

/// Evaluates a registration request (RFC 9807, section 5.2). This tests no password: the credential
/// identifier of a started registration is fresh, and no record exists under it. With a record's
/// own identifier it would, for free; so it takes nothing but a started registration.
pub(crate) fn respond_to_registration(
    setup: &Setup,
    started: &StartedRegistration,
    request: &Binary<REGISTRATION_REQUEST_LEN>,
) -> Result<Binary<REGISTRATION_RESPONSE_LEN>, suite::Malformed> {
    let request = suite::registration_request(&request.0)?;
    let identifier = started.credential_identifier().expose_secret();
    let response = ServerRegistration::<Suite>::start(setup, request, identifier)
        .map_err(|_| suite::Malformed)?;
    let bytes = response.message.serialize();
    Ok(Binary::try_from(bytes.as_slice()).expect("a registration response has 64 bytes"))
}

/// Evaluates an attempt (RFC 9807, section 6.2.2): the only place where a guess is answered.
pub(crate) fn evaluate<R: RngCore + CryptoRng>(
    setup: &Setup,
    scope: &AccountScope,
    attempt: &ChargedAttempt,
    request: CheckedRequest,
    rng: &mut R,
) -> Result<Evaluated, Unusable> {
    let record = suite::registration_record(attempt.0.registration_record().expose_secret())
        .map_err(|_| Unusable)?;
    let identities = Identities::new(scope);
    let started = ServerLogin::<Suite>::start(
        rng,
        setup,
        Some(ServerRegistration::finish(record)),
        request.0,
        attempt.0.credential_identifier().expose_secret(),
        parameters(&identities),
    )
    .map_err(|_| Unusable)?;
    let message = started.message.serialize();
    Ok(Evaluated {
        credential_response: Binary::try_from(message.as_slice()).expect("KE2 has 320 bytes"),
        login_state: LoginState(moved(started.state.serialize().as_mut_slice())),
    })
}

/// Verifies KE3 (RFC 9807, section 6.2.4). `None`: the password was wrong.
pub(crate) fn verify(
    scope: &AccountScope,
    login_state: &LoginState,
    finalization: &Binary<KE3_LEN>,
) -> Option<SessionKey> {
    let state = ServerLogin::<Suite>::deserialize(&login_state.0).ok()?;
    let finalization = suite::credential_finalization(&finalization.0).ok()?;
    let identities = Identities::new(scope);
    let mut finished = state.finish(finalization, parameters(&identities)).ok()?;
    Some(SessionKey(moved(finished.session_key.as_mut_slice())))
}

/// Takes secret bytes over and erases where they came from: the library's results do not.
fn moved(secret: &mut [u8]) -> Zeroizing<Vec<u8>> {
    let taken = Zeroizing::new(secret.to_vec());
    secret.zeroize();
    taken
}

/// The context is empty (PROTOCOL.md section 4).
fn parameters(identities: &Identities) -> ServerLoginParameters<'static, '_> {
    let identifiers: Identifiers<'_> = identities.identifiers();
    ServerLoginParameters {
        context: None,
        identifiers,
    }
}
