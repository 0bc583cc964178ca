//! Where the vault is, how it is reached, and which fingerprints are pinned. Given once, kept in the
//! state. Tokens are kept as the names of their files: read anew at every run, so that one that was
//! replaced needs no new registration.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};
use vault_client::client::VaultClient;
use vault_client::http::{BearerToken, HttpOptions, HttpTransport, InvalidTransport, system_clock};
use vault_client::trust::{Trust, TrustMemory};
use vault_client::{AccountId, Fingerprint, TenantId};
use vault_protocol::AccountScope;

use super::failure::Failure;
use super::output::Screen;
use super::secrets;

/// Which vault and which account. Kept in this device's state.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Connection (given once, then kept in the state)")]
pub struct ConnectionArguments {
    /// The vault itself, https://host:port; goes with --token-file
    #[arg(long, value_name = "URL", conflicts_with = "relay")]
    url: Option<String>,
    /// The app's backend, which relays; goes with --session-file
    #[arg(long, value_name = "URL")]
    relay: Option<String>,
    /// Certificates (PEM) to trust in place of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The app's name at the vault
    #[arg(long, value_name = "NAME")]
    tenant: Option<TenantId>,
    /// The user's account in the app
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// File with the tenant's token, for --url
    #[arg(long, value_name = "FILE", conflicts_with = "relay")]
    token_file: Option<PathBuf>,
    /// File with the user's session, for --relay
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "token_file"])]
    session_file: Option<PathBuf>,
    /// The vault's fingerprint, 60 digits; may be repeated
    #[arg(long = "fingerprint", value_name = "DIGITS")]
    fingerprints: Vec<Fingerprint>,
}

/// How to reach one account at one vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    route: Route,
    ca_file: Option<PathBuf>,
    tenant: TenantId,
    account: AccountId,
    fingerprints: Vec<Fingerprint>,
    /// Of the newest statement; guards against older ones.
    memory: Option<TrustMemory>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Route {
    Direct { url: String, token_file: PathBuf },
    Relay { url: String, session_file: PathBuf },
}

impl ConnectionArguments {
    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        self.url.is_none()
            && self.relay.is_none()
            && self.ca_file.is_none()
            && self.tenant.is_none()
            && self.account.is_none()
            && self.token_file.is_none()
            && self.session_file.is_none()
            && self.fingerprints.is_empty()
    }

    /// The stored connection with what was given in place of what was stored.
    pub fn resolve(&self, stored: Option<&Connection>) -> Result<Connection, Failure> {
        let route = self.route(stored.map(|stored| &stored.route))?;
        let fingerprints = match stored {
            Some(stored) if self.fingerprints.is_empty() => stored.fingerprints.clone(),
            _ => self.fingerprints.clone(),
        };
        if fingerprints.is_empty() {
            return Err(missing("--fingerprint"));
        }
        let (tenant, account) = (self.tenant.clone(), self.account.clone());
        let ca_file = match &self.ca_file {
            Some(file) => Some(absolute(file)?),
            None => stored.and_then(|stored| stored.ca_file.clone()),
        };
        Ok(Connection {
            route,
            ca_file,
            tenant: tenant
                .or_else(|| stored.map(|stored| stored.tenant.clone()))
                .ok_or_else(|| missing("--tenant"))?,
            account: account
                .or_else(|| stored.map(|stored| stored.account.clone()))
                .ok_or_else(|| missing("--account"))?,
            memory: stored.and_then(|stored| stored.memory_for(&fingerprints)),
            fingerprints,
        })
    }

    fn route(&self, stored: Option<&Route>) -> Result<Route, Failure> {
        let (stored_token, stored_session) = match stored {
            Some(Route::Direct { token_file, .. }) => (Some(token_file), None),
            Some(Route::Relay { session_file, .. }) => (None, Some(session_file)),
            None => (None, None),
        };
        let stored_url = |stored: Option<&Route>| match stored {
            Some(Route::Direct { url, .. } | Route::Relay { url, .. }) => Some(url.clone()),
            None => None,
        };
        let is_direct = self.url.is_some()
            || self.token_file.is_some()
            || (self.relay.is_none() && self.session_file.is_none() && stored_token.is_some());
        let is_relay =
            self.relay.is_some() || self.session_file.is_some() || stored_session.is_some();
        if is_direct {
            let kept = stored.filter(|route| matches!(route, Route::Direct { .. }));
            let url = self.url.clone().or_else(|| stored_url(kept));
            Ok(Route::Direct {
                url: url.ok_or_else(|| missing("--url"))?,
                token_file: file(self.token_file.as_deref(), stored_token, "--token-file")?,
            })
        } else if is_relay {
            let kept = stored.filter(|route| matches!(route, Route::Relay { .. }));
            let url = self.relay.clone().or_else(|| stored_url(kept));
            Ok(Route::Relay {
                url: url.ok_or_else(|| missing("--relay"))?,
                session_file: file(
                    self.session_file.as_deref(),
                    stored_session,
                    "--session-file",
                )?,
            })
        } else {
            Err(missing("--url or --relay"))
        }
    }
}

