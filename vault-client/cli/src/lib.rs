//! `vault-client`: what a device does with a backup key vault, as a command line. Prompts,
//! progress, exit codes and one file of state; the cryptography is all in the library.
//!
//! | module | what |
//! |---|---|
//! | `arguments` | commands, options and the help |
//! | `commands` | one module a command |
//! | `connection` | where the vault is, how it is reached, what is pinned |
//! | `device` | what a device keeps, and the file it keeps it in |
//! | `secrets` | passwords, keys and tokens, from files and prompts only |
//! | `work` | slow work: progress, repeats, Ctrl-C |
//! | `code`, `failure`, `output` | exit codes, text and JSON |
//! | `hardening` | no core dumps |

mod arguments;
mod code;
mod commands;
mod connection;
mod device;
mod failure;
mod hardening;
mod output;
mod secrets;
mod work;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use self::arguments::Arguments;
use self::failure::Failure;

// For the decoders that are fuzzed.
#[doc(hidden)]
pub use self::{
    commands::fingerprint::shown_in, device::StateFile, output::Screen,
    secrets::read_file as read_secret_file,
};

/// What every command needs to know.
pub(crate) struct Context {
    screen: Screen,
    state: PathBuf,
}

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
            misused(&error, is_json)
        }
    }
}

fn execute(arguments: Arguments) -> ExitCode {
    let screen = Screen::new(arguments.json);
    let result = device::state_path(arguments.state)
        .map_err(Failure::from)
        .and_then(|state| in_runtime(Context { screen, state }, arguments.command));
    match result {
        Ok(outcome) => screen.finish(&outcome),
        Err(failure) => screen.fail(&failure),
    }
}

fn in_runtime(context: Context, command: arguments::Command) -> Result<output::Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(error.into()))?;
    let result = runtime.block_on(commands::run(&context, command));
    // After Ctrl-C a stretching may still run; nobody waits for it.
    runtime.shutdown_background();
    result
}

fn misused(error: &clap::Error, is_json: bool) -> ExitCode {
    let is_answer = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let printed = error.print();
    if is_answer {
        return match printed {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => Screen::new(is_json).fail(&Failure::Other(error.into())),
        };
    }
    // Of a misuse the exit code says enough, where nobody can read the words.
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    let failure = Failure::Usage(message);
    Screen::new(is_json).fail_silently(&failure)
}
