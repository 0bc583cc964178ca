//! The client of the backup key vault: what an app on a device uses to protect its backup key with
//! a password, and to get it back.
//!
//! | module | feature | what |
//! |---|---|---|
//! | [`flows`] | | registration, replacement, retrieval, deletion, status: no I/O, clock or async |
//! | [`trust`] | | which vault a device believes, by pinned fingerprints |
//! | [`sealed`], [`outer`], [`call`] | | the sealed channel: bytes to send, bytes that came |
//! | [`protection`] | | whether a key that the device still holds is still protected |
//! | [`error`] | | what went wrong, by what to do about it |
//! | [`strength`] | | how hard a new password is to guess |
//! | `client` | `http` | `VaultClient`, the flows over a `Transport` with the repeats that are safe |
//! | `transport`, `http` | `http` | the `Transport`, over HTTPS directly or through an app's backend |
//!
//! With `default-features = false` the flows run over any transport, in an app, a test or a browser.
//!
//! # What it takes care of
//!
//! - Before an attempt is charged it checks the statement (pins, signature, expiry, serial), the
//!   stretching profile and the policy. OPAQUE's server key has to be the statement's.
//! - A lost answer costs no attempt: the same credential request is sent again, never a new one.
//! - After an unknown outcome a registration's identical finish is repeated, and nothing else.
//! - What a relay says outside the seal is never taken for an outcome: that it refused a guess or a
//!   change does not show that the vault did not get it.
//! - A password that proved right is not given up because the vault is busy for a moment.
//!
//! # What it leaves to the app
//!
//! Ask for a new password after `WrongPassword`; show `failures_since_success`; store
//! [`trust::TrustMemory`] after any call, also one that failed, and [`protection::Enrolled`]; run
//! an attempt again that came back, or say that it may be used up; keep the backup under the old key until a
//! new one is registered. A vault that answers falsely on purpose looks like a wrong password, and
//! whoever carries the messages can keep them: neither learns anything by it.
//!
//! If the app ended between a commit and its answer, ask for the `status`: where a record is live,
//! `prepare` with `Some(&key)` and `commit` put this key's in its place (`NotThisKey`: it is another
//! key's), and where none is, register anew. An attempt and a prepared registration can be gone on
//! with on another `VaultClient`, for instance after the session was renewed.
//!
//! Let `VaultClient::run` come to its end: a call that is cancelled loses its attempt, which may be
//! used up then. Keep the log targets `ohttp`, `hpke` and `bhttp` below trace, where `ohttp` writes
//! key material.
//!
//! # Example
//!
#![cfg_attr(feature = "http", doc = "```no_run")]
#![cfg_attr(not(feature = "http"), doc = "```ignore")]
//! use vault_client::client::VaultClient;
//! use vault_client::error::{Error, NoAnswer};
//! use vault_client::http::{BearerToken, HttpOptions, HttpTransport, system_clock};
//! use vault_client::trust::{Trust, TrustMemory};
//! use vault_client::{AccountId, BackupKey, Password, TenantId};
//!
//! # async fn example(
//! #     fingerprint: &str,
//! #     session: &str,
//! #     stored: Option<TrustMemory>,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let transport = HttpTransport::through_relay(
//!     "https://backend.app.example",
//!     &BearerToken::new(session)?,
//!     &HttpOptions::default(),
//! )?;
//! // With what was stored of the last call, so that no older statement is accepted.
//! let mut trust = Trust::new([fingerprint.parse()?]);
//! if let Some(memory) = stored {
//!     trust = trust.remembering(memory);
//! }
//! let mut client = VaultClient::new(
//!     transport,
//!     trust,
//!     TenantId::new("app")?,
//!     AccountId::new("alice")?,
//!     Box::new(system_clock),
//! );
//!
//! // On the first phone. The finish is kept until its answer came.
//! let key = BackupKey::generate(&mut rand::rngs::OsRng);
//! let password = Password::prepare("correct horse battery")?;
//! let prepared = client.prepare(password, &key, None).await?;
//! let registered = loop {
//!     match client.commit(&prepared).await {
//!         // An alarm: another vault, or an old statement.
//!         Err(error @ Error::UnknownOutcome(NoAnswer::StatementRefused(_))) => return Err(error.into()),
//!         // The same again, after a pause, and not for ever.
//!         Err(Error::UnknownOutcome(_) | Error::Overloaded | Error::Unavailable) => {}
//!         result => break result?,
//!     }
//! };
//! assert!(registered.policy.limit() <= 10);
//!
//! // On the next one. The attempt is kept as well: giving it up may use it up.
//! let mut attempt = client.begin(Password::prepare("correct horse battery")?).await?;
//! let retrieved = loop {
//!     match client.run(attempt).await {
//!         Ok(retrieved) => break retrieved,
//!         Err(failed) => match (failed.attempt, failed.error) {
//!             (
//!                 _,
//!                 error @ (Error::StatementRefused(_)
//!                 | Error::UnknownOutcome(NoAnswer::StatementRefused(_))),
//!             )
//!             | (None, error) => return Err(error.into()),
//!             // The same again, after a pause, and not for ever.
//!             (Some(same), _) => attempt = same,
//!         },
//!     }
//! };
//! assert!(retrieved.key.is_same(&key));
//! # Ok(())
//! # }
//! ```

pub mod call;
pub mod error;
pub mod flows;
pub mod outer;
pub mod protection;
pub mod sealed;
pub mod strength;
pub mod trust;

#[cfg(feature = "http")]
pub mod client;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http")]
pub mod transport;

pub use vault_protocol::identity::Fingerprint;
pub use vault_protocol::password::Password;
pub use vault_protocol::{AccountId, BackupKey, KeyId, Policy, TenantId, Timestamp, VaultId};
