//! The command line. `--help` teaches; errors say what to do next; nothing secret is an argument
//! or an environment variable.

mod admin;
mod anchor;
mod arguments;
mod check;
mod dev;
mod init;
mod keyring_secret;
mod output;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use vault_ledger::OpenError;

use self::arguments::{Cli, Command};
use crate::config::Config;
use crate::process::hardening::{self, Warning};
use crate::telemetry::logs;

/// Runs the command line and returns the process's exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Before the first secret is read, whatever the command.
    let warnings = hardening::harden();
    logs::quiet_panics();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are not failures, if they can be printed; clap knows.
            return match error.print() {
                Ok(()) => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
                Err(_) => ExitCode::FAILURE,
            };
        }
    };
    match dispatch(cli, &warnings) {
        Ok(code) => code,
        Err(error) => {
            output::note(format_args!("vault-server: {error:#}"));
            if let Some(refused) = error.downcast_ref::<OpenError>() {
                let code = refused.code();
                output::note(format_args!(
                    "code: {code} (see \"Refused starts\" in docs/OPERATIONS.md)"
                ));
            }
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli, warnings: &[Warning]) -> anyhow::Result<ExitCode> {
    if !matches!(cli.command, Command::Serve { .. } | Command::Dev { .. }) {
        logs::init_for_command()?;
    }
    let load = || Config::load(cli.config.as_deref());
    match cli.command {
        Command::Init { vault_id } => init::run(&load()?, vault_id),
        Command::Serve { accept_damage } => serve::run(&load()?, warnings, accept_damage),
        Command::Dev { listen } => dev::run(listen),
        Command::Tenant(command) => admin::tenant(&load()?, command),
        Command::Account(command) => admin::account(&load()?, command),
        Command::Anchor(command) => anchor::run(&load()?, command),
        Command::Check => check::run(&load()?),
        Command::Fingerprint => admin::fingerprint(&load()?),
    }
}
