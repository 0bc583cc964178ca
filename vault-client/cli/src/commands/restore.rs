//! `restore`: opens a backup with the device's key, the 64 digits, or the password.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::json;
use vault_backup::{BackupError, NotABackup};
use vault_client::BackupKey;
use vault_client::flows::Retrieved;

use super::super::Context;
use super::super::arguments::Restore;
use super::super::connection::Connection;
use super::super::device::{Device, Protection, StateFile};
use super::super::failure::{Failure, Sent};
use super::super::output::{Outcome, Screen, count, since};
use super::super::{secrets, work};
use super::backup::{numbers, words};
use super::learnt;

/// How every backup file begins: an age file, version 1.
const BEGINNING: &[u8] = b"age-encryption.org/v1\n";

/// Where the key came from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Device,
    Digits,
    Password,
}

pub async fn run(context: &Context, options: Restore) -> Result<Outcome, Failure> {
    // Before an attempt is spent: what would fail anyway.
    check_file(&options.file)?;
    vault_backup::check_target(&options.to)?;
    let (key, from) = the_key(context, &options).await?;
    let key_id = key.key_id();
    let Restore { file, to, .. } = options;
    let target = to.clone();
    let summary = work::on_files(context.screen, "Restoring", move |meter| {
        vault_backup::restore(&file, &target, &key, meter)
    })
    .await?;
    let text = format!("Restored to {}\n{}", to.display(), words(&summary));
    let mut json = numbers(&summary);
    json["folder"] = json!(to.to_string_lossy());
    json["key_id"] = json!(key_id.to_string());
    json["by"] = json!(match from {
        From::Device => "device",
        From::Digits => "digits",
        From::Password => "password",
    });
    Ok(Outcome::new(text, json))
}

async fn the_key(context: &Context, options: &Restore) -> Result<(BackupKey, From), Failure> {
    if options.key.is_given() && !options.connection.is_empty() {
        return Err(Failure::Usage(
            "the 64 digits need no vault: leave the connection options out".to_owned(),
        ));
    }
    if let Some(key) = options.key.read(context.screen)? {
        return Ok((key, From::Digits));
    }
    let mut file = StateFile::open(&context.state)?;
    let held = file.load()?;
    let asks_vault = options.by_password || options.password_file.is_some();
    match held {
        Some(device) if !asks_vault && device.protection != Protection::Unfinished => {
            check_key(&options.file, &device.key)?;
            Ok((device.key, From::Device))
        }
        held => {
            let key = by_password(context, options, &mut file, held).await?;
            check_key(&options.file, &key)?;
            Ok((key, From::Password))
        }
    }
}

/// Gets the key from the vault, and keeps it unless the device holds another one.
async fn by_password(
    context: &Context,
    options: &Restore,
    file: &mut StateFile,
    held: Option<Device>,
) -> Result<BackupKey, Failure> {
    let screen = context.screen;
    let stored = file.connection()?;
    let mut connection = options.connection.resolve(stored.as_ref())?;
    let mut client = connection.client(screen)?;
    let password = secrets::password(options.password_file.as_deref(), screen)?;
    let begin = client.begin(password);
    let attempt = work::online(screen, "Asking the vault …", begin).await;
    let attempt = learnt(attempt, &client, &mut connection, file)?;
    let guess = work::guess(&mut client, attempt);
    let retrieved = work::sending(screen, "Stretching the password …", Sent::Guess, guess).await;
    let retrieved = learnt(retrieved, &client, &mut connection, file)?;
    report(&retrieved, screen);
    let Some(places) = places_of(&retrieved.key, &connection, held) else {
        screen.warn("this device keeps the key it had, which is another one");
        return Ok(retrieved.key);
    };
    // Before the files: the attempt is spent, whatever becomes of them.
    let mut device = Device {
        key: retrieved.key,
        protection: Protection::Password(retrieved.registration),
        connection: None,
        places,
    };
    device.move_to(connection);
    file.store(&device)?;
    screen.note("This device holds the key from now on.");
    Ok(device.key)
}

/// Where else a vault may have a record of `key`, which was retrieved from `at`. `None` if the device
/// has to keep another one: it is protected, or a vault may have a record of it.
fn places_of(key: &BackupKey, at: &Connection, held: Option<Device>) -> Option<Vec<Connection>> {
    let Some(mut held) = held else {
        return Some(Vec::new());
    };
    if held.key.is_same(key) {
        return Some(held.places);
    }
    // The record there is the retrieved key's.
    held.remove_place(at);
    let makes_room = held.protection == Protection::Unfinished && held.places.is_empty();
    makes_room.then(Vec::new)
}

