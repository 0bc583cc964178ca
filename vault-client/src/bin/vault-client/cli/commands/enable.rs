//! `enable`: makes K, or keeps it, and protects it.

use rand::rngs::OsRng;
use serde_json::json;
use vault_client::client::VaultClient;
use vault_client::error::Error;
use vault_client::flows::{PreparedRegistration, Registered};
use vault_client::http::HttpTransport;
use vault_client::protection::{Protection as Found, Reason};
use vault_client::{BackupKey, Password};
use vault_protocol::messages::{AccountState, DestructionReason};
use zeroize::Zeroizing;

use super::super::Context;
use super::super::arguments::Enable;
use super::super::connection::Connection;
use super::super::device::{Device, Protection, StateFile};
use super::super::failure::Failure;
use super::super::output::{Outcome, Screen, show_digits};
use super::super::{secrets, work};
use super::status::describe_need;
use super::{delete_record, describe_policy, finish_registration, store_registered};

pub async fn run(context: &Context, options: Enable) -> Result<Outcome, Failure> {
    let mut file = StateFile::open(&context.state)?;
    let held = file.load()?;
    let given = options.key.read(context.screen)?;
    if options.key_only {
        key_only(context, &mut file, held, given, options.yes).await
    } else {
        by_password(context, &mut file, held, given, &options).await
    }
}

async fn key_only(
    context: &Context,
    file: &mut StateFile,
    held: Option<Device>,
    given: Option<BackupKey>,
    yes: bool,
) -> Result<Outcome, Failure> {
    let (mut device, is_new) = the_key(held, given)?;
    let mut is_deleted = false;
    if let (false, Protection::Unfinished | Protection::Password(_), Some(connection)) =
        (is_new, &device.protection, device.connection.clone())
    {
        secrets::confirm(
            "The record at the vault will be deleted: the password will open nothing any more, only the 64 digits and this device.",
            yes,
            context.screen,
        )
        .await?;
        is_deleted = delete_record(&mut device, connection, context.screen).await?;
    }
    device.protection = Protection::KeyOnly;
    file.store(&device)?;
    Ok(digits_to_write_down(&device, is_deleted))
}

fn digits_to_write_down(device: &Device, is_deleted: bool) -> Outcome {
    let (lines, digits) = show_digits(&device.key);
    let key_id = device.key.key_id().to_string();
    // Room for all of it: growing would leave copies of the digits behind.
    let mut text = Zeroizing::new(String::with_capacity(512));
    if is_deleted {
        text.push_str("The record at the vault is deleted.\n");
    }
    text.push_str("These 64 digits are the key to your backups. Write them down and keep them safe;\nwithout them and without this device the backups are lost.\n\n");
    text.push_str(&lines);
    text.push_str("\n\nKey id: ");
    text.push_str(&key_id);
    let json = json!({
        "mode": "key-only",
        "key_id": key_id,
        "digits": digits,
        "record_deleted": is_deleted,
    });
    Outcome { text, json }
}

async fn by_password(
    context: &Context,
    file: &mut StateFile,
    held: Option<Device>,
    given: Option<BackupKey>,
    options: &Enable,
) -> Result<Outcome, Failure> {
    let screen = context.screen;
    let is_drawn = given.is_none();
    let (mut device, is_new) = the_key(held, given)?;
    let mut connection = options.connection.resolve(device.connection.as_ref())?;
    let mut client = connection.client(screen)?;
    let needs = needs_registration(&device, &mut client, screen).await?;
    if !needs {
        connection.remember(&client);
        device.connection = Some(connection);
        file.store(&device)?;
        return Ok(already(&device));
    }
    let about_user = [connection.account().as_str(), connection.tenant().as_str()];
    let password = options.password.choose(&about_user, screen)?;
    // On the disk before the vault hears of it: no K is lost in between.
    device.connection = Some(connection.clone());
    file.store(&device)?;
    // A K that was drawn just now is nobody's record; any other may be that of the live one.
    let may_replace = !(is_new && is_drawn);
    let prepare = prepare(&mut client, password, &device.key, may_replace);
    let prepared = match work::online(screen, "Stretching the password …", prepare).await {
        Ok(prepared) => prepared,
        Err(failure) => {
            // Nothing was registered, nothing encrypted: a new K can go.
            if is_new {
                file.forget()?;
            }
            return Err(failure);
        }
    };
    let registered = finish_registration(&mut client, &prepared, screen).await?;
    connection.remember(&client);
    let device = store_registered(file, device, connection, &registered)?;
    Ok(done(&device, &registered))
}

