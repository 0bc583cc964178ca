//! `enable`: makes K, or keeps it, and protects it.

use anyhow::Context as _;
use rand::rngs::OsRng;
use serde_json::{Value, json};
use vault_client::BackupKey;
use vault_client::device::{Destroyed, DeviceState, Planned, Record};
use vault_client::flows::Registered;
use vault_protocol::messages::DestructionReason;
use zeroize::Zeroizing;

use crate::arguments::Enable;
use crate::commands::{registration, removal};
use crate::context::{Context, Online};
use crate::error::CliError;
use crate::output::{Outcome, Screen, show_digits};
use crate::secrets::{self, Answer};
use crate::state::StateFile;
use crate::{words, work};

pub(crate) async fn run(context: &Context, options: Enable) -> Result<Outcome, CliError> {
    let (file, state) = context.load()?;
    let given = options.key.read(context.screen)?;
    if options.key_only {
        key_only(context, file, state, given, options.yes).await
    } else {
        by_password(context, file, state, given, &options).await
    }
}

async fn key_only(
    context: &Context,
    mut file: StateFile,
    mut state: DeviceState,
    given: Option<BackupKey>,
    yes: bool,
) -> Result<Outcome, CliError> {
    let screen = context.screen;
    state.use_digits(given, &mut OsRng)?;
    let key = state.key().context("a key was chosen")?;
    let key_id = key.key_id().to_string();
    let (mut text, digits) = digits_to_write_down(key);
    let mut ended = Vec::new();
    let places = removal::known(&state);
    if places.is_empty() {
        file.save(&state)?;
    } else {
        let question = format!(
            "The record at {} will be deleted: the password will open nothing any more, only the 64 digits and this device.",
            removal::places(&places)
        );
        secrets::confirm(&question, yes, screen).await?;
        // The state knows that the digits are used before they are shown; and they are shown before the
        // other way to the key is gone.
        file.save(&state)?;
        screen.show(&text).context("cannot show the 64 digits")?;
        let removed = removal::delete_records(context, file, state, places, false).await?;
        ended = removed.ended;
        text = Zeroizing::new(removal::words(&ended));
    }
    let json = json!({
        "mode": "key-only",
        "key_id": key_id,
        "digits": digits,
        "record_deleted": removal::is_any_deleted(&ended),
        "records": removal::json(&ended),
    });
    Ok(Outcome { text, json })
}

fn digits_to_write_down(key: &BackupKey) -> (Zeroizing<String>, Value) {
    let (lines, digits) = show_digits(key);
    // Room for all of it: growing would leave copies of the digits behind.
    let mut text = Zeroizing::new(String::with_capacity(512));
    text.push_str("These 64 digits are the key to your backups. Write them down and keep them safe;\nwithout them and without this device the backups are lost.\n\n");
    text.push_str(&lines);
    text.push_str("\n\nKey id: ");
    text.push_str(&key.key_id().to_string());
    (text, digits)
}

async fn by_password(
    context: &Context,
    file: StateFile,
    state: DeviceState,
    given: Option<BackupKey>,
    options: &Enable,
) -> Result<Outcome, CliError> {
    let screen = context.screen;
    let place = options.connection.resolve(state.place())?;
    let about_user = [place.account.as_str(), place.tenant.as_str()];
    let choose = || options.password.choose(&about_user, screen);
    let is_registered = matches!(state.record(), Record::Registered(_));
    let mut device = context.connect(file, state, place.clone())?;
    // A weak one in a file is refused before anything is sent. A person who types it is told first
    // whether it has to be another one than before.
    let early = (options.password.is_in_file() && !is_registered).then(choose);
    let early = early.transpose()?;
    let planned = work::online(screen, "Asking the vault …", device.plan(given)).await;
    let mut plan = match planned.ok_or_else(CliError::interrupted)?? {
        Planned::Protected => return already(device.state()),
        Planned::Register(plan) => plan,
    };
    if let Some(reason) = plan.reason().filter(|_| plan.destroyed().is_none()) {
        screen.note(words::need(reason).1);
    }
    if let Some(destroyed) = plan.destroyed() {
        allow_after_destroyed(destroyed, options.after_destroyed, screen).await?;
        plan = plan.although_destroyed();
    }
    let password = match early {
        Some(password) => password,
        None => choose()?,
    };
    let register = async |device: &mut Online| device.register(plan, password).await;
    let registered = registration::send(screen, &mut device, register).await?;
    done(device.state(), &registered)
}

/// A destroyed record is registered again only if the user wants that: the destruction may have been
/// meant, or an attacker was guessing.
async fn allow_after_destroyed(
    destroyed: Destroyed,
    allowed: bool,
    screen: Screen,
) -> Result<(), CliError> {
    let is_exhausted = destroyed.reason == DestructionReason::Exhausted;
    let advice = match is_exhausted {
        true => " Choose another password than before.",
        false => "",
    };
    let question = format!(
        "The record was destroyed {} ({}). The key will be registered again.{advice}",
        words::since(destroyed.at),
        words::reason(destroyed.reason)
    );
    if secrets::ask(&question, allowed, screen).await? != Answer::Yes {
        return Err(CliError::after_destroyed(
            destroyed.at,
            destroyed.reason,
            destroyed.generation,
        ));
    }
    if is_exhausted {
        screen.warn("an attacker has guessed: choose another password than before");
    }
    Ok(())
}

fn done(state: &DeviceState, registered: &Registered) -> Result<Outcome, CliError> {
    let key_id = key_id(state)?;
    let text = format!(
        "The key {key_id} is protected by your password, at the vault {}.\n{}.\nBack up with: vault-client backup FOLDER",
        registered.registration.vault,
        words::policy(&registered.policy),
    );
    let mut json = registration::json(registered);
    json["mode"] = json!("password");
    json["key_id"] = json!(key_id);
    json["already"] = json!(false);
    Ok(Outcome::new(text, json))
}

fn already(state: &DeviceState) -> Result<Outcome, CliError> {
    let key_id = key_id(state)?;
    let text = format!(
        "The key {key_id} is protected already. Another password: vault-client change-password"
    );
    let json = json!({"mode": "password", "key_id": key_id, "already": true});
    Ok(Outcome::new(text, json))
}

fn key_id(state: &DeviceState) -> Result<String, CliError> {
    let key = state.key().context("a key was registered")?;
    Ok(key.key_id().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use vault_client::Timestamp;

    // Fails if `allow_after_destroyed` lets any reason pass.
    #[tokio::test]
    async fn nothing_is_registered_after_a_destruction_unless_it_is_said() {
        let screen = Screen::new(true);
        for reason in [
            DestructionReason::Exhausted,
            DestructionReason::Deleted,
            DestructionReason::Reset,
        ] {
            let destroyed = Destroyed {
                at: Timestamp::from_millis(0),
                reason,
                generation: 3,
            };
            let refused = allow_after_destroyed(destroyed, false, screen).await;
            assert_eq!(refused.unwrap_err().code, Code::Destroyed);
            let allowed = allow_after_destroyed(destroyed, true, screen).await;
            assert!(allowed.is_ok());
        }
    }
}
