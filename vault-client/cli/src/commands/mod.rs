//! One module a command.

mod backup;
mod change_password;
mod disable;
mod enable;
pub(crate) mod fingerprint;
mod registration;
mod removal;
mod restore;
mod show_key;
mod status;

use crate::arguments::Command;
use crate::context::Context;
use crate::error::CliError;
use crate::output::Outcome;

pub(crate) async fn run(context: &Context, command: Command) -> Result<Outcome, CliError> {
    match command {
        Command::Enable(options) => enable::run(context, options).await,
        Command::Backup(options) => backup::run(context, options).await,
        Command::Restore(options) => restore::run(context, options).await,
        Command::Status => status::run(context).await,
        Command::ChangePassword(options) => change_password::run(context, options).await,
        Command::ShowKey(options) => show_key::run(context, &options),
        Command::Disable(options) => disable::run(context, &options).await,
        Command::Fingerprint => fingerprint::run(context).await,
    }
}
