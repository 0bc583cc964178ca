//! The order of a charge, its sync, the erasing of the former key and the answer, as the kernel sees
//! it: `strace` looks at a real server. Without that tool the test is skipped and says so, or fails if
//! VAULT_TESTS_REQUIRE_TOOLS=1.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use vault_protocol::sealed::PADDED_LEN;
use vault_tests::device::Guess;
use vault_tests::process_calls::{Calls, granted};
use vault_tests::process_server::ServerOptions;

use crate::support::{PASSWORD, start};

const GUESSES: usize = 20;

/// What SQLite writes in front of every page in its write-ahead log, `ledger.db-wal`, and nowhere
/// else (SQLite's file format, section 4.1). All other writes of its files are longer.
const FRAME_HEADER_LEN: usize = 24;

/// The anchor is written in pieces of this length. So is the database, but not before its log is
/// long.
const SLOT_LEN: usize = 4096;

/// Everything that writes, syncs, or gives out a descriptor.
const TRACED: &str = "trace=openat,accept,accept4,write,writev,pwrite64,pwritev,sendto,sendmsg,\
                      fsync,fdatasync";

/// A system call. Other threads' calls may lie between its two lines.
struct Call {
    /// The number of the line on which it was entered.
    entered: usize,
    /// The number of the line on which it had returned.
    returned: usize,
    /// `name(arguments) = result`.
    text: String,
}

/// What matters of a trace, each by the number of its line.
#[derive(Default)]
struct Timeline {
    /// Returns of two syncs: of one that made something durable that was written to the log before,
    /// and of the one that made the erasing durable that was begun after it.
    erased: Vec<(usize, usize)>,
    /// Entries of the writes of answers to clients.
    answers: Vec<usize>,
}

/// The writes of the answers are told by their length: the frames of HTTP/2 alone are shorter. The
/// guesses come one after the other, so each has a commit and a sync of its own.
///
/// Fails with `("synchronous", "NORMAL", "1")` in the ledger's `PRAGMAS`, and
/// without `anchors.erase` at the end of `Vault::replace_root`, or with it before the commit.
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_leaves_before_its_charge_is_durable_and_the_former_key_erased()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some((trace, launcher)) = tracer(folder.path()) else {
        return Ok(());
    };
    let options = ServerOptions {
        launcher,
        ..ServerOptions::default().without_waits(GUESSES + 1)
    };
    let mut server = start(options)?;
    let calls = Calls::connect(&server, "alice").await?;
    calls.register(PASSWORD).await?;
    // Its answer is behind everything that the registration wrote.
    calls.status().await?;
    for number in 0..GUESSES {
        let guess = Guess::new(calls.scope(), &format!("guess {number}"));
        granted(calls.start(&guess).await?)?;
    }
    // The end of its output is the end of the trace too.
    server.terminate()?;

    let timeline = Timeline::new(&read(&fs::read_to_string(trace)?))?;
    let first = timeline.answers.len().checked_sub(GUESSES + 1);
    let answers = &timeline.answers[first.context("answers are missing in the trace")?..];
    for (number, between) in answers.windows(2).enumerate() {
        let (former, answer) = (between[0], between[1]);
        let in_time = |(charged, erased): &(usize, usize)| *charged > former && *erased < answer;
        let is_final = timeline.erased.iter().any(in_time);
        assert!(is_final, "answer {number} left too early");
    }
    Ok(())
}

