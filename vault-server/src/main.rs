//! `vault-server`: arguments and wiring are in [`vault_server::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    vault_server::cli::run(std::env::args_os())
}
