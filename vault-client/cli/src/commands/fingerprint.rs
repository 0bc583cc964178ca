//! `fingerprint`: compares the pinned fingerprints with the one that the vault shows.

use serde::Deserialize;
use serde_json::json;
use vault_client::Fingerprint;
use vault_client::error::Error;
use vault_client::http::HttpTransport;
use vault_client::transport::Transport as _;
use vault_protocol::identity::IdentityKey;
use vault_protocol::statement::StatementRefused;

use crate::code::Code;
use crate::connection;
use crate::context::{Context, open};
use crate::error::CliError;
use crate::output::Outcome;
use crate::work;

/// The part of a statement that names its signer.
#[derive(Deserialize)]
struct Shown {
    identity_key: IdentityKey,
}

pub(crate) async fn run(context: &Context) -> Result<Outcome, CliError> {
    let screen = context.screen;
    let (file, state) = context.load_key()?;
    let place = state.place().cloned().ok_or_else(|| {
        CliError::no_key("this device knows no vault: give the connection to vault-client enable")
    })?;
    let pinned = place.fingerprints.clone();
    let lines: Vec<String> = pinned.iter().map(|pin| format!("pinned  {pin}")).collect();
    let lines = lines.join("\n");
    let transport = connection::transport(&place, screen)?;
    let asked = work::online(screen, "Asking the vault …", shown(&transport)).await;
    let shown = asked.ok_or_else(CliError::interrupted)??;
    if !pinned.contains(&shown) {
        let message = format!(
            "the vault shows {shown}, and that is not pinned: do not go on, and tell the app's operator\n{lines}"
        );
        return Err(CliError::new(Code::WrongVault, message));
    }
    // Shown and signed by: the same, or another one only repeats a public key.
    let mut device = open(transport, place, state, file);
    let status = work::online(screen, "Asking the vault …", device.status()).await;
    status.ok_or_else(CliError::interrupted)??;
    let text = format!("{lines}\nshown   {shown}\nThe vault is the pinned one.");
    let json = json!({"pinned": pinned, "shown": shown, "same": true});
    Ok(Outcome::new(text, json))
}

async fn shown(transport: &HttpTransport) -> Result<Fingerprint, Error> {
    let answer = transport.statement().await.map_err(Error::Network)?;
    Ok(shown_in(&answer.into_content()?)?)
}

/// The signer that a statement names. The signature is not checked.
pub fn shown_in(statement: &[u8]) -> Result<Fingerprint, StatementRefused> {
    let shown: Shown =
        serde_json::from_slice(statement).map_err(|_| StatementRefused::Malformed)?;
    Ok(shown.identity_key.fingerprint())
}