/// Tells the user what they have to know about their record.
fn report(retrieved: &Retrieved, screen: Screen) {
    if retrieved.failures_since_success > 0 {
        screen.warn(&format!(
            "{} before this one; if they were not yours, somebody knows your account and is guessing",
            count(retrieved.failures_since_success, "wrong attempt"),
        ));
    }
    if let Some(time) = retrieved.last_success_at {
        screen.note(&format!("The key was last retrieved {}.", since(time)));
    }
}

fn check_key(file: &Path, key: &BackupKey) -> Result<(), Failure> {
    match vault_backup::key_id_in_name(file) {
        Some(id) if id != key.key_id() => Err(BackupError::WrongKey {
            key: key.key_id(),
            file: Some(id),
        }
        .into()),
        _ => Ok(()),
    }
}

/// Only the first line: the library checks the rest.
fn check_file(file: &Path) -> Result<(), Failure> {
    let mut beginning = Vec::new();
    let limit = u64::try_from(BEGINNING.len()).unwrap_or(u64::MAX);
    File::open(file)
        .and_then(|opened| opened.take(limit).read_to_end(&mut beginning))
        .map_err(|source| BackupError::Unreadable {
            path: file.to_owned(),
            source,
        })?;
    if beginning == BEGINNING {
        return Ok(());
    }
    // A beginning that is too short, but right, is a file that was cut off.
    Err(
        if !beginning.is_empty() && BEGINNING.starts_with(&beginning) {
            BackupError::Truncated.into()
        } else {
            BackupError::NotABackup(NotABackup::NotAge).into()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_does_not_begin_as_a_backup_is_refused_before_an_attempt() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let check = |content: &[u8]| {
            fs::write(&file, content).unwrap();
            check_file(&file)
        };
        for content in [&b""[..], b"PK", b"age-encryption.org/v2\n"] {
            let refused = check(content);
            assert!(matches!(
                refused,
                Err(Failure::Backup(BackupError::NotABackup(_)))
            ));
        }
        let cut = check(b"age-encr");
        assert!(matches!(cut, Err(Failure::Backup(BackupError::Truncated))));
        assert!(check(b"age-encryption.org/v1\nand more").is_ok());
    }

    // Fails if `places_of` looks at no places: what is at the other one would be forgotten.
    #[test]
    fn a_key_that_may_be_registered_elsewhere_stays_on_the_device() {
        let connection = |account: &str| -> Connection {
            let text = include_str!("../../tests/data/device-v1.json");
            let text = text.replace("alice", account);
            let mut stored: serde_json::Value = serde_json::from_str(&text).unwrap();
            serde_json::from_value(stored["connection"].take()).unwrap()
        };
        let [alice, bob] = ["alice", "bob"].map(connection);
        let [held, other]: [BackupKey; 2] =
            ["0", "1"].map(|digit| digit.repeat(64).parse().unwrap());
        let held = |places: &[&Connection]| {
            Some(Device {
                key: held.digits().parse().unwrap(),
                protection: Protection::Unfinished,
                connection: None,
                places: places.iter().copied().cloned().collect(),
            })
        };
        let same = &held(&[]).unwrap().key;
        assert_eq!(places_of(&other, &alice, None), Some(vec![]));
        assert_eq!(places_of(&other, &alice, held(&[&alice])), Some(vec![]));
        assert_eq!(places_of(&other, &alice, held(&[&alice, &bob])), None);
        let both = Some(vec![bob.clone()]);
        assert_eq!(places_of(same, &alice, held(&[&bob])), both);
    }

    // Fails if `check_key` compares nothing: the wrong key is found out after an attempt then.
    #[test]
    fn the_key_id_in_the_name_is_compared() {
        let key: BackupKey = "0".repeat(64).parse().unwrap();
        let name = vault_backup::file_name(key.key_id());
        assert!(check_key(Path::new(&name), &key).is_ok());
        assert!(check_key(Path::new("photos.age"), &key).is_ok());
        let other = check_key(Path::new("backup-0123456789abcdef.age"), &key);
        assert!(matches!(
            other,
            Err(Failure::Backup(BackupError::WrongKey { .. }))
        ));
    }
}
