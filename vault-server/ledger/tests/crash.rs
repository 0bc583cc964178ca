//! A process that is killed, or whose disk refuses to write, in the middle of its work.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails its test")]

mod common;

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use common::{Home, ONE, bytes, events, identity, polled, read};
use vault_ledger::{CommitError, Ledger, LedgerFailed, Options};

const FOLDER: &str = "VAULT_LEDGER_TEST_FOLDER";
const ANCHOR: &str = "VAULT_LEDGER_TEST_ANCHOR";

/// Not a test of its own: the process that the others start. Changes until it is stopped and says which
/// was answered.
#[test]
fn child() {
    let Some(folder) = env::var_os(FOLDER) else {
        return;
    };
    let anchor = env::var_os(ANCHOR).unwrap();
    let ledger = Ledger::open(Options::new(folder, anchor), identity()).unwrap();
    for number in 0_u64..5_000 {
        let change = move |batch: &mut vault_ledger::Batch<'_>| {
            batch.put(&ONE, bytes(&number.to_string()));
            batch.append_event(&ONE, number.to_string().as_bytes());
            Ok(number)
        };
        match ledger.commit_blocking(change) {
            Ok(number) => println!("answered {}", *number),
            Err(error) => {
                assert_eq!(error, CommitError::Stopped);
                break;
            }
        }
    }
    assert!(!ledger.is_healthy());
    assert!(polled(ledger.failed()).1.is_ready());
    let after = ledger.commit_blocking(|_| Ok(()));
    assert_eq!(after.unwrap_err(), CommitError::Stopped);
    assert_eq!(ledger.close(), Err(LedgerFailed));
    println!("stopped in order");
}

/// Starts `child` in a shell that first does this.
fn start(home: &Home, prelude: &str) -> Child {
    Command::new("sh")
        .arg("-c")
        .arg(format!("{prelude} exec \"$0\" child --exact --nocapture"))
        .arg(env::current_exe().unwrap())
        .env(FOLDER, home.folder())
        .env(ANCHOR, home.anchor())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn answered(line: &str) -> Option<u64> {
    let (_, number) = line.split_once("answered ")?;
    Some(number.parse().unwrap())
}

/// All answered changes are there, and at most the one more that was in flight.
fn assert_stored(home: &Home, last_answered: u64) {
    let ledger = home.open().unwrap();
    let stored = read(&ledger, ONE).unwrap().unwrap();
    let stored: u64 = stored.parse().unwrap();
    assert!(
        stored == last_answered || stored == last_answered + 1,
        "{stored} is stored, {last_answered} was answered"
    );
    let numbers: Vec<_> = (0..=stored).map(|number| number.to_string()).collect();
    assert_eq!(events(&ledger, ONE, usize::MAX).unwrap(), numbers);
}

// Fails when `Store::commit` does not run `COMMIT`.
#[test]
fn after_a_kill_everything_that_was_answered_is_there() {
    for _ in 0..3 {
        let home = Home::with_vault();
        let mut child = start(&home, "");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last = 0;
        while last < 150 {
            let line = lines.next().expect("the child goes on").unwrap();
            last = answered(&line).unwrap_or(last);
        }
        child.kill().unwrap();
        last = lines
            .map_while(Result::ok)
            .filter_map(|line| answered(&line))
            .last()
            .unwrap_or(last);
        child.wait().unwrap();
        assert_stored(&home, last);
    }
}

// Fails when `Store::commit` passes over the error of `COMMIT`.
#[test]
fn when_the_disk_refuses_a_write_the_ledger_stops_for_good() {
    let home = Home::with_vault();
    // A file of this process may have 2,000 blocks of 512 (in some shells 1,024) bytes; a longer write
    // is an error, not a signal.
    let child = start(&home, "trap '' XFSZ; ulimit -f 2000;");
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{stdout}");
    assert!(stdout.contains("stopped in order"), "{stdout}");
    let last = stdout.lines().filter_map(answered).next_back();
    assert_stored(&home, last.expect("something was answered before"));
}