/// Where the trace will be, and the command that makes it. With `-D` the process that a test
/// starts, and stops, is the server itself.
fn tracer(folder: &Path) -> Option<(&'static str, &'static [&'static str])> {
    let mut probe = Command::new("strace");
    probe.args(["-D", "-o", "/dev/null", "true"]);
    let probed = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !probed.is_ok_and(|status| status.success()) {
        let required = std::env::var_os("VAULT_TESTS_REQUIRE_TOOLS").is_some_and(|v| v == "1");
        assert!(!required, "strace is missing, or may not trace");
        skipped();
        return None;
    }
    let file: &str = folder.join("trace").to_str()?.to_owned().leak();
    let launcher = [
        "strace", "-D", "-f", "-ttt", "-s", "0", "-e", TRACED, "-o", file,
    ];
    Some((file, launcher.to_vec().leak()))
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skipped() {
    eprintln!("skipped: strace is missing, or may not trace");
}

/// The completed calls of a trace, in the order in which they returned. A line is
/// `PID TIME name(arguments) = result`; a call during which another thread's call was seen is in
/// two parts, `… <unfinished ...>` and `<... name resumed> …`.
fn read(trace: &str) -> Vec<Call> {
    let mut unfinished = HashMap::new();
    let mut calls = Vec::new();
    for (line, text) in trace.lines().enumerate() {
        let mut words = text.splitn(2, char::is_whitespace);
        let (Some(process), Some(rest)) = (words.next(), words.next()) else {
            continue;
        };
        let Some((_time, text)) = rest.trim_start().split_once(' ') else {
            continue;
        };
        if let Some(head) = text.strip_suffix("<unfinished ...>") {
            unfinished.insert(process, (line, head));
            continue;
        }
        let (entered, text) = match text.strip_prefix("<... ") {
            Some(resumed) => {
                let tail = resumed.split_once(" resumed>").map(|(_, tail)| tail);
                let (Some(tail), Some((entered, head))) = (tail, unfinished.remove(process)) else {
                    continue;
                };
                (entered, format!("{head}{tail}"))
            }
            None => (line, text.to_owned()),
        };
        calls.push(Call {
            entered,
            returned: line,
            text,
        });
    }
    calls
}

impl Call {
    fn name(&self) -> &str {
        self.text.split('(').next().unwrap_or_default()
    }

    /// The first argument, if it is a descriptor.
    fn descriptor(&self) -> Option<usize> {
        let (_, arguments) = self.text.split_once('(')?;
        let end = arguments.find([',', ')', ' '])?;
        arguments[..end].parse().ok()
    }

    /// The result, if it is no error.
    fn result(&self) -> Option<usize> {
        let (_, result) = self.text.rsplit_once(" = ")?;
        result.split(' ').next()?.parse().ok()
    }
}

impl Timeline {
    /// Names are not looked at: of a server that is hardened against debuggers, an unprivileged
    /// tracer sees descriptors and lengths, and no memory.
    fn new(calls: &[Call]) -> anyhow::Result<Self> {
        let mut timeline = Self::default();
        let (mut log, mut clients) = (None, HashSet::new());
        let (mut written, mut committed, mut erasing) = (None, None, None);
        for call in calls {
            let Some(result) = call.result() else {
                continue;
            };
            let descriptor = call.descriptor();
            match call.name() {
                "openat" => drop(clients.remove(&Some(result))),
                "accept" | "accept4" => drop(clients.insert(Some(result))),
                "pwrite64" if result == FRAME_HEADER_LEN || descriptor == log => {
                    (log, written) = (descriptor, Some(call.returned));
                }
                "pwrite64" if result == SLOT_LEN && committed.is_some() => {
                    let begun_after = committed.take_if(|line| *line < call.entered);
                    erasing = begun_after.map(|synced| (descriptor, call.returned, synced));
                }
                "fsync" | "fdatasync" if descriptor == log => {
                    let charged = written.take_if(|line| *line < call.entered);
                    committed = charged.map(|_| call.returned);
                }
                "fsync" | "fdatasync" => {
                    let is_its =
                        |(file, line, _): &mut _| *file == descriptor && *line < call.entered;
                    let erased = erasing.take_if(is_its);
                    let both = erased.map(|(_, _, synced)| (synced, call.returned));
                    timeline.erased.extend(both);
                }
                _ if clients.contains(&descriptor) && result >= PADDED_LEN => {
                    timeline.answers.push(call.entered);
                }
                _ => {}
            }
        }
        log.context("nothing was written to the log")?;
        timeline.answers.sort_unstable();
        Ok(timeline)
    }
}
