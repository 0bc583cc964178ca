//! `disable`: deletes the record at the vault, and on request the key on the device.

use serde_json::json;

use super::super::Context;
use super::super::arguments::Disable;
use super::super::device::{Protection, StateFile};
use super::super::failure::Failure;
use super::super::output::Outcome;
use super::super::secrets;
use super::{delete_record, load};

const KEEP: &str = "The record at the vault will be deleted: the password will open nothing any more, only the 64 digits and this device.";
const FORGET: &str = "The record at the vault and the key on this device will be deleted: without the 64 digits, written down, all backups are lost.";

pub async fn run(context: &Context, options: &Disable) -> Result<Outcome, Failure> {
    let mut file = StateFile::open(&context.state)?;
    let mut device = load(&file)?;
    let at_vault = match device.protection {
        Protection::Unfinished | Protection::Unsettled | Protection::Password(_) => {
            device.connection.clone()
        }
        // Another device may have registered the same key.
        Protection::KeyOnly if !options.forget => device.connection.clone(),
        Protection::KeyOnly => None,
    };
    if at_vault.is_none() && !options.forget {
        return Err(Failure::NoKey(
            "this device's key is protected by its 64 digits alone: there is nothing at a vault to delete",
        ));
    }
    let question = if options.forget { FORGET } else { KEEP };
    secrets::confirm(question, options.yes, context.screen).await?;
    let is_unfinished = device.protection == Protection::Unfinished;
    let is_deleted = match at_vault {
        Some(connection) => {
            delete_record(&mut file, &mut device, connection, context.screen).await?
        }
        None => false,
    };
    if options.forget {
        file.forget()?;
    } else {
        // Digits that nobody has seen yet protect nothing.
        if !is_unfinished {
            device.protection = Protection::KeyOnly;
        }
        file.store(&device)?;
    }
    let record = if is_deleted {
        "The record at the vault is deleted."
    } else {
        "There was no record of this key at a vault."
    };
    let key = if options.forget {
        "This device has forgotten the key."
    } else if is_unfinished {
        "This device keeps the key, which nothing protects yet: run vault-client enable."
    } else {
        "This device keeps the key; its digits: vault-client show-key"
    };
    let json = json!({
        "key_id": device.key.key_id().to_string(),
        "record_deleted": is_deleted,
        "forgotten": options.forget,
    });
    Ok(Outcome::new(format!("{record}\n{key}"), json))
}
