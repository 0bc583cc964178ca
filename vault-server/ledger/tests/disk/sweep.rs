//! Power lost at every record of a journal, and the vault found then.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::{fmt, thread};

use tempfile::TempDir;
use vault_disk::journal::{Event, Record};
use vault_disk::replay::{self, Disk, Loss, Tree};

use super::workload::{self, Place, Said, Script};

/// A state of the disk from which the vault does not come back as it has to.
#[derive(PartialEq)]
pub struct Violation {
    /// The power was lost after so many records.
    pub after: usize,
    pub last: Event,
    pub loss: Loss,
    pub reason: String,
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = format!("{:?}", self.last);
        last.truncate(last.floor_char_boundary(160));
        write!(
            f,
            "power lost after {} records, the last {last}, losing {:?}: {}",
            self.after, self.loss, self.reason
        )
    }
}

/// In memory if there is a place for it: the tests make thousands of vaults.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    made.expect("there is a temporary folder")
}

/// The outcomes that a power loss is tried with: all, nothing, and these many draws of each kind.
pub fn losses(draws: u64) -> Vec<Loss> {
    let mut losses = vec![Loss::Everything, Loss::Nothing];
    for seed in 0..draws {
        losses.push(Loss::Files(seed));
        for kept in [50, 90, 10] {
            losses.push(Loss::Sectors { seed, kept });
        }
    }
    losses
}

/// The counts and complaints of a sweep.
pub struct Swept {
    /// How many different states of a disk were opened.
    pub states: usize,
    pub violations: Vec<Violation>,
}

/// Loses the power after each of these records of the journal, and returns the complaints.
pub fn power_loss(place: &Place, records: &[Record], after: &[usize], losses: &[Loss]) -> Swept {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    // Neighbours stay with one worker: they often leave the same.
    let parts = thread::scope(|scope| {
        let share = after.len().div_ceil(workers).max(1);
        let running: Vec<_> = after
            .chunks(share)
            .map(|part| scope.spawn(|| sweep_part(place, records, part, losses)))
            .collect();
        let joined = running.into_iter().map(|one| one.join());
        joined.collect::<Result<Vec<_>, _>>()
    });
    let mut swept = Swept {
        states: 0,
        violations: Vec::new(),
    };
    for part in parts.expect("a vault that does not open is no panic") {
        swept.states += part.states;
        swept.violations.extend(part.violations);
    }
    swept
}

fn sweep_part(place: &Place, records: &[Record], after: &[usize], losses: &[Loss]) -> Swept {
    let mut violations = Vec::new();
    let mut tried = HashSet::new();
    let mut disk = Disk::holding(&place.root, Tree::new());
    let mut said = Said::default();
    for (number, record) in records.iter().enumerate() {
        disk.apply(&record.event);
        if let Event::Note(note) = &record.event {
            said.hear(note);
        }
        if !after.contains(&number) {
            continue;
        }
        for &loss in losses {
            let tree = disk.after(loss.drawn_at(number));
            if !tried.insert(hash(&tree, said)) {
                continue;
            }
            if let Err(reason) = opened(&tree, place.script, said) {
                violations.push(Violation {
                    after: number + 1,
                    last: record.event.clone(),
                    loss,
                    reason,
                });
            }
        }
    }
    Swept {
        states: tried.len(),
        violations,
    }
}

fn hash(tree: &Tree, said: Said) -> u64 {
    let mut hasher = DefaultHasher::new();
    (tree, said).hash(&mut hasher);
    hasher.finish()
}

/// Makes a disk that holds this, and looks at the vault on it.
fn opened(tree: &Tree, script: Script, said: Said) -> Result<(), String> {
    let temporary = scratch();
    replay::store(temporary.path(), tree);
    let root = temporary.path().to_owned();
    workload::check(&Place { root, script }, said)
}
