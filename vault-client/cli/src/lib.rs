//! `vault-client`: the command line of a device that uses a backup key vault. Prompts, progress, exit
//! codes and one file of state. The cryptography and the device's state machine are in
//! the library `vault-client`.
//!
//! | module | content |
//! |---|---|
//! | `arguments` | commands, options and the help |
//! | `commands` | one module a command |
//! | `connection` | where the vault is, how it is reached, which fingerprints are pinned |
//! | `state` | the file that the device's state is kept in |
//! | `context` | screen, state and vault of a command |
//! | `secrets` | passwords, keys and tokens, from files and prompts only |
//! | `work` | slow work: progress and Ctrl-C |
//! | `code`, `error`, `output`, `words` | exit codes, text and JSON |
//! | `hardening` | no core dumps |

mod arguments;
mod code;
mod commands;
mod connection;
mod context;
mod error;
mod hardening;
mod output;
mod secrets;
mod state;
mod words;
mod work;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use clap::error::ErrorKind;

use self::arguments::{Arguments, Command};
use self::context::Context;
use self::error::CliError;
use self::output::Outcome;

// For the decoders that are fuzzed.
#[doc(hidden)]
pub use self::{
    commands::fingerprint::shown_in, output::Screen, secrets::read_file as read_secret_file,
    state::StateFile,
};

/// Runs the command line; the first argument is the program's name. The meaning of the exit codes
/// is part of `--help`.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Before any secret is read.
    hardening::harden();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match Arguments::try_parse_from(&arguments) {
        Ok(arguments) => execute(arguments),
        Err(error) => {
            // Nothing was parsed, so whether JSON was asked for has to be seen from outside.
            let is_json = arguments.iter().any(|argument| argument == "--json");
            misused(&error, Screen::new(is_json))
        }
    }
}

fn execute(arguments: Arguments) -> ExitCode {
    let screen = Screen::new(arguments.json);
    let result = state::path(arguments.state)
        .map_err(CliError::from)
        .and_then(|state| in_runtime(&Context { screen, state }, arguments.command));
    match result {
        Ok(outcome) => screen.finish(&outcome),
        Err(error) => screen.fail(&error),
    }
}

fn in_runtime(context: &Context, command: Command) -> Result<Outcome, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start: check the limits of this system")?;
    let result = runtime.block_on(commands::run(context, command));
    // After Ctrl-C a stretching may still run: its result is not wanted any more.
    runtime.shutdown_background();
    result
}

fn misused(error: &clap::Error, screen: Screen) -> ExitCode {
    let is_answer = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let printed = error.print();
    if is_answer {
        return match printed {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => screen.fail(&output::unprintable(&error)),
        };
    }
    // Of a misuse the exit code says enough, where the words cannot be printed.
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(first);
    screen.fail_silently(&CliError::usage(message))
}
