//! An anchor on a disk that does not give back one of its sectors.
//!
//! A program of its own: while a process starts another one, both hold its locks for a moment, and a
//! test beside this one would find the anchor that it has just closed still open.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails its test")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use common::{Home, identity};
use vault_disk::shim::{Layer, Shim};
use vault_ledger::{Ledger, Options};

const SICK_ANCHOR: &str = "VAULT_LEDGER_TEST_SICK_ANCHOR";

/// Not a test of its own: the process that opens a vault on a disk with bad sectors.
#[test]
fn child() {
    let Some(folder) = env::var_os(SICK_ANCHOR).map(PathBuf::from) else {
        return;
    };
    let options = Options::new(folder.join("vault"), folder.join("volume/anchor"));
    let said = match Ledger::open(options, identity()) {
        Ok(ledger) => ledger.close().map(|()| "open".to_owned()).unwrap(),
        Err(error) => error.to_string(),
    };
    fs::write(folder.join("said"), said).unwrap();
}

/// The start's words when the disk does not give back the byte at this offset of the anchor.
fn start_with_bad_sector(home: &Home, offset: usize) -> Option<String> {
    let shim = Shim::get(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    let folder = home.folder().parent().unwrap().canonicalize().unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    let layer = Layer {
        folders: vec![folder.clone()],
        ..Layer::default()
    };
    shim.put_below(&mut command, &layer);
    command
        .args(["child", "--exact"])
        .env(SICK_ANCHOR, &folder)
        .env("DISK_SHIM_FAIL_READ", format!("{offset}:/volume/anchor"))
        .stdout(Stdio::null());
    assert!(command.status().unwrap().success());
    Some(fs::read_to_string(folder.join("said")).unwrap())
}

// A power loss while a slot is written leaves this on some disks. Fails when `read_slots` passes the
// error on, or reads both slots at once.
#[test]
fn a_slot_with_a_bad_sector_is_like_a_torn_one_and_is_written_anew() {
    // At rest one slot holds the key and the other one a marker. Without the key nothing opens.
    let mut opened = Vec::new();
    for page in [0..4096, 4096..8192] {
        let home = Home::with_vault();
        let before = fs::read(home.anchor()).unwrap();
        let Some(said) = start_with_bad_sector(&home, page.start + 512) else {
            return;
        };
        let after = fs::read(home.anchor()).unwrap();
        opened.push(said == "open");
        if said == "open" {
            assert_ne!(after[page.clone()], before[page]);
        } else {
            assert!(
                said.starts_with("the database is not the latest one"),
                "{said}"
            );
            assert_eq!(after, before);
        }
        home.open().unwrap().close().unwrap();
    }
    opened.sort_unstable();
    assert_eq!(opened, [false, true]);
}
