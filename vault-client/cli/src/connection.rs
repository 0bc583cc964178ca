//! Where the vault is, how it is reached, and which fingerprints are pinned. Given once, kept in the
//! state. Tokens are kept as the names of their files: read anew at every run, so that one that was
//! replaced needs no new registration.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};
use vault_client::device::Place;
use vault_client::http::{BearerToken, HttpOptions, HttpTransport, InvalidTransport};
use vault_client::trust::TrustMemory;
use vault_client::{AccountId, Fingerprint, TenantId};

use crate::error::CliError;
use crate::output::Screen;
use crate::secrets;

/// Which vault and which account. Kept in this device's state.
#[derive(Args, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Connection (given once, then kept in the state)")]
pub(crate) struct ConnectionArguments {
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

/// The way to a place, as it is kept with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Address {
    pub(crate) route: Route,
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Route {
    Direct { url: String, token_file: PathBuf },
    Relay { url: String, session_file: PathBuf },
}

impl ConnectionArguments {
    /// Whether none was given.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The stored place, with each part that was given in place of the stored one.
    pub(crate) fn resolve(&self, stored: Option<&Place>) -> Result<Place, CliError> {
        // A damaged one is as good as none: the options take its place.
        let address = stored.and_then(|stored| Address::of(stored).ok());
        let route = self.route(address.as_ref().map(|address| &address.route))?;
        let fingerprints = match stored {
            Some(stored) if self.fingerprints.is_empty() => stored.fingerprints.clone(),
            _ => self.fingerprints.clone(),
        };
        if fingerprints.is_empty() {
            return Err(missing("--fingerprint"));
        }
        let ca_file = match &self.ca_file {
            Some(file) => Some(absolute(file)?),
            None => address.and_then(|address| address.ca_file),
        };
        Ok(Place {
            tenant: given(&self.tenant, stored.map(|at| &at.tenant), "--tenant")?,
            account: given(&self.account, stored.map(|at| &at.account), "--account")?,
            memory: stored.and_then(|stored| memory_for(stored, &fingerprints)),
            fingerprints,
            address: Address { route, ca_file }.to_text()?,
        })
    }

    /// A part that is stored is kept only for the same kind of route: a token is no session.
    fn route(&self, stored: Option<&Route>) -> Result<Route, CliError> {
        let gives_direct = self.url.is_some() || self.token_file.is_some();
        let gives_relay = self.relay.is_some() || self.session_file.is_some();
        let (is_relay, url, file) = match stored {
            Some(Route::Direct { url, token_file }) if !gives_relay => {
                (false, Some(url), Some(token_file))
            }
            Some(Route::Relay { url, session_file }) if !gives_direct => {
                (true, Some(url), Some(session_file))
            }
            _ if gives_direct || gives_relay => (gives_relay, None, None),
            _ => return Err(missing("--url or --relay")),
        };
        if is_relay {
            Ok(Route::Relay {
                url: given(&self.relay, url, "--relay")?,
                session_file: file_of(&self.session_file, file, "--session-file")?,
            })
        } else {
            Ok(Route::Direct {
                url: given(&self.url, url, "--url")?,
                token_file: file_of(&self.token_file, file, "--token-file")?,
            })
        }
    }
}

impl Address {
    pub(crate) fn of(place: &Place) -> Result<Self, CliError> {
        let read = serde_json::from_str(&place.address)
            .context("the address in the state file is damaged: give the connection options again");
        Ok(read?)
    }

    /// Fails for paths that are not UTF-8.
    pub(crate) fn to_text(&self) -> Result<String, CliError> {
        let text =
            serde_json::to_string(self).context("a path cannot be stored: choose one in UTF-8");
        Ok(text?)
    }

    fn url(&self) -> &str {
        let (Route::Direct { url, .. } | Route::Relay { url, .. }) = &self.route;
        url
    }
}

/// Which account of which vault, for a person.
pub(crate) fn describe(place: &Place) -> String {
    let account = format!("the account {} of {}", place.account, place.tenant);
    match Address::of(place) {
        Ok(address) => format!("{account} ({})", address.url()),
        Err(_) => account,
    }
}

/// The way there, without any trust in the vault at its end.
pub(crate) fn transport(place: &Place, screen: Screen) -> Result<HttpTransport, CliError> {
    let Address { route, ca_file } = Address::of(place)?;
    let options = HttpOptions {
        roots: ca_file.as_deref().map(read_certificates).transpose()?,
        ..HttpOptions::default()
    };
    let transport = match &route {
        Route::Direct { url, token_file } => {
            let token = token(token_file, screen)?;
            HttpTransport::direct(url, &token, &place.account, &options)
        }
        Route::Relay { url, session_file } => {
            let session = token(session_file, screen)?;
            HttpTransport::through_relay(url, &session, &options)
        }
    };
    transport.map_err(unusable)
}

/// A vault's memory stays valid as long as one pin stays; with none of them it is another vault.
fn memory_for(stored: &Place, pins: &[Fingerprint]) -> Option<TrustMemory> {
    let stays = stored.fingerprints.iter().any(|pin| pins.contains(pin));
    stored.memory.clone().filter(|_| stays)
}

fn missing(option: &str) -> CliError {
    CliError::usage(format!(
        "this device does not know its vault yet, {option} is missing: give --url with --token-file, or --relay with --session-file, and --tenant, --account, --fingerprint"
    ))
}

fn given<T: Clone>(given: &Option<T>, stored: Option<&T>, option: &str) -> Result<T, CliError> {
    let value = given.as_ref().or(stored);
    value.cloned().ok_or_else(|| missing(option))
}

fn file_of(
    option: &Option<PathBuf>,
    stored: Option<&PathBuf>,
    name: &str,
) -> Result<PathBuf, CliError> {
    let option = option.as_deref().map(absolute).transpose()?;
    given(&option, stored, name)
}

/// Later runs may be started elsewhere.
fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    Ok(std::path::absolute(path).with_context(|| format!("cannot use {}", path.display()))?)
}

fn read_certificates(path: &Path) -> Result<Vec<u8>, CliError> {
    let read = std::fs::read(path).with_context(|| {
        format!(
            "cannot read the certificates {}: check --ca-file",
            path.display()
        )
    });
    Ok(read?)
}

fn token(path: &Path, screen: Screen) -> Result<BearerToken, CliError> {
    let text = secrets::read_file(path, "the token", screen)?;
    BearerToken::new(text.trim()).map_err(unusable)
}

fn unusable(error: InvalidTransport) -> CliError {
    CliError::usage(error.to_string())
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
            assert!(failure.message.contains(option), "{option}");
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

    // Fails if `resolve` gives up at an address that it cannot read: no command could mend it.
    #[test]
    fn a_damaged_address_is_replaced_by_the_options() {
        let mut stored = direct().resolve(None).unwrap();
        stored.address = "https://backend.example".to_owned();
        let place = direct().resolve(Some(&stored)).unwrap();
        assert!(Address::of(&place).is_ok());
        let missing = ConnectionArguments::default().resolve(Some(&stored));
        assert!(missing.unwrap_err().message.contains("--url or --relay"));
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
        assert_eq!(Address::of(&resolved).unwrap().route, expected);
        assert_eq!(resolved.account, stored.account);
    }
}
