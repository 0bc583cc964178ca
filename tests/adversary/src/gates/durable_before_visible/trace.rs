//! The output of `strace`, as batches and answers.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use vault_protocol::inner_http::PADDED_LEN;

/// What SQLite writes in front of every page in its write-ahead log, `ledger.db-wal`, and nowhere
/// else (SQLite's file format, section 4.1). All other writes of its files are longer.
const FRAME_HEADER_LEN: usize = 24;

/// The anchor is written in pieces of this length.
const SLOT_LEN: usize = 4096;

/// What matters of a trace, each by the numbers of its lines. The tracer holds a thread at the entry
/// and at the return of each call until it has written that down, so the lines of two calls of which
/// one waited for the other are in order.
pub struct Timeline {
    pub batches: Vec<Batch>,
    pub answers: Vec<Answer>,
}

/// A whole batch.
pub struct Batch {
    /// The entry of the prepare's write.
    begun: usize,
    /// The return of the erasing's sync.
    ended: usize,
}

/// A sealed answer.
pub struct Answer {
    /// The return of the read that began its request.
    read: usize,
    /// The entry of its write.
    written: usize,
}

/// A system call. Other threads' calls may lie between its two lines.
struct Call<'a> {
    thread: &'a str,
    /// The number of the line on which it was entered.
    entered: usize,
    /// The number of the line on which it had returned.
    returned: usize,
    name: &'a str,
    /// The first argument, if it is a descriptor.
    descriptor: Option<usize>,
    /// How many bytes, or which descriptor. Calls that failed are left out.
    result: usize,
}

impl Timeline {
    /// Names are not looked at: of a server that is hardened against debuggers, an unprivileged
    /// tracer sees descriptors and lengths, and no memory.
    pub fn read(trace: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(trace)?;
        let calls = calls(&text);
        Ok(Self {
            batches: batches(&calls),
            answers: answers(&calls),
        })
    }

    /// Whether a whole batch lies between the request and its answer.
    pub fn is_durable(&self, answer: &Answer) -> bool {
        let lies_between =
            |batch: &Batch| answer.read < batch.begun && batch.ended < answer.written;
        self.batches.iter().any(lies_between)
    }
}

impl Call<'_> {
    fn is_write(&self) -> bool {
        self.name == "pwrite64"
    }

    /// The log has a header too, which is written and synced before the first frame.
    fn is_frame(&self) -> bool {
        self.is_write() && self.result == FRAME_HEADER_LEN
    }

    fn is_sync(&self) -> bool {
        matches!(self.name, "fsync" | "fdatasync")
    }
}

/// One thread makes all batches but the start's, so its calls are in order. A batch that lacks one of
/// its parts, or has them in another order, is none.
fn batches(calls: &[Call]) -> Vec<Batch> {
    let Some(last) = calls.iter().rfind(|call| call.is_frame()) else {
        return Vec::new();
    };
    let (thread, log) = (last.thread, last.descriptor);
    let of_writer: Vec<_> = calls.iter().filter(|call| call.thread == thread).collect();
    let Some(anchor) = anchor(&of_writer, log) else {
        return Vec::new();
    };
    let (mut logged, mut slot) = (false, None);
    let (mut prepared, mut committed) = (None, None);
    let mut batches = Vec::new();
    for call in of_writer {
        if call.is_frame() {
            logged = true;
        } else if call.descriptor == log && call.is_sync() && logged {
            (logged, committed) = (false, prepared.take());
        } else if call.descriptor == Some(anchor) && call.is_write() {
            slot = Some(call.entered);
        } else if call.descriptor == Some(anchor) && call.is_sync() {
            match (slot.take(), committed.take()) {
                (Some(_), Some(begun)) => batches.push(Batch {
                    begun,
                    ended: call.returned,
                }),
                (written, _) => prepared = written,
            }
        }
    }
    batches
}

/// The first that is written to in pieces of a slot when frames of the log have been synced: the
/// erasing of the first batch. (A checkpoint writes the database in such pieces, but not before the
/// log is long.)
fn anchor(of_writer: &[&Call], log: Option<usize>) -> Option<usize> {
    let frame = of_writer.iter().position(|call| call.is_frame())?;
    let mut rest = of_writer[frame..].iter();
    rest.find(|call| call.descriptor == log && call.is_sync())?;
    let is_slot =
        |call: &&&&Call| call.is_write() && call.descriptor != log && call.result == SLOT_LEN;
    rest.find(|call| is_slot(&call))?.descriptor
}

/// Sealed answers are told by their length.
fn answers(calls: &[Call]) -> Vec<Answer> {
    let mut connections: HashMap<usize, Option<usize>> = HashMap::new();
    let mut answers = Vec::new();
    for call in calls {
        let Some(descriptor) = call.descriptor else {
            continue;
        };
        match call.name {
            "accept" | "accept4" => drop(connections.insert(call.result, None)),
            "recvfrom" | "recvmsg" if call.result > 0 => {
                if let Some(read) = connections.get_mut(&descriptor) {
                    read.get_or_insert(call.returned);
                }
            }
            "write" | "writev" | "sendto" | "sendmsg" => {
                let request = connections.get_mut(&descriptor).and_then(Option::take);
                answers.extend(request.filter(|_| call.result >= PADDED_LEN).map(|read| {
                    let written = call.entered;
                    Answer { read, written }
                }));
            }
            _ => {}
        }
    }
    answers
}

/// The completed calls of a trace, in the order in which they returned. A line is
/// `PID TIME name(arguments) = result`; a call during which another thread's call was seen is in
/// two parts, `… <unfinished ...>` and `<... name resumed> …`.
fn calls(trace: &str) -> Vec<Call<'_>> {
    let mut unfinished = HashMap::new();
    let mut calls = Vec::new();
    for (line, text) in trace.lines().enumerate() {
        let Some((thread, text)) = parts(text) else {
            continue;
        };
        if text.ends_with("<unfinished ...>") {
            unfinished.insert(thread, (line, text));
            continue;
        }
        let (entered, head) = match text.strip_prefix("<... ") {
            Some(_) => match unfinished.remove(thread) {
                Some(begun) => begun,
                None => continue,
            },
            None => (line, text),
        };
        calls.extend(call(thread, (entered, head), (line, text)));
    }
    calls
}

fn parts(line: &str) -> Option<(&str, &str)> {
    let (thread, rest) = line.split_once(char::is_whitespace)?;
    let (_time, text) = rest.trim_start().split_once(' ')?;
    Some((thread, text))
}

fn call<'a>(
    thread: &'a str,
    (entered, head): (usize, &'a str),
    (returned, tail): (usize, &'a str),
) -> Option<Call<'a>> {
    let (name, arguments) = head.split_once('(')?;
    let first = arguments.split([',', ')', ' ']).next()?;
    let (_, result) = tail.rsplit_once(" = ")?;
    Some(Call {
        thread,
        entered,
        returned,
        name,
        descriptor: first.parse().ok(),
        result: result.split(' ').next()?.parse().ok()?,
    })
}