impl Connection {
    /// The app's name.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The user's account.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// Which account of which vault, for a person.
    pub fn place(&self) -> String {
        let (Route::Direct { url, .. } | Route::Relay { url, .. }) = &self.route;
        format!("the account {} of {} ({url})", self.account, self.tenant)
    }

    /// What is pinned.
    pub fn fingerprints(&self) -> &[Fingerprint] {
        &self.fingerprints
    }

    /// Takes over what the client has learnt.
    pub fn remember(&mut self, client: &VaultClient<HttpTransport>) {
        if let Some(memory) = client.trust_memory() {
            self.memory = Some(memory);
        }
    }

    /// The vault, app and account, once the vault has shown itself.
    pub fn scope(&self) -> Option<AccountScope> {
        self.memory.as_ref().map(|memory| AccountScope {
            vault: memory.vault.clone(),
            tenant: self.tenant.clone(),
            account: self.account.clone(),
        })
    }

    /// Takes over what `other` knows of the same vault, and nothing else.
    pub fn learn(&mut self, other: &Self) {
        let is_same_vault = match (&self.memory, &other.memory) {
            (Some(mine), Some(theirs)) => mine.vault == theirs.vault,
            (None, _) | (_, None) => true,
        };
        if is_same_vault && other.memory.is_some() && self.shares_pin(&other.fingerprints) {
            self.memory.clone_from(&other.memory);
        }
    }

    /// Whether this is the same account of the same vault.
    pub fn is_at(&self, other: &Self) -> bool {
        let is_account = (&self.tenant, &self.account) == (&other.tenant, &other.account);
        is_account && self.shares_pin(&other.fingerprints)
    }

    /// Whether one of `pins` is pinned here: what has none of them is another vault.
    pub fn shares_pin(&self, pins: &[Fingerprint]) -> bool {
        self.fingerprints.iter().any(|pin| pins.contains(pin))
    }

    /// A client of this account.
    pub fn client(&self, screen: Screen) -> Result<VaultClient<HttpTransport>, Failure> {
        let mut trust = Trust::new(self.fingerprints.iter().copied());
        if let Some(memory) = &self.memory {
            trust = trust.remembering(memory.clone());
        }
        // The pauses are in `work` still.
        let client = VaultClient::new(
            self.transport(screen)?,
            trust,
            self.tenant.clone(),
            self.account.clone(),
            Box::new(system_clock),
        );
        Ok(client.with_pauses(&[]))
    }

    /// The way there, without any trust in what is at its end.
    pub fn transport(&self, screen: Screen) -> Result<HttpTransport, Failure> {
        let options = HttpOptions {
            roots: self.ca_file.as_deref().map(read_certificates).transpose()?,
            ..HttpOptions::default()
        };
        let transport = match &self.route {
            Route::Direct { url, token_file } => {
                let token = token(token_file, screen)?;
                HttpTransport::direct(url, &token, &self.account, &options)
            }
            Route::Relay { url, session_file } => {
                let session = token(session_file, screen)?;
                HttpTransport::through_relay(url, &session, &options)
            }
        };
        transport.map_err(unusable)
    }

    /// What is remembered stays valid as long as one pin stays; new pins are another vault.
    fn memory_for(&self, pins: &[Fingerprint]) -> Option<TrustMemory> {
        self.memory.clone().filter(|_| self.shares_pin(pins))
    }
}

fn missing(option: &str) -> Failure {
    Failure::Usage(format!(
        "this device does not know its vault yet, {option} is missing: give --url with --token-file, or --relay with --session-file, and --tenant, --account, --fingerprint"
    ))
}

fn file(given: Option<&Path>, stored: Option<&PathBuf>, option: &str) -> Result<PathBuf, Failure> {
    match given {
        Some(file) => absolute(file),
        None => stored.cloned().ok_or_else(|| missing(option)),
    }
}

