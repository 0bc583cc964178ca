//! `restore`: opens a backup with the device's key, the 64 digits, or the password.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::json;
use vault_backup::{BackupError, NotABackup};
use vault_client::BackupKey;
use vault_client::client::Restored;
use vault_client::device::{DeviceState, Kept};
use vault_client::flows::Retrieved;

use crate::arguments::Restore;
use crate::commands::backup;
use crate::context::{Context, held_key};
use crate::error::{CliError, Sent};
use crate::output::{Outcome, Screen};
use crate::state::StateFile;
use crate::{secrets, words, work};

/// How every backup file begins: an age file, version 1.
const BEGINNING: &[u8] = b"age-encryption.org/v1\n";

pub(crate) async fn run(context: &Context, options: Restore) -> Result<Outcome, CliError> {
    // Before an attempt is spent.
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
    let text = format!("Restored to {}\n{}", to.display(), backup::words(&summary));
    let mut json = backup::numbers(&summary);
    json["folder"] = json!(to.to_string_lossy());
    json["key_id"] = json!(key_id.to_string());
    json["by"] = json!(from);
    Ok(Outcome::new(text, json))
}

/// The key, and where it came from.
async fn the_key(
    context: &Context,
    options: &Restore,
) -> Result<(BackupKey, &'static str), CliError> {
    if options.key.is_given() && !options.connection.is_empty() {
        return Err(CliError::usage(
            "the 64 digits need no vault: leave the connection options out",
        ));
    }
    if let Some(key) = options.key.read(context.screen)? {
        return Ok((key, "digits"));
    }
    let (file, state) = context.load()?;
    let asks_vault = options.by_password || options.password_file.is_some();
    let (key, from) = if state.is_used() && !asks_vault {
        (held_key(state)?, "device")
    } else {
        (
            by_password(context, options, file, state).await?,
            "password",
        )
    };
    check_key(&options.file, &key)?;
    Ok((key, from))
}

/// Gets the key from the vault. The device keeps it unless it holds another one: before the files are
/// restored, for the attempt is spent whatever becomes of them.
async fn by_password(
    context: &Context,
    options: &Restore,
    file: StateFile,
    state: DeviceState,
) -> Result<BackupKey, CliError> {
    let screen = context.screen;
    let place = options.connection.resolve(state.place())?;
    let mut device = context.connect(file, state, place)?;
    let password = secrets::password(options.password_file.as_deref(), screen)?;
    let begun = work::online(screen, "Asking the vault …", device.begin(password)).await;
    let attempt = begun.ok_or_else(CliError::interrupted)??;
    let run = work::online(screen, "Stretching the password …", device.run(attempt)).await;
    let Restored { retrieved, kept } = match run {
        Some(Ok(restored)) => restored,
        Some(Err(failed)) if failed.may_be_charged() => {
            return Err(CliError::unknown(Sent::Guess, Some(&failed.error)));
        }
        Some(Err(failed)) => return Err(failed.error.into()),
        None => return Err(CliError::unknown(Sent::Guess, None)),
    };
    report(&retrieved, screen);
    match kept? {
        Kept::Held => screen.note("This device holds the key from now on."),
        Kept::OtherKey => screen.warn("this device keeps the key it had, which is another one"),
    }
    Ok(retrieved.key)
}

/// Tells the user of guesses that were not theirs.
fn report(retrieved: &Retrieved, screen: Screen) {
    if retrieved.failures_since_success > 0 {
        screen.warn(&format!(
            "{} before this one; if they were not yours, an attacker knows your account and is guessing",
            words::count(retrieved.failures_since_success, "wrong attempt"),
        ));
    }
    if let Some(time) = retrieved.last_success_at {
        screen.note(&format!(
            "The key was last retrieved {}.",
            words::since(time)
        ));
    }
}

fn check_key(file: &Path, key: &BackupKey) -> Result<(), BackupError> {
    match vault_backup::key_id_in_name(file) {
        Some(id) if id != key.key_id() => Err(BackupError::WrongKey {
            key: key.key_id(),
            file: Some(id),
        }),
        _ => Ok(()),
    }
}

/// Only the first line: the library checks the rest.
fn check_file(file: &Path) -> Result<(), BackupError> {
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
    if !beginning.is_empty() && BEGINNING.starts_with(&beginning) {
        Err(BackupError::Truncated)
    } else {
        Err(BackupError::NotABackup(NotABackup::NotAge))
    }
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
            assert!(matches!(check(content), Err(BackupError::NotABackup(_))));
        }
        assert!(matches!(check(b"age-encr"), Err(BackupError::Truncated)));
        assert!(check(b"age-encryption.org/v1\nand more").is_ok());
    }

    // Fails if `check_key` compares nothing: the wrong key is found out after an attempt then.
    #[test]
    fn the_key_id_in_the_name_is_compared() {
        let key: BackupKey = "0".repeat(64).parse().unwrap();
        let name = vault_backup::file_name(key.key_id());
        assert!(check_key(Path::new(&name), &key).is_ok());
        assert!(check_key(Path::new("photos.age"), &key).is_ok());
        let other = check_key(Path::new("backup-0123456789abcdef.age"), &key);
        assert!(matches!(other, Err(BackupError::WrongKey { .. })));
    }
}