fn done(device: &Device, registered: &Registered) -> Outcome {
    let key_id = device.key.key_id().to_string();
    let enrolled = &registered.enrolled;
    let text = format!(
        "The key {key_id} is protected by your password, at the vault {}.\n{}.\nBack up with: vault-client backup FOLDER",
        enrolled.vault,
        describe_policy(&registered.policy),
    );
    let json = json!({
        "mode": "password",
        "key_id": key_id,
        "vault": enrolled.vault,
        "generation": enrolled.generation,
        "policy": registered.policy,
        "already": false,
    });
    Outcome::new(text, json)
}

/// The K to protect, and whether the device did not hold it before. A K that was never protected
/// makes room for a given one; no other does.
fn the_key(held: Option<Device>, given: Option<BackupKey>) -> Result<(Device, bool), Failure> {
    match (held, given) {
        (Some(device), None) => Ok((device, false)),
        (Some(device), Some(key)) if device.key.is_same(&key) => Ok((device, false)),
        (Some(device), Some(key)) => match device.protection {
            Protection::Unfinished => Ok((unfinished(key, device.connection), true)),
            Protection::KeyOnly | Protection::Password(_) => Err(Failure::AnotherKey(format!(
                "this device already holds the key {}, not {}: write its digits down (show-key), then remove it (disable --forget)",
                device.key.key_id(),
                key.key_id(),
            ))),
        },
        (None, Some(key)) => Ok((unfinished(key, None), true)),
        (None, None) => Ok((unfinished(BackupKey::generate(&mut OsRng), None), true)),
    }
}

fn unfinished(key: BackupKey, connection: Option<Connection>) -> Device {
    Device {
        key,
        protection: Protection::Unfinished,
        connection,
    }
}

/// Whether the key has to be registered, for a device that thinks it is.
async fn needs_registration(
    device: &Device,
    client: &mut VaultClient<HttpTransport>,
    screen: Screen,
) -> Result<bool, Failure> {
    let Protection::Password(enrolled) = &device.protection else {
        return Ok(true);
    };
    let found = work::online(screen, "Asking the vault …", client.check(enrolled)).await?;
    match found {
        Found::Protected => Ok(false),
        // Whose password is newer, only the user knows.
        Found::NeedsReenrolment(Reason::Replaced) => Err(Failure::AnotherKey(
            "another device has registered since: if it was yours, nothing needs to be done; to set the password from here run vault-client change-password, which works if the key is the same".to_owned(),
        )),
        Found::NeedsReenrolment(reason) => {
            screen.note(describe_need(reason));
            if reason == Reason::Destroyed(DestructionReason::Exhausted) {
                screen.warn("somebody has guessed: choose another password than before");
            }
            Ok(true)
        }
    }
}

/// Replaces the live record of K itself, which only K can; another key's is refused.
async fn prepare(
    client: &mut VaultClient<HttpTransport>,
    password: Password,
    key: &BackupKey,
    may_replace: bool,
) -> Result<PreparedRegistration, Error> {
    let is_live = match client.status().await?.state {
        AccountState::Active | AccountState::Waiting => true,
        AccountState::Absent | AccountState::Destroyed => false,
    };
    let current = (is_live && may_replace).then_some(key);
    client.prepare(password, key, current).await
}

fn already(device: &Device) -> Outcome {
    let key_id = device.key.key_id().to_string();
    let text = format!(
        "The key {key_id} is protected already. Another password: vault-client change-password"
    );
    let json = json!({"mode": "password", "key_id": key_id, "already": true});
    Outcome::new(text, json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> BackupKey {
        BackupKey::generate(&mut OsRng)
    }

    fn key_only(key: BackupKey) -> Device {
        Device {
            protection: Protection::KeyOnly,
            ..unfinished(key, None)
        }
    }

    // Fails if `the_key` lets a given key take the place of any other.
    #[test]
    fn a_key_that_is_in_use_is_never_replaced() {
        let refused = the_key(Some(key_only(key())), Some(key()));
        assert!(matches!(refused, Err(Failure::AnotherKey(_))));
    }

    #[test]
    fn the_key_stays_the_same_once_there_is_one() {
        let held = key();
        let same: BackupKey = held.digits().parse().unwrap();
        let (device, is_new) = the_key(Some(key_only(held)), None).unwrap();
        assert!(device.key.is_same(&same) && !is_new);
        let (device, is_new) = the_key(Some(device), Some(key_of(&same))).unwrap();
        assert!(device.key.is_same(&same) && !is_new);
    }

    #[test]
    fn a_key_that_was_never_protected_makes_room() {
        let given = key();
        let expected = key_of(&given);
        let (device, is_new) = the_key(Some(unfinished(key(), None)), Some(given)).unwrap();
        assert!(device.key.is_same(&expected) && is_new);
    }

    fn key_of(key: &BackupKey) -> BackupKey {
        key.digits().parse().unwrap()
    }
}
