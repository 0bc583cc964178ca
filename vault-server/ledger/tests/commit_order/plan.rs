//! The order of the steps, which this model is about.

use std::fmt;

use crate::disk::{Set, mirror_name};
use crate::rules::{Rule, Rules};

/// An offline command of the operator, repeated until it is through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    Remove(u8),
    Add(u8),
}

/// The task of a running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    Start,
    Command(Command),
    Charge(u8),
    Idle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    RewriteWal,
    SyncWal,
    Open,
    Begin,
    Prepare(u8),
    SyncPrepared(u8),
    Commit,
    SyncCommit,
    Erase(u8),
    SyncErased(u8),
    Answer,
}

/// The steps of a task, in their order.
pub fn plan(task: Task, mirrors: Set, rules: Rules) -> Vec<Step> {
    let mut plan = Vec::new();
    if matches!(task, Task::Start | Task::Command(_)) {
        // Off: the bytes stay as they are, and a sync finds nothing to write.
        if rules.keep(Rule::WalRewrittenAtStart) {
            plan.push(Step::RewriteWal);
        }
        if rules.keep(Rule::WalSyncedAtStart) {
            plan.push(Step::SyncWal);
        }
        plan.push(Step::Open);
    }
    match task {
        Task::Idle => {}
        // Off: the state that was opened is served as it is.
        Task::Start if !rules.keep(Rule::FullBatchAtStart) => plan.push(Step::Answer),
        Task::Start | Task::Command(_) | Task::Charge(_) => plan.extend(batch(mirrors, rules)),
    }
    plan
}

/// The commit order. A rule that is off moves a step behind the one that should wait for it, or
/// leaves the second mirror out.
fn batch(mirrors: Set, rules: Rules) -> Vec<Step> {
    let (prepare, synced_late) = prepare(mirrors, rules);
    let (erase, erased_late) = erase(mirrors, rules);
    let mut plan = vec![Step::Begin];
    if rules.keep(Rule::PrepareBeforeCommit) {
        plan.extend(prepare);
        plan.push(Step::Commit);
    } else {
        plan.push(Step::Commit);
        plan.extend(prepare);
    }
    if rules.keep(Rule::CommitSyncedBeforeErase) {
        plan.push(Step::SyncCommit);
        plan.extend(synced_late);
        if rules.keep(Rule::EraseBeforeAnswer) {
            plan.extend(erase);
            plan.push(Step::Answer);
        } else {
            plan.push(Step::Answer);
            plan.extend(erase);
        }
        plan.extend(erased_late);
    } else {
        plan.extend(erase);
        plan.extend([Step::SyncCommit, Step::Answer]);
    }
    plan
}

/// The writes and syncs of prepare, and the syncs that wait until COMMIT is through.
fn prepare(mirrors: Set, rules: Rules) -> (Vec<Step>, Vec<Step>) {
    let on = rules.keep(Rule::PrepareOnEveryMirror);
    let (mut now, mut late) = (Vec::new(), Vec::new());
    for mirror in chosen(mirrors, on) {
        now.push(Step::Prepare(mirror));
        let sync = Step::SyncPrepared(mirror);
        if rules.keep(Rule::PrepareSyncedBeforeCommit) {
            now.push(sync);
        } else {
            late.push(sync);
        }
    }
    (now, late)
}

/// The writes and syncs of the erasing, and the syncs that wait until the answer has left.
fn erase(mirrors: Set, rules: Rules) -> (Vec<Step>, Vec<Step>) {
    let on = rules.keep(Rule::EraseOnEveryMirror);
    let (mut now, mut late) = (Vec::new(), Vec::new());
    for mirror in chosen(mirrors, on) {
        now.push(Step::Erase(mirror));
        let sync = Step::SyncErased(mirror);
        if rules.keep(Rule::EraseSyncedBeforeAnswer) {
            now.push(sync);
        } else {
            late.push(sync);
        }
    }
    (now, late)
}

fn chosen(mirrors: Set, every: bool) -> impl Iterator<Item = u8> {
    mirrors.members().take(if every { 8 } else { 1 })
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |mirror: &u8| mirror_name(*mirror);
        match self {
            Self::RewriteWal => formatter.write_str("write the WAL's bytes again"),
            Self::SyncWal => formatter.write_str("sync the WAL"),
            Self::Open => formatter.write_str("open the root"),
            Self::Begin => formatter.write_str("draw sequence and root key"),
            Self::Prepare(mirror) => write!(formatter, "write prepare on {}", name(mirror)),
            Self::SyncPrepared(mirror) => write!(formatter, "sync prepare on {}", name(mirror)),
            Self::Commit => formatter.write_str("COMMIT"),
            Self::SyncCommit => formatter.write_str("sync COMMIT"),
            Self::Erase(mirror) => write!(formatter, "erase the former slot on {}", name(mirror)),
            Self::SyncErased(mirror) => write!(formatter, "sync the erase on {}", name(mirror)),
            Self::Answer => formatter.write_str("answer"),
        }
    }
}
