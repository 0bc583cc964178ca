//! The client of the backup key vault. With it an app on a device protects its backup key with a
//! password, and gets it back.
//!
//! | module | feature | content |
//! |---|---|---|
//! | [`device`] | | a device's state, and the changes it may make: a state machine without I/O |
//! | `client` | `http` | `Device`, the state over a network; `VaultClient`, the flows below it |
//! | `transport`, `http` | `http` | the `Transport`, over HTTPS directly or through an app's backend |
//! | [`flows`] | | registration, replacement, retrieval, deletion, status: no I/O, clock or async |
//! | [`trust`] | | which vault a device believes, by pinned fingerprints |
//! | [`ohttp`], [`outer`], [`call`] | | the sealed channel: bytes to send, bytes that came |
//! | [`protection`] | | whether a key that the device still holds is still protected |
//! | [`error`] | | errors, one variant for each remedy |
//! | [`strength`] | | how hard a new password is to guess |
//!
//! With `default-features = false` states and flows run over any transport, in an app, a test or a
//! browser.
//!
//! # Promises
//!
//! - Before an attempt is charged it checks the statement (pins, signature, expiry, serial), the
//!   stretching profile and the policy. OPAQUE's server key has to be the statement's.
//! - A lost answer costs no attempt: the same credential request is sent again, never a new one.
//! - After an unknown outcome a registration's identical finish is repeated, and nothing else.
//! - A relay's answer outside the seal is never taken for an outcome: it may have refused a guess or a
//!   change that the vault got.
//! - A password that proved right is not given up because the vault is busy for a moment.
//! - `Device` stores a change before it is sent, and the vault's newest statement after each call. So a
//!   registration that was sent can be deleted, and no key is forgotten that may be registered.
//!
//! # Left to the app
//!
//! Store the state where its owner alone can read it. Ask for a new password after `WrongPassword`,
//! and show `failures_since_success`. Run an attempt again that came back, or say that it may be used
//! up. Keep the backup under the old key until a new one is registered. A vault that answers falsely
//! on purpose looks like a wrong password, and a relay can keep messages: neither learns anything by
//! it.
//!
//! `Device` needs a Tokio runtime. K is `device.state().key()`: the crate `vault-backup` encrypts folders
//! with it. To protect it by its digits alone, call [`DeviceState::use_digits`](device::DeviceState),
//! store the state, then show [`BackupKey::grouped_digits`]. After [`Kept::OtherKey`](device::Kept) the
//! device keeps its own key: restore with `retrieved.key`, and let the user choose which one stays.
//!
//! After an error whose [`outcome`](error::Error::outcome) is unknown, call the same method again: the
//! change is pending in the state, also after a restart of the app.
//!
//! Let `run` come to its end: a call that is cancelled loses its attempt, which may be used up then.
//! Keep the log targets `ohttp`, `hpke` and `bhttp` below trace, where `ohttp` writes key material.
//!
//! # Example
//!
#![cfg_attr(feature = "http", doc = "```no_run")]
#![cfg_attr(not(feature = "http"), doc = "```ignore")]
//! use vault_client::client::{Device, Storage};
//! use vault_client::device::{Deleted, DeviceState, Place, Planned};
//! use vault_client::http::{BearerToken, HttpOptions, HttpTransport, system_clock};
//! use vault_client::{AccountId, Password, TenantId};
//!
//! /// The platform's: replaces the stored state, and returns when it is on the disk.
//! struct SecretStore(fn(&[u8]) -> std::io::Result<()>);
//!
//! impl Storage for SecretStore {
//!     fn store(&mut self, state: &[u8]) -> Result<(), vault_client::error::Source> {
//!         Ok((self.0)(state)?)
//!     }
//! }
//!
//! fn open(
//!     place: &Place,
//!     session: &str,
//!     stored: Option<&[u8]>,
//!     store: SecretStore,
//! ) -> Result<Device<HttpTransport, SecretStore>, Box<dyn std::error::Error>> {
//!     let session = BearerToken::new(session)?;
//!     let transport =
//!         HttpTransport::through_relay(&place.address, &session, &HttpOptions::default())?;
//!     let state = match stored {
//!         Some(stored) => DeviceState::from_json(stored)?,
//!         None => DeviceState::new(),
//!     };
//!     let clock = Box::new(system_clock);
//!     Ok(Device::open(transport, place.clone(), clock, state, store))
//! }
//!
//! # async fn example(
//! #     fingerprint: &str,
//! #     session: &str,
//! #     stored: Option<&[u8]>,
//! #     store: SecretStore,
//! #     next_store: SecretStore,
//! #     may_register_again: bool,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let (tenant, account) = (TenantId::new("app")?, AccountId::new("alice")?);
//! let place = Place::new(tenant, account, [fingerprint.parse()?], "https://backend.app.example");
//!
//! // On the first phone: a new key, or the one that the phone holds.
//! let mut phone = open(&place, session, stored, store)?;
//! match phone.plan(None).await? {
//!     Planned::Protected => {}
//!     Planned::Register(mut plan) => {
//!         // The user decides whether a destroyed record is followed by another one.
//!         if plan.destroyed().is_some() && may_register_again {
//!             plan = plan.although_destroyed();
//!         }
//!         let password = Password::prepare("correct horse battery")?;
//!         let registered = phone.register(plan, password).await?;
//!         assert!(registered.policy.limit() <= 10);
//!     }
//! }
//!
//! // On the next one. The attempt is kept until it is answered: giving it up may use it up.
//! let mut next = open(&place, session, None, next_store)?;
//! let mut attempt = next.begin(Password::prepare("correct horse battery")?).await?;
//! let restored = loop {
//!     match next.run(attempt).await {
//!         Ok(restored) => break restored,
//!         // It was sent again a few times already: ask the user before it is, for 10 minutes.
//!         Err(failed) => match failed.attempt {
//!             Some(same) => attempt = same,
//!             None => return Err(failed.error.into()),
//!         },
//!     }
//! };
//! restored.kept?;
//! assert!(restored.retrieved.key.is_same(phone.state().key().unwrap()));
//!
//! // Once a day or so.
//! let protection = next.check().await?;
//!
//! // Without a password from now on: the user has written down the digits.
//! assert_eq!(next.disable().await?, Deleted::Record);
//! # Ok(())
//! # }
//! ```

pub mod call;
pub mod device;
pub mod error;
pub mod flows;
pub mod ohttp;
pub mod outer;
pub mod protection;
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
