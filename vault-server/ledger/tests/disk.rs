//! Power loss, a sick disk, and SIGKILL, at every call that a ledger makes on its files.
//!
//! A process of its own works on a vault above the layer of `vault_disk`, which records what reaches the
//! disk and in which order, and the answers of the process in between. From that journal these tests
//! make every state that a disk may be in after a power loss, open it, and compare it with a model.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails its test")]

mod common;

mod disk {
    pub mod home;
    pub mod sweep;
    pub mod workload;
}

use std::ops::Range;
use std::thread;

use disk::home::{Home, new_home};
use disk::sweep::{self, Violation};
use disk::workload::{self, LONG, REBUILT, Said, USUAL};
use vault_disk::journal::{Event, Record};
use vault_disk::replay::Loss;
use vault_disk::shim::{Fail, Fault, Kill, Layer, Skip};

/// Not a test of its own: the process that the others start.
#[test]
fn child() {
    disk::home::work_if_asked();
}

/// The first place in a journal, from this one on, for which this holds.
fn find(records: &[Record], from: usize, wanted: impl Fn(&Event) -> bool) -> usize {
    let found = records[from..]
        .iter()
        .position(|record| wanted(&record.event));
    from + found.expect("the journal has it")
}

fn is_note(event: &Event, text: &str) -> bool {
    matches!(event, Event::Note(note) if note.trim_end() == text)
}

fn is_sync_of(event: &Event, name: &str) -> bool {
    matches!(event, Event::Sync(path) if path.ends_with(name))
}

fn said(records: &[Record]) -> Said {
    let mut said = Said::default();
    for record in records {
        if let Event::Note(note) = &record.event {
            said.hear(note);
        }
    }
    said
}

/// The work from its beginning to its end on a disk that is in order.
fn undisturbed() -> Option<Vec<Record>> {
    let home = Home::new()?;
    let records = home.run(Layer::default());
    home.assert_complete(&records);
    assert_eq!(said(&records).answered, USUAL.rounds);
    let records = records.into_iter();
    Some(records.filter(|record| record.call != 0).collect())
}

/// The calls that the quick tests disturb: all that sync, and every fifth of the others.
fn quick(records: &[Record]) -> Vec<u64> {
    let chosen = |record: &&Record| record.event.is_sync() || record.call.is_multiple_of(5);
    records
        .iter()
        .filter(chosen)
        .map(|record| record.call)
        .collect()
}

/// Runs this for each of these, on all processors, and collects the complaints.
fn for_each<T: Copy + Sync>(cases: &[T], check: impl Fn(T) -> Vec<String> + Sync) -> Vec<String> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let check = &check;
    thread::scope(|scope| {
        let running: Vec<_> = (0..workers)
            .map(|worker| {
                let own = cases.iter().skip(worker).step_by(workers);
                scope.spawn(move || own.flat_map(|case| check(*case)).collect::<Vec<_>>())
            })
            .collect();
        let complaints = running.into_iter().map(|one| one.join().unwrap());
        complaints.flatten().collect()
    })
}

// Fails when `Engine::replace_root` commits before it prepares the anchors.
#[test]
fn power_loss_at_any_moment_leaves_what_was_answered_and_nothing_half() {
    let Some(home) = Home::new() else { return };
    sweep_undisturbed(&home, 1);
}

/// `cargo test -p vault-ledger --test disk -- --ignored` runs this and the other full sweeps.
#[test]
#[ignore = "takes minutes"]
fn power_loss_at_any_moment_with_many_draws() {
    let Some(home) = Home::new() else { return };
    sweep_undisturbed(&home, 12);
}

fn sweep_undisturbed(home: &Home, draws: u64) {
    let records = home.run(Layer::default());
    home.assert_complete(&records);
    assert_eq!(said(&records).answered, USUAL.rounds);
    let all: Vec<_> = (0..records.len()).collect();
    let swept = sweep::power_loss(&home.place(), &records, &all, &sweep::losses(draws));
    assert!(swept.states > records.len(), "{} states", swept.states);
    assert_eq!(swept.violations, []);
}

