//! `disable`: deletes the record at the vault, and on request the key on the device.

use serde_json::json;

use super::super::Context;
use super::super::arguments::Disable;
use super::super::device::{Device, Protection, StateFile};
use super::super::failure::Failure;
use super::super::output::Outcome;
use super::super::secrets;
use super::{load, removal};

pub async fn run(context: &Context, options: &Disable) -> Result<Outcome, Failure> {
    let mut file = StateFile::open(&context.state)?;
    let mut device = load(&file)?;
    if device.places.is_empty() && !options.forget {
        ask_where_it_talks_to(&mut device)?;
    }
    let question = question(&device, options.forget);
    secrets::confirm(&question, options.yes, context.screen).await?;
    let leaves = options.leave_records;
    let ended = removal::delete_records(&mut file, &mut device, leaves, context.screen).await?;
    let key = if options.forget {
        file.forget()?;
        "This device has forgotten the key."
    } else {
        keep(&mut file, &mut device)?
    };
    let records = match ended.as_slice() {
        [] => "No vault was asked: this device knows of no record of the key.".to_owned(),
        ended => removal::words(ended),
    };
    let json = json!({
        "key_id": device.key.key_id().to_string(),
        "record_deleted": removal::is_any_deleted(&ended),
        "records": removal::json(&ended),
        "forgotten": options.forget,
    });
    Ok(Outcome::new(format!("{records}\n{key}"), json))
}

/// Another device may have registered the same key.
fn ask_where_it_talks_to(device: &mut Device) -> Result<(), Failure> {
    let Some(connection) = device.connection.clone() else {
        return Err(Failure::NoKey(
            "this device's key is protected by its 64 digits alone: there is nothing at a vault to delete",
        ));
    };
    device.add_place(&connection);
    Ok(())
}

fn question(device: &Device, forgets: bool) -> String {
    let places = removal::places(device);
    match (forgets, places.as_str()) {
        (true, "") => "The key on this device will be deleted: without the 64 digits, written down, all backups are lost.".to_owned(),
        (true, places) => format!(
            "The record at {places} and the key on this device will be deleted: without the 64 digits, written down, all backups are lost."
        ),
        (false, places) => format!(
            "The record at {places} will be deleted: the password will open nothing any more, only the 64 digits (vault-client show-key) and this device."
        ),
    }
}

/// Keeps the key without a record.
fn keep(file: &mut StateFile, device: &mut Device) -> Result<&'static str, Failure> {
    // Digits that nobody has seen yet protect nothing.
    let words = if device.protection == Protection::Unfinished {
        "This device keeps the key, which nothing protects yet: run vault-client enable."
    } else {
        device.protection = Protection::KeyOnly;
        "This device keeps the key. If its 64 digits are not written down, do that now: vault-client show-key. Without them and without this device the backups are lost."
    };
    device.places.clear();
    file.store(device)?;
    Ok(words)
}
