//! The command line where it needs no vault: help, the 64 digits, backups, exit codes.
//! `TRYCMD=overwrite` writes what it prints now into the cases.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

#[test]
fn the_help_teaches() {
    trycmd::TestCases::new().case("tests/cmd/help/*.trycmd");
}

#[test]
fn what_needs_no_vault_works_without_one() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd");
    for folder in ["key_only.in", "usage.in", "usage.in/state"] {
        let folder = fs::read_dir(cases.join(folder)).unwrap();
        folder.for_each(|entry| readable_by_others(&entry.unwrap().path()));
    }
    trycmd::TestCases::new()
        .env("HOME", "/nonexistent")
        .env("XDG_CONFIG_HOME", "")
        .env("VAULT_CLIENT_STATE", "state/device.json")
        .case("tests/cmd/*.trycmd");
}

// Fails if `misused` does not look whether the help was printed.
#[test]
fn help_that_cannot_be_printed_is_no_success() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vault-client"));
    let status = command.arg("--help").stdout(full).status();
    assert_eq!(status.unwrap().code(), Some(1));
}

/// Whatever mode a checkout gave: the program warns, and the cases show it.
fn readable_by_others(path: &Path) {
    if path.is_file() {
        let mode = fs::Permissions::from_mode(0o644);
        fs::set_permissions(path, mode).expect("a checkout is its owner's to change");
    }
}
