//! `change-password`: another password for the same key.

use serde_json::json;
use vault_client::device::Record;

use crate::arguments::ChangePassword;
use crate::commands::registration;
use crate::context::{Context, Online};
use crate::error::CliError;
use crate::output::Outcome;

pub(crate) async fn run(context: &Context, options: ChangePassword) -> Result<Outcome, CliError> {
    let screen = context.screen;
    let (file, state) = context.load_used_key()?;
    let key_id = state.key().map(|key| key.key_id().to_string());
    let place = match (state.record(), state.place()) {
        (Record::None, _) | (_, None) => {
            return Err(CliError::no_key(
                "this device's key is not protected by a password: run vault-client enable",
            ));
        }
        (_, Some(place)) => place.clone(),
    };
    let about_user = [place.account.as_str(), place.tenant.as_str()];
    let password = options.password.choose(&about_user, screen)?;
    let mut device = context.connect(file, state, place.clone())?;
    let change = async |device: &mut Online| device.change_password(password).await;
    let registered = registration::send(screen, &mut device, change).await?;
    let text = "The password is changed. The key and your backups are the same as before.";
    let mut json = registration::json(&registered);
    json["key_id"] = json!(key_id);
    Ok(Outcome::new(text, json))
}
