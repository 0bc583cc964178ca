//! A registration as `enable` and `change-password` send it.

use serde_json::{Value, json};
use vault_client::device::{DeviceError, Record};
use vault_client::flows::Registered;

use crate::context::Online;
use crate::error::{CliError, Sent};
use crate::output::Screen;
use crate::work;

/// Registers. After Ctrl-C the state says whether the finish may have been sent.
pub(super) async fn send(
    screen: Screen,
    device: &mut Online,
    register: impl AsyncFnOnce(&mut Online) -> Result<Registered, DeviceError>,
) -> Result<Registered, CliError> {
    match work::online(screen, "Registering the key …", register(device)).await {
        Some(Ok(registered)) => Ok(registered),
        Some(Err(error)) => Err(CliError::change(Sent::Registration, error)),
        None if matches!(device.state().record(), Record::Registering { .. }) => {
            Err(CliError::unknown(Sent::Registration, None))
        }
        None => Err(CliError::interrupted()),
    }
}

/// For programs.
pub(super) fn json(registered: &Registered) -> Value {
    json!({
        "vault": registered.registration.vault,
        "generation": registered.registration.generation,
        "policy": registered.policy,
    })
}