/// The first checkpoint while the vault is served: from the WAL's own sync to the
/// database's.
fn checkpoint(records: &[Record]) -> Range<usize> {
    let served = find(records, 0, |event| is_note(event, "answered 1"));
    let end = find(records, served, |event| is_sync_of(event, "ledger.db"));
    assert!(
        said(&records[..end]).answered < LONG.rounds,
        "the WAL was never too long"
    );
    let syncs = |record: &Record| is_sync_of(&record.event, "ledger.db-wal");
    let begin = records[..end].iter().rposition(syncs);
    begin.expect("a checkpoint begins with the WAL's sync")..end + 1
}

#[test]
fn power_loss_while_a_long_wal_is_checkpointed_leaves_what_was_answered() {
    let Some(home) = Home::with(LONG) else { return };
    let records = home.run(Layer::default());
    home.assert_complete(&records);
    assert_eq!(said(&records).answered, LONG.rounds);
    let Range { start, end } = checkpoint(&records);
    // And when the next batches overwrite the WAL.
    let after: Vec<_> = (start - 5..end + 30).collect();
    let losses = [Loss::Everything, Loss::Files(0)];
    let swept = sweep::power_loss(&home.place(), &records, &after, &losses);
    assert_eq!(swept.violations, []);
    // The batch before may be answered while this fails.
    for call in [start, end - 1].map(|place| records[place].call) {
        let home = Home::with(LONG).expect("the layer is compiled");
        let records = home.run(failed_sync(call));
        let failed = find(&records, 0, Event::is_failure);
        assert_eq!(
            after_failure(&home, &records, failed, 2),
            Vec::<String>::new()
        );
    }
}

// The WAL of a killed process is not empty, and SQLite would lay it over the new database. Fails when
// `Store::replace` does not write it back first, does not remove it, or removes it later.
#[test]
fn power_loss_or_a_kill_while_a_database_is_rebuilt_leaves_what_was_answered() {
    let Some(home) = Home::with(REBUILT) else {
        return;
    };
    let records = home.run(Layer::default());
    home.assert_complete(&records);
    assert_eq!(said(&records).answered, REBUILT.rounds);
    let killed = Layer {
        kill: Some(Kill::Before(commit_sync(&records, REBUILT.rounds))),
        ..Layer::default()
    };
    let losses = [Loss::Everything, Loss::Nothing, Loss::Files(0)];
    let violations = start_again_in(Home::with(REBUILT), killed, Layer::default(), &losses);
    assert_eq!(violations, []);
}

// Controls: these tests can fail, because with a disk that lies in one place they
// say the opposite.
#[test]
fn a_disk_that_passes_over_one_file_s_syncs_is_found() {
    for file in ["/anchor", "ledger.db-wal", "ledger.db"] {
        let Some(home) = Home::new() else { return };
        let skip = Some(Skip::Syncs(file));
        let records = home.run(Layer {
            skip,
            ..Layer::default()
        });
        assert_eq!(said(&records).answered, USUAL.rounds);
        let losses = [Loss::Everything, Loss::Files(0)];
        let all: Vec<_> = (0..records.len()).collect();
        let swept = sweep::power_loss(&home.place(), &records, &all, &losses);
        assert_ne!(
            swept.violations,
            [],
            "nothing found without syncs of {file}"
        );
    }
}

/// A process that stops or is killed here; then a start; then, at any moment of that start, a power
/// loss.
fn start_again(first: Layer, second: Layer, losses: &[Loss]) -> Vec<Violation> {
    start_again_in(Home::new(), first, second, losses)
}

fn start_again_in(
    home: Option<Home>,
    first: Layer,
    second: Layer,
    losses: &[Loss],
) -> Vec<Violation> {
    let home = home.expect("the layer is compiled");
    let before = home.run(first);
    let mut records = home.run(second);
    assert!(!is_note(&before[before.len() - 1].event, "done"));
    let opened = find(&records, before.len(), |event| is_note(event, "open"));
    records.truncate(opened + 1);
    let start: Vec<_> = (before.len()..records.len()).collect();
    sweep::power_loss(&home.place(), &records, &start, losses).violations
}

fn failed_sync(call: u64) -> Layer {
    let fail = Fail {
        call,
        with: Fault::Broken,
        from_then_on: false,
    };
    Layer {
        fail: Some(fail),
        ..Layer::default()
    }
}

