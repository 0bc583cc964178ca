//! `disable`: deletes the record at the vault, and on request the key on the device.

use serde_json::json;
use vault_client::device::{DeviceState, Place};

use crate::arguments::Disable;
use crate::commands::removal::{self, Removed};
use crate::context::Context;
use crate::error::CliError;
use crate::output::Outcome;
use crate::secrets;

pub(crate) async fn run(context: &Context, options: &Disable) -> Result<Outcome, CliError> {
    let (file, state) = context.load_key()?;
    let key_id = state.key().map(|key| key.key_id().to_string());
    let places = places(&state, options.forget)?;
    let question = question(&places, options.forget);
    secrets::confirm(&question, options.yes, context.screen).await?;
    let leaves = options.leave_record;
    let removed = removal::delete_records(context, file, state, places, leaves).await?;
    let Removed {
        mut file,
        state,
        ended,
    } = removed;
    let key = if options.forget {
        file.remove()?;
        "This device has forgotten the key."
    } else if state.is_used() {
        "This device keeps the key. If its 64 digits are not written down, do that now: vault-client show-key. Without them and without this device the backups are lost."
    } else {
        // Digits that were never shown protect nothing.
        "This device keeps the key, which nothing protects yet: run vault-client enable."
    };
    let records = match ended.as_slice() {
        [] => "No vault was asked: this device knows of no record of the key.".to_owned(),
        ended => removal::words(ended),
    };
    let json = json!({
        "key_id": key_id,
        "record_deleted": removal::is_any_deleted(&ended),
        "records": removal::json(&ended),
        "forgotten": options.forget,
    });
    Ok(Outcome::new(format!("{records}\n{key}"), json))
}

/// Where a record is asked for. If none is known of, another device may have registered the same key
/// at the place that this one talks to.
fn places(state: &DeviceState, forgets: bool) -> Result<Vec<Place>, CliError> {
    let known = removal::known(state);
    if !known.is_empty() || forgets {
        return Ok(known);
    }
    let here = state.place().ok_or_else(|| {
        CliError::no_key(
            "this device's key is protected by its 64 digits alone: there is nothing at a vault to delete",
        )
    })?;
    Ok(vec![here.clone()])
}

fn question(places: &[Place], forgets: bool) -> String {
    let places = removal::places(places);
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