/// Later runs may be started elsewhere.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    Ok(std::path::absolute(path).with_context(|| format!("cannot use {}", path.display()))?)
}

fn read_certificates(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = std::fs::read(path).with_context(|| {
        format!(
            "cannot read the certificates {}: check --ca-file",
            path.display()
        )
    });
    Ok(read?)
}

fn token(path: &Path, screen: Screen) -> Result<BearerToken, Failure> {
    let text = secrets::read_file(path, "the token", screen)?;
    BearerToken::new(text.trim()).map_err(unusable)
}

fn unusable(error: InvalidTransport) -> Failure {
    Failure::Usage(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut ConnectionArguments);

    fn pin(digit: char) -> Fingerprint {
        digit.to_string().repeat(60).parse().unwrap()
    }

    fn direct() -> ConnectionArguments {
        ConnectionArguments {
            url: Some("https://vault.example".to_owned()),
            tenant: Some(TenantId::new("app").unwrap()),
            account: Some(AccountId::new("alice").unwrap()),
            token_file: Some(PathBuf::from("/token")),
            fingerprints: vec![pin('1')],
            ..ConnectionArguments::default()
        }
    }

    #[test]
    fn each_missing_part_is_named() {
        let without: [(Change, &str); 5] = [
            (|a| a.url = None, "--url"),
            (|a| a.tenant = None, "--tenant"),
            (|a| a.account = None, "--account"),
            (|a| a.token_file = None, "--token-file"),
            (|a| a.fingerprints.clear(), "--fingerprint"),
        ];
        for (remove, option) in without {
            let mut arguments = direct();
            remove(&mut arguments);
            let Err(failure) = arguments.resolve(None) else {
                panic!("accepted without {option}");
            };
            assert!(failure.message().contains(option), "{option}");
        }
    }

    #[test]
    fn a_token_is_never_taken_for_a_session() {
        let stored = direct().resolve(None).unwrap();
        let arguments = ConnectionArguments {
            relay: Some("https://backend.example".to_owned()),
            ..ConnectionArguments::default()
        };
        assert!(arguments.resolve(Some(&stored)).is_err());
    }

    // Fails if `memory_for` keeps the memory whatever is pinned: a moved vault is refused then.
    #[test]
    fn what_is_remembered_stays_as_long_as_one_pin_stays() {
        let mut stored = direct().resolve(None).unwrap();
        stored.memory = Some(
            serde_json::from_str(&format!(
                r#"{{"vault":"v","seen":{{"serial":1,"digest":"{}"}}}}"#,
                "A".repeat(43)
            ))
            .unwrap(),
        );
        let pinned = |fingerprints| ConnectionArguments {
            fingerprints,
            ..ConnectionArguments::default()
        };
        let memory = |pins| pinned(pins).resolve(Some(&stored)).unwrap().memory;
        assert_eq!(memory(vec![]), stored.memory);
        assert_eq!(memory(vec![pin('2'), pin('1')]), stored.memory);
        assert_eq!(memory(vec![pin('2')]), None);
    }

    // Fails if `learn` looks at no pins: one vault's serials would shut out another one.
    #[test]
    fn what_another_vault_showed_is_not_learnt() {
        let memory = |serial: u64| -> TrustMemory {
            let digest = "A".repeat(43);
            let text =
                format!(r#"{{"vault":"v","seen":{{"serial":{serial},"digest":"{digest}"}}}}"#);
            serde_json::from_str(&text).unwrap()
        };
        let mut stored = direct().resolve(None).unwrap();
        stored.memory = Some(memory(1));
        let mut other = stored.clone();
        other.memory = Some(memory(2));
        other.fingerprints = vec![pin('2')];
        stored.learn(&other);
        assert_eq!(stored.memory, Some(memory(1)));
        other.fingerprints = vec![pin('2'), pin('1')];
        stored.learn(&other);
        assert_eq!(stored.memory, Some(memory(2)));
        assert_eq!(stored.fingerprints, [pin('1')]);
    }

    #[test]
    fn one_option_replaces_one_part() {
        let stored = direct().resolve(None).unwrap();
        let arguments = ConnectionArguments {
            token_file: Some(PathBuf::from("/other")),
            ..ConnectionArguments::default()
        };
        let resolved = arguments.resolve(Some(&stored)).unwrap();
        let expected = Route::Direct {
            url: "https://vault.example".to_owned(),
            token_file: PathBuf::from("/other"),
        };
        assert_eq!(resolved.route, expected);
        assert_eq!(resolved.account, stored.account);
    }
}
