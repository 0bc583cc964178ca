//! The deeds of an attack: every server withstands an attack that does nothing.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

/// The counters of the attackers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// An attacker was let in for the first time.
    Arrived,
    /// A connection has dripped three times, and was still open after that.
    Dripped,
    /// A body has left but for its last byte.
    Sent,
    /// The vault has refused a body, or cut its sender.
    Refused,
    /// A nested body was opened and answered.
    Nested,
    /// A registration was started; its ticket came back.
    Ticket,
    /// A stream was opened and reset.
    Reset,
    /// The vault has cut a connection because of its resets.
    Cut,
}

const DEEDS: [(Deed, &str); 8] = [
    (Deed::Arrived, "attackers let in"),
    (Deed::Dripped, "slow connections that dripped"),
    (Deed::Sent, "bodies sent up to their last byte"),
    (Deed::Refused, "bodies refused"),
    (Deed::Nested, "nested bodies answered"),
    (Deed::Ticket, "tickets"),
    (Deed::Reset, "resets"),
    (Deed::Cut, "connections cut for them"),
];

/// Counts one attack's deeds. Clones count together.
#[derive(Clone, Default)]
pub struct Tally {
    counts: Arc<[AtomicU64; DEEDS.len()]>,
    /// Why an attacker failed: explains a low count.
    last_error: Arc<Mutex<Option<String>>>,
}

/// Where one attacker says that it is in, as often as it is.
#[derive(Clone)]
pub struct Arrival {
    ready: mpsc::Sender<()>,
    tally: Tally,
    was_in: Arc<AtomicBool>,
}

impl Tally {
    pub fn count(&self, deed: Deed) {
        self.add(deed, 1);
    }

    pub fn add(&self, deed: Deed, times: u64) {
        self.counts[deed as usize].fetch_add(times, Ordering::Relaxed);
    }

    pub fn of(&self, deed: Deed) -> u64 {
        self.counts[deed as usize].load(Ordering::Relaxed)
    }

    /// Keeps the first errors.
    pub fn note(&self, done: anyhow::Result<()>) {
        if let Err(error) = done {
            let mut last = self
                .last_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *last = Some(format!("{error:#}"));
        }
    }

    /// The last error, as half a sentence.
    pub fn trouble(&self) -> String {
        let last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match last.as_deref() {
            Some(error) => format!("; the last error: {error}"),
            None => String::new(),
        }
    }
}

impl Arrival {
    pub fn new(ready: mpsc::Sender<()>, tally: &Tally) -> Self {
        Self {
            ready,
            tally: tally.clone(),
            was_in: Arc::default(),
        }
    }

    /// An attacker that comes back is counted once.
    pub fn is_in(&self) {
        if !self.was_in.swap(true, Ordering::Relaxed) {
            self.tally.count(Deed::Arrived);
        }
        // The receiver is gone when all have arrived.
        let _ = self.ready.try_send(());
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// All deeds.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = DEEDS.iter().filter(|(deed, _)| self.of(*deed) > 0);
        let done = done.map(|(deed, what)| format!("{} {what}", self.of(*deed)));
        let done: Vec<_> = done.collect();
        match done.is_empty() {
            true => f.write_str("nothing"),
            false => f.write_str(&done.join(", ")),
        }
    }
}
