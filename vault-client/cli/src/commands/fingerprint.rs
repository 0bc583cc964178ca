//! `fingerprint`: what is pinned, and what the vault shows.

use serde::Deserialize;
use serde_json::json;
use vault_client::Fingerprint;
use vault_client::error::{Error, NoAnswer};
use vault_client::http::HttpTransport;
use vault_client::outer::OuterProblem;
use vault_client::transport::Transport as _;
use vault_protocol::identity::IdentityKey;
use vault_protocol::statement::StatementRefused;

use super::super::Context;
use super::super::device::StateFile;
use super::super::failure::Failure;
use super::super::output::Outcome;
use super::super::work;
use super::{learnt, load};

/// The part of a statement that names who signed it.
#[derive(Deserialize)]
struct Shown {
    identity_key: IdentityKey,
}

pub async fn run(context: &Context) -> Result<Outcome, Failure> {
    let mut file = StateFile::open(&context.state)?;
    let device = load(&file)?;
    let mut connection = device.connection.ok_or(Failure::NoKey(
        "this device knows no vault: give the connection to vault-client enable",
    ))?;
    let pinned = connection.fingerprints().to_vec();
    let lines: Vec<String> = pinned.iter().map(|pin| format!("pinned  {pin}")).collect();
    let transport = connection.transport(context.screen)?;
    let asked = work::online(context.screen, "Asking the vault …", shown(&transport));
    let shown = asked.await?;
    if !pinned.contains(&shown) {
        return Err(Failure::OtherFingerprint(format!(
            "the vault shows {shown}, and that is not pinned: do not go on, and tell the app's operator\n{}",
            lines.join("\n")
        )));
    }
    // Shown and signed by: the same, or somebody only repeats a public key.
    let mut client = connection.client(context.screen)?;
    let status = work::online(context.screen, "Asking the vault …", client.status()).await;
    learnt(status, &client, &mut connection, &mut file)?;
    let text = format!(
        "{}\nshown   {shown}\nThe vault is the pinned one.",
        lines.join("\n")
    );
    let json = json!({"pinned": pinned, "shown": shown, "same": true});
    Ok(Outcome::new(text, json))
}

async fn shown(transport: &HttpTransport) -> Result<Fingerprint, Error> {
    let answer = transport.statement().await.map_err(Error::Network)?;
    let body = answer.into_content().map_err(|problem| match problem {
        OuterProblem::Refused(refusal) => Error::Refused(refusal),
        OuterProblem::Overloaded => Error::Overloaded,
        OuterProblem::UnknownKey => Error::NotUnderstood,
        OuterProblem::Failed(status) => Error::Network(NoAnswer::Status(status)),
    })?;
    Ok(shown_in(&body)?)
}

/// Whom a statement names as its signer; whether it has signed is not looked at.
pub fn shown_in(statement: &[u8]) -> Result<Fingerprint, StatementRefused> {
    let shown: Shown =
        serde_json::from_slice(statement).map_err(|_| StatementRefused::Malformed)?;
    Ok(shown.identity_key.fingerprint())
}
