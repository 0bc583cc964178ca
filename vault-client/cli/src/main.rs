//! The command line of a device; see [`vault_client_cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    vault_client_cli::run(std::env::args_os())
}