/// The call that makes a round's transaction durable.
fn commit_sync(records: &[Record], round: usize) -> u64 {
    let answered = find(records, 0, |event| {
        is_note(event, &format!("answered {round}"))
    });
    let before = records[..answered].iter().rev();
    let mut syncs = before.filter(|record| is_sync_of(&record.event, "ledger.db-wal"));
    syncs.next().expect("a commit syncs the WAL").call
}

// The WAL's last frames are in the page cache, called clean, and not on the disk. SQLite reads them,
// and its own sync before the checkpoint does nothing.
#[test]
fn a_start_that_does_not_write_the_wal_again_is_found() {
    let Some(home) = Home::new() else { return };
    let records = home.run(Layer::default());
    let skip = Some(Skip::Until {
        opened: "/ledger.db",
        path: "/ledger.db-wal",
    });
    let losses = sweep::losses(1);
    let mut found = Vec::new();
    // The first after a start: later ones change pages that the WAL has in an older state,
    // and those would repair the database.
    for round in [1, 5, 9] {
        let fail = || failed_sync(commit_sync(&records, round));
        let without = Layer {
            skip,
            ..Layer::default()
        };
        found.extend(start_again(fail(), without, &losses));
        // Fails when `Store::open` does not call `Wal::make_durable`, or that does not call `rewrite`.
        assert_eq!(start_again(fail(), Layer::default(), &losses), []);
    }
    assert_ne!(found, []);
}

#[test]
fn power_loss_while_a_stopped_or_killed_vault_starts_again_leaves_what_was_answered() {
    let Some(home) = Home::new() else { return };
    let records = home.run(Layer::default());
    let calls = calls_between(&records, "answered 2", "answered 3");
    start_again_after_each(&calls, &[Loss::Everything, Loss::Files(0)]);
}

#[test]
#[ignore = "takes minutes"]
fn power_loss_while_a_vault_that_stopped_anywhere_starts_again() {
    let Some(home) = Home::new() else { return };
    let records = home.run(Layer::default());
    let calls = calls_between(&records, "open", "done");
    start_again_after_each(&calls, &sweep::losses(1));
}

/// The calls that sync files between the first of two notes and the next of the other. (SQLite does
/// not stop when a folder's sync fails.)
fn calls_between(records: &[Record], begin: &str, end: &str) -> Vec<u64> {
    let begin = find(records, 0, |event| is_note(event, begin));
    let end = find(records, begin, |event| is_note(event, end));
    let of_file = |event: &Event| match event {
        Event::Sync(path) => !path.ends_with("vault/data"),
        _ => false,
    };
    let syncs = records[begin..end].iter().filter(|one| of_file(&one.event));
    syncs.map(|record| record.call).collect()
}

fn start_again_after_each(calls: &[u64], losses: &[Loss]) {
    let killed = |kill| Layer {
        kill: Some(kill),
        ..Layer::default()
    };
    for &call in calls {
        let violations = start_again(failed_sync(call), Layer::default(), losses);
        assert_eq!(violations, [], "the sync of call {call} had failed");
        let violations = start_again(killed(Kill::Before(call)), Layer::default(), losses);
        assert_eq!(violations, [], "killed before call {call}");
    }
}

/// One run in which a call fails: nothing is answered after it, and the vault is in order.
fn disturb(home: &Home, fail: Fail, reach: usize) -> Vec<String> {
    let records = home.run(Layer {
        fail: Some(fail),
        ..Layer::default()
    });
    let Some(failed) = records.iter().position(|record| record.event.is_failure()) else {
        return vec![format!("{fail:?} did not happen")];
    };
    let mut complaints = after_failure(home, &records, failed, reach);
    let answer = records[failed..]
        .iter()
        .find(|record| matches!(&record.event, Event::Note(note) if !note.starts_with("stopped")));
    if let (Some(answer), false) = (answer, sqlite_passes_over(home, &records, failed)) {
        let (failure, answer) = (&records[failed].event, &answer.event);
        complaints.push(format!("{answer:?} after {failure:?}"));
    }
    for complaint in &mut complaints {
        complaint.insert_str(0, &format!("{fail:?}: "));
    }
    complaints
}

