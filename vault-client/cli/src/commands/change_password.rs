//! `change-password`: another password for the same key.

use serde_json::json;

use super::super::Context;
use super::super::arguments::ChangePassword;
use super::super::device::{Protection, StateFile};
use super::super::failure::{Failure, Sent};
use super::super::output::Outcome;
use super::super::work;
use super::{finish_registration, learnt, load_protected, store_registered};

pub async fn run(context: &Context, options: ChangePassword) -> Result<Outcome, Failure> {
    let screen = context.screen;
    let mut file = StateFile::open(&context.state)?;
    let device = load_protected(&file)?;
    let (Protection::Password(_), Some(mut connection)) =
        (&device.protection, device.connection.clone())
    else {
        return Err(Failure::NoKey(
            "this device's key is not protected by a password: run vault-client enable",
        ));
    };
    let about_user = [connection.account().as_str(), connection.tenant().as_str()];
    let password = options.password.choose(&about_user, screen)?;
    let mut client = connection.client(screen)?;
    let prepare = client.prepare(password, &device.key, Some(&device.key));
    let prepared = work::online(screen, "Stretching the password …", prepare).await;
    let prepared = learnt(prepared, &client, &mut connection, &mut file)?;
    let finish = finish_registration(&mut client, &prepared, Sent::Registration, screen);
    let registered = finish.await;
    let registered = learnt(registered, &client, &mut connection, &mut file)?;
    let device = store_registered(&mut file, device, connection, &registered)?;
    let key_id = device.key.key_id().to_string();
    let text = "The password is changed. The key and your backups are the same as before.";
    let json = json!({
        "key_id": key_id,
        "vault": registered.registration.vault,
        "generation": registered.registration.generation,
        "policy": registered.policy,
    });
    Ok(Outcome::new(text, json))
}
