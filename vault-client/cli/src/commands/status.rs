//! `status`: how the key is protected, by this device's state and the vault's. Costs nothing; a key
//! that its digits alone protect needs no vault.

use serde_json::{Value, json};
use vault_client::Policy;
use vault_client::device::{DeviceState, Place, Record};
use vault_client::protection::Protection;
use vault_protocol::messages::{AccountState, Status};

use crate::connection;
use crate::context::Context;
use crate::error::CliError;
use crate::output::Outcome;
use crate::{words, work};

pub(crate) async fn run(context: &Context) -> Result<Outcome, CliError> {
    let (file, state) = context.load_key()?;
    let mut report = Report::default();
    report.device(&state);
    let asks_vault = !state.is_used() || *state.record() != Record::None;
    if let Some(place) = state.place().cloned().filter(|_| asks_vault) {
        let mut device = context.connect(file, state, place)?;
        let status = work::online(context.screen, "Asking the vault …", device.status()).await;
        let status = status.ok_or_else(CliError::interrupted)??;
        report.record(&status);
        report.verdict(device.state(), &status);
    }
    Ok(report.outcome())
}

#[derive(Default)]
struct Report {
    rows: Vec<(&'static str, String)>,
    json: Value,
}

impl Report {
    fn device(&mut self, state: &DeviceState) {
        if let Some(key) = state.key() {
            let key_id = key.key_id().to_string();
            self.json["key_id"] = json!(key_id);
            self.rows.push(("Key id", key_id));
        }
        let (mode, words) = mode(state);
        self.json["mode"] = json!(mode);
        self.rows.push(("Protected", words.to_owned()));
        if !state.elsewhere().is_empty() {
            self.elsewhere(state.elsewhere());
        }
        if let Some(Place {
            tenant, account, ..
        }) = state.place()
        {
            self.json["tenant"] = json!(tenant);
            self.json["account"] = json!(account);
            let account = format!("{account} of {tenant}");
            self.rows.push(("Account", account));
        }
    }

    /// Where `disable` deletes a record beside the device's own.
    fn elsewhere(&mut self, places: &[Place]) {
        let json: Value = places
            .iter()
            .map(|place| json!({"tenant": place.tenant, "account": place.account}))
            .collect();
        self.json["elsewhere"] = json;
        self.rows.extend(places.iter().map(|place| {
            let place = connection::describe(place);
            let words = format!("perhaps at {place}: vault-client disable deletes it");
            ("Elsewhere", words)
        }));
    }

    fn record(&mut self, status: &Status) {
        let words = match status.state {
            AccountState::Absent => "none".to_owned(),
            AccountState::Active => "active".to_owned(),
            AccountState::Waiting => match status.retry_at {
                Some(time) => format!("waiting until {}", words::until(time)),
                None => "waiting".to_owned(),
            },
            AccountState::Destroyed => match (status.destroyed_at, status.reason) {
                (Some(time), Some(reason)) => {
                    format!(
                        "destroyed {}, {}",
                        words::since(time),
                        words::reason(reason)
                    )
                }
                _ => "destroyed".to_owned(),
            },
        };
        self.rows.push(("Record", words));
        if matches!(status.state, AccountState::Active | AccountState::Waiting) {
            let left = format!(
                "{} left; {}",
                status.attempts_remaining,
                words::policy(&status.policy)
            );
            self.rows.push(("Attempts", left));
        }
        if let Ok(Value::Object(fields)) = serde_json::to_value(status) {
            fields
                .into_iter()
                .for_each(|(name, value)| self.json[name] = value);
        }
    }

    fn verdict(&mut self, state: &DeviceState, status: &Status) {
        let scope = state.place().and_then(Place::scope);
        let (Some(scope), Some(found)) = (scope, state.compare(status, &Policy::default())) else {
            return;
        };
        self.json["vault"] = json!(scope.vault);
        let is_protected = found == Protection::Protected;
        self.json["protected"] = json!(is_protected);
        let words = match found {
            Protection::Protected => "protected".to_owned(),
            Protection::NeedsRegistration(reason) => {
                let (name, words) = words::need(reason);
                self.json["needs"] = json!(name);
                format!("not as it should be: {words}")
            }
        };
        self.rows.push(("Verdict", words));
    }

    fn outcome(self) -> Outcome {
        let lines = self
            .rows
            .iter()
            .map(|(name, value)| format!("{name:<10} {value}"));
        Outcome::new(lines.collect::<Vec<_>>().join("\n"), self.json)
    }
}

/// How the key is protected, for programs and for people.
fn mode(state: &DeviceState) -> (&'static str, &'static str) {
    match state.record() {
        Record::Registered(_) => ("password", "by a password"),
        _ if !state.is_used() => (
            "unfinished",
            "begun and not finished: run vault-client enable",
        ),
        Record::None => ("key-only", "by its 64 digits alone"),
        Record::Registering { former: Some(_) } => (
            "unsettled",
            "by a password; whether by the former or the new one is not known: run vault-client change-password",
        ),
        Record::Registering { former: None } => (
            "unsettled",
            "by its 64 digits; whether a password does too is not known: run vault-client enable, or disable",
        ),
        Record::Deleting { .. } => (
            "unsettled",
            "by its 64 digits, if they are written down; whether the record is deleted is not known: run vault-client disable",
        ),
    }
}