/// After a failed call, all answered changes are there and none by half: after a power loss at one of the
/// next records, and in the files as they are.
fn after_failure(home: &Home, records: &[Record], failed: usize, reach: usize) -> Vec<String> {
    let losses = [
        Loss::Everything,
        Loss::Files(0),
        Loss::Sectors { seed: 0, kept: 50 },
    ];
    let after: Vec<_> = (failed..records.len()).take(reach).collect();
    let swept = sweep::power_loss(&home.place(), records, &after, &losses);
    let violations = swept.violations.iter();
    let mut complaints: Vec<_> = violations.map(|one| format!("{one:?}")).collect();
    complaints.extend(workload::check(&home.place(), said(records)).err());
    complaints
}

/// SQLite ignores it when it cannot sync the folder of a file of which it has just made the first
/// sync. The names are durable then by the ledger's own syncs of the folder; the sweep over the rest
/// of such a run shows it.
fn sqlite_passes_over(home: &Home, records: &[Record], failed: usize) -> bool {
    let folder = home.root().join("vault/data");
    let is_folder = records[failed].event == Event::FailedSync(folder);
    let before = records[..failed].iter().rev();
    let mut before = before.filter(|record| !matches!(record.event, Event::Note(_)));
    let of_sqlite = |event: &Event| {
        [
            "ledger.db-wal",
            "ledger.db-journal",
            "ledger.db.new-journal",
        ]
        .iter()
        .any(|name| is_sync_of(event, name))
    };
    is_folder && before.next().is_some_and(|record| of_sqlite(&record.event))
}

// Fails when `Store::commit`, or `FileAnchor::write`, passes over an error.
#[test]
fn after_a_refused_write_or_sync_nothing_is_answered_and_what_was_is_there() {
    let Some(records) = undisturbed() else { return };
    let complaints = for_each(&quick(&records), |call| {
        let (with, from_then_on) = match call % 3 {
            0 => (Fault::Broken, false),
            1 => (Fault::Full, true),
            _ => (Fault::Short, false),
        };
        let fail = Fail {
            call,
            with,
            from_then_on,
        };
        disturb(&new_home(), fail, 40)
    });
    assert_eq!(complaints, Vec::<String>::new());
}

#[test]
#[ignore = "takes minutes"]
fn every_refused_call_with_every_error() {
    let Some(records) = undisturbed() else { return };
    let mut cases = Vec::new();
    for call in records.iter().map(|record| record.call) {
        for with in [Fault::Broken, Fault::Full, Fault::Short] {
            cases.extend([false, true].map(|from_then_on| Fail {
                call,
                with,
                from_then_on,
            }));
        }
    }
    let complaints = for_each(&cases, |fail| disturb(&new_home(), fail, usize::MAX));
    assert_eq!(complaints, Vec::<String>::new());
}

fn kill(kill: Kill) -> Vec<String> {
    let home = new_home();
    let records = home.run(Layer {
        kill: Some(kill),
        ..Layer::default()
    });
    let mut complaints = Vec::new();
    if records.iter().any(|record| is_note(&record.event, "done")) {
        complaints.push(format!("{kill:?} did not happen"));
    }
    if let Err(reason) = workload::check(&home.place(), said(&records)) {
        complaints.push(format!("{kill:?}: {reason}"));
    }
    complaints
}

fn kill_around(call: u64) -> Vec<String> {
    let mut complaints = kill(Kill::Before(call));
    complaints.extend(kill(Kill::After(call)));
    complaints
}

#[test]
fn a_kill_at_any_moment_leaves_what_was_answered_and_nothing_half() {
    let Some(records) = undisturbed() else { return };
    let complaints = for_each(&quick(&records), kill_around);
    assert_eq!(complaints, Vec::<String>::new());
}

#[test]
#[ignore = "takes minutes"]
fn a_kill_at_every_call() {
    let Some(records) = undisturbed() else { return };
    let calls: Vec<_> = records.iter().map(|record| record.call).collect();
    assert_eq!(for_each(&calls, kill_around), Vec::<String>::new());
}
