//! `status`: what this device and the vault know. Costs nothing; a key that its digits alone protect
//! needs no vault.

use serde_json::{Map, Value, json};
use vault_client::Policy;
use vault_client::protection::{Protection as Found, Reason};
use vault_protocol::messages::{AccountState, DestructionReason, Status};

use super::super::Context;
use super::super::connection::Connection;
use super::super::device::{Device, Protection, StateFile};
use super::super::failure::Failure;
use super::super::output::{Outcome, since, until};
use super::super::work;
use super::{describe_policy, describe_reason, learnt, load};

pub async fn run(context: &Context) -> Result<Outcome, Failure> {
    let mut file = StateFile::open(&context.state)?;
    let mut device = load(&file)?;
    let mut report = Report::default();
    report.device(&device);
    let asks_vault = device.protection != Protection::KeyOnly || !device.places.is_empty();
    if let Some(mut connection) = device.connection.clone().filter(|_| asks_vault) {
        let mut client = connection.client(context.screen)?;
        let status = work::online(context.screen, "Asking the vault …", client.status()).await;
        let status = learnt(status, &client, &mut connection, &mut file)?;
        device.connection = Some(connection);
        report.record(&status);
        report.verdict(&device, &status);
    }
    Ok(report.outcome())
}

/// Why a key has to be registered again, and what to do.
pub fn describe_need(reason: Reason) -> &'static str {
    match reason {
        Reason::Moved => {
            "this device now uses another vault or account than the key is registered at: register it there with vault-client enable"
        }
        Reason::Lost => {
            "the vault has no record of this key: register it again with vault-client enable"
        }
        Reason::Destroyed(DestructionReason::Exhausted) => {
            "too many wrong passwords have destroyed the record: register the key again with vault-client enable --after-destroyed, and with another password"
        }
        Reason::Destroyed(DestructionReason::Deleted | DestructionReason::Reset) => {
            "the record was deleted: if that was not meant so, register the key again with vault-client enable --after-destroyed"
        }
        Reason::Replaced => {
            "another device has registered since: with the same key if it was yours; vault-client change-password sets the password from here, if the key is the same"
        }
        Reason::WeakStretching => {
            "the password is stretched less than it should be today: register it again with vault-client enable"
        }
        Reason::LooserPolicy => {
            "the vault allows more wrong passwords than it should: register the key again with vault-client enable"
        }
    }
}

#[derive(Default)]
struct Report {
    rows: Vec<(&'static str, String)>,
    json: Map<String, Value>,
}

impl Report {
    fn device(&mut self, device: &Device) {
        let key_id = device.key.key_id().to_string();
        let (mode, words) = match &device.protection {
            Protection::Unfinished => (
                "unfinished",
                "begun and not finished: run vault-client enable",
            ),
            Protection::KeyOnly if device.places.is_empty() => {
                ("key-only", "by its 64 digits alone")
            }
            Protection::KeyOnly => (
                "unsettled",
                "by its 64 digits; whether a password does too is not known: run vault-client enable, or disable",
            ),
            Protection::Password(_) => ("password", "by a password"),
        };
        self.json.insert("mode".to_owned(), json!(mode));
        self.json.insert("key_id".to_owned(), json!(key_id));
        self.rows.push(("Key id", key_id));
        self.rows.push(("Protected", words.to_owned()));
        self.elsewhere(device);
        let Some(connection) = &device.connection else {
            return;
        };
        let (tenant, account) = (connection.tenant(), connection.account());
        self.json.insert("tenant".to_owned(), json!(tenant));
        self.json.insert("account".to_owned(), json!(account));
        self.rows
            .push(("Account", format!("{account} of {tenant}")));
    }

    /// What `disable` deletes besides the record that is asked for.
    fn elsewhere(&mut self, device: &Device) {
        let asked = device.connection.as_ref();
        let is_elsewhere =
            |place: &&Connection| asked.is_none_or(|connection| !connection.is_at(place));
        for place in device.places.iter().filter(is_elsewhere) {
            let words = format!(
                "perhaps at {}: vault-client disable deletes it",
                place.place()
            );
            self.rows.push(("Elsewhere", words));
            let place = json!({"tenant": place.tenant(), "account": place.account()});
            let others = self.json.entry("elsewhere").or_insert_with(|| json!([]));
            others
                .as_array_mut()
                .into_iter()
                .for_each(|others| others.push(place.clone()));
        }
    }

    fn record(&mut self, status: &Status) {
        let words = match status.state {
            AccountState::Absent => "none".to_owned(),
            AccountState::Active => "active".to_owned(),
            AccountState::Waiting => match status.retry_at {
                Some(time) => format!("waiting until {}", until(time)),
                None => "waiting".to_owned(),
            },
            AccountState::Destroyed => match (status.destroyed_at, status.reason) {
                (Some(time), Some(reason)) => {
                    format!("destroyed {}, {}", since(time), describe_reason(reason))
                }
                _ => "destroyed".to_owned(),
            },
        };
        self.rows.push(("Record", words));
        if matches!(status.state, AccountState::Active | AccountState::Waiting) {
            let left = format!(
                "{} left; {}",
                status.attempts_remaining,
                describe_policy(&status.policy)
            );
            self.rows.push(("Attempts", left));
        }
        if let Ok(Value::Object(fields)) = serde_json::to_value(status) {
            self.json.extend(fields);
        }
    }

    fn verdict(&mut self, device: &Device, status: &Status) {
        let Protection::Password(enrolled) = &device.protection else {
            return;
        };
        let scope = device.connection.as_ref().and_then(Connection::scope);
        let Some(scope) = scope else { return };
        let found = enrolled.compare(&scope, status, &Policy::default());
        self.json.insert("vault".to_owned(), json!(scope.vault));
        self.json
            .insert("protected".to_owned(), json!(found == Found::Protected));
        let words = match found {
            Found::Protected => "protected".to_owned(),
            Found::NeedsRegistration(reason) => {
                self.json
                    .insert("needs".to_owned(), json!(need_name(reason)));
                format!("not as it should be: {}", describe_need(reason))
            }
        };
        self.rows.push(("Verdict", words));
    }

    fn outcome(self) -> Outcome {
        let lines = self
            .rows
            .iter()
            .map(|(name, value)| format!("{name:<10} {value}"));
        Outcome::new(
            lines.collect::<Vec<_>>().join("\n"),
            Value::Object(self.json),
        )
    }
}

fn need_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Moved => "moved",
        Reason::Lost => "lost",
        Reason::Destroyed(_) => "destroyed",
        Reason::Replaced => "replaced",
        Reason::WeakStretching => "weak-stretching",
        Reason::LooserPolicy => "looser-policy",
    }
}
