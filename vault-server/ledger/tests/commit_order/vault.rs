//! The steps of the vault. A step is atomic; anything may happen between two of them.

use std::cmp::Reverse;

use crate::disk::{Mirror, Root, Set, Slot, Stored};
use crate::plan::{Command, Step, Task};
use crate::rules::{Rule, Rules};
use crate::server::Server;
use crate::world::World;

/// The result of a step.
pub enum Outcome {
    Done(World),
    /// The server does not go on, and has changed nothing in this step.
    Refused(World),
}

/// A server that starts, as the operator's pending command or to serve.
pub fn starting(world: &World, folder: usize) -> Server {
    let held = world.databases[folder].cached;
    Server {
        task: world.command.map_or(Task::Start, Task::Command),
        done: 0,
        held,
        next: held,
        mirrors: world.configured,
        serves: None,
    }
}

/// Takes the server's next step, with everything that the medium may make of it.
pub fn advance(
    world: &World,
    folder: usize,
    server: Server,
    step: Step,
    rules: Rules,
) -> Vec<Outcome> {
    let mut worlds = match step {
        Step::Open => return vec![open(world, folder, server, rules)],
        Step::Begin => return vec![begin(world, folder, server, rules)],
        Step::RewriteWal => vec![with_database(
            world,
            folder,
            world.databases[folder].rewritten(),
        )],
        Step::SyncWal | Step::SyncCommit => {
            vec![with_database(
                world,
                folder,
                world.databases[folder].synced(),
            )]
        }
        Step::Commit => {
            let outcomes = world.databases[folder].appended(server.next);
            let write = |stored| with_database(world, folder, stored);
            outcomes.into_iter().map(write).collect()
        }
        Step::Prepare(mirror) => {
            let at = prepared_slot(world, mirror, &server.held, rules);
            with_slot(world, mirror, at, Slot::live(&server.next))
        }
        Step::Erase(mirror) => {
            let at = former_slot(world, mirror, &server);
            // The number of the batch that is kept: it says that this one was committed.
            let sequence = server.next.sequence;
            with_slot(world, mirror, at, Slot::Empty { sequence })
        }
        Step::SyncPrepared(mirror) | Step::SyncErased(mirror) => vec![synced(world, mirror)],
        Step::Answer => vec![answered(world, folder, server)],
    };
    for world in &mut worlds {
        if matches!(step, Step::Prepare(_) | Step::Commit) {
            world.highest_sequence = world.highest_sequence.max(server.next.sequence);
            world.go_on();
        }
        step_done(world, folder, rules);
    }
    worlds.into_iter().map(Outcome::Done).collect()
}

/// Opens the root: every anchor must be there, one of their candidates must open the database,
/// and the database must name these anchors.
fn open(world: &World, folder: usize, server: Server, rules: Rules) -> Outcome {
    let present = world.configured.minus(world.hidden);
    let added = match server.task {
        Task::Command(Command::Add(mirror)) => Set::EMPTY.with(mirror),
        _ => Set::EMPTY,
    };
    // The new anchor of an interrupted command takes part: it may be configured.
    let read = present.union(added);
    // Off: a start goes on with the anchors that are there.
    let missing = rules.keep(Rule::EveryMirrorPresent) && present != world.configured;
    let root = world.databases[folder].cached;
    let named = named_by_root(world);
    if missing
        || !candidates(world, read, rules).contains(&root.key)
        || !named.contains(&root.mirrors)
    {
        return refused(world, folder);
    }
    let mut world = world.clone();
    world.servers[folder] = Some(Server {
        held: root,
        next: root,
        mirrors: present.union(added),
        ..server
    });
    step_done(&mut world, folder, rules);
    Outcome::Done(world)
}

/// The keys that may open the database. Confirmed is the highest, over all anchors, of the lowest
/// sequence that the anchor shows: below it, an anchor was put back.
fn candidates(world: &World, present: Set, rules: Rules) -> Vec<u8> {
    let anchors = || present.members().map(|mirror| world.mirror(mirror));
    // Off: live slots only.
    let lowest_number = |anchor: &Mirror| match rules.keep(Rule::MarkersConfirm) {
        true => anchor.lowest_shown(),
        false => anchor.lowest_live(),
    };
    let confirmed = anchors().filter_map(lowest_number).max();
    // Off: any live slot will do.
    let lowest = confirmed
        .filter(|_| rules.keep(Rule::OldLiveSlotIsNoCandidate))
        .unwrap_or(0);
    let slots = anchors().flat_map(|anchor| anchor.content());
    let key = |slot| match slot {
        Slot::Live { sequence, key } if sequence >= lowest => Some(key),
        _ => None,
    };
    slots.filter_map(key).collect()
}

/// The sets of anchors that the root may name. A command that was interrupted is repeated, and
/// then its COMMIT may be through already.
fn named_by_root(world: &World) -> Vec<Set> {
    let configured = world.configured;
    match world.command {
        None => vec![configured],
        Some(Command::Remove(mirror) | Command::Add(mirror)) => {
            vec![configured, configured.with(mirror)]
        }
    }
}

/// Draws the sequence and the root key of a batch; every anchor must accept the sequence.
fn begin(world: &World, folder: usize, server: Server, rules: Rules) -> Outcome {
    let sequence = match server.task {
        Task::Start | Task::Command(_) => start_sequence(world, &server, rules),
        Task::Charge(_) | Task::Idle => server.held.sequence + 1,
    };
    let mut anchors = server.mirrors.members().map(|mirror| world.mirror(mirror));
    if anchors.any(|anchor| anchor.highest_shown() >= sequence) {
        return refused(world, folder);
    }
    let mut world = world.clone();
    let mut next = Root {
        sequence,
        mirrors: named_after(server.task, world.configured),
        ..server.held
    };
    // Off: the root is sealed under the key of the former one.
    if rules.keep(Rule::FreshRootKey) {
        world.keys_drawn += 1;
        next.key = world.keys_drawn;
    }
    if let Task::Charge(guess) = server.task {
        next.charged = next.charged.with(guess);
    }
    world.servers[folder] = Some(Server { next, ..server });
    step_done(&mut world, folder, rules);
    Outcome::Done(world)
}

/// A start's sequence. An unreadable slot may have shown any number; the random jump that a start
/// then makes stands here as a number that was never used.
fn start_sequence(world: &World, server: &Server, rules: Rules) -> u8 {
    // Off: the database's next one.
    if !rules.keep(Rule::SequenceAboveAllSeen) {
        return server.held.sequence + 1;
    }
    let anchors = || server.mirrors.members().map(|mirror| world.mirror(mirror));
    if anchors().any(|anchor| anchor.content().contains(&Slot::Unreadable)) {
        return world.highest_sequence + 1;
    }
    let shown = anchors().map(|anchor| anchor.highest_shown()).max();
    server.held.sequence.max(shown.unwrap_or(0)) + 1
}

fn named_after(task: Task, configured: Set) -> Set {
    match task {
        Task::Command(Command::Add(mirror)) => configured.with(mirror),
        Task::Command(Command::Remove(_)) | Task::Start | Task::Charge(_) | Task::Idle => {
            configured
        }
    }
}

/// The slot that prepare overwrites: not the one of the present root. A mirror that was put back
/// or is new may not hold that root; then not the slot with the lowest number, so that an
/// uncommitted sequence alone never raises the confirmed one.
fn prepared_slot(world: &World, mirror: u8, held: &Root, rules: Rules) -> usize {
    let anchor = world.mirror(mirror);
    match anchor.slot_of(held) {
        // Off: over the live one.
        Some(at) if !rules.keep(Rule::PrepareInTheOtherSlot) => at,
        Some(at) => 1 - at,
        None => {
            // One that cannot be read has no number to keep; of two equal ones the live one is kept.
            let worth = |slot: Slot| (slot.sequence().map(Reverse), slot.live_sequence().is_some());
            let [first, second] = anchor.content().map(worth);
            let keeps_first = second < first;
            // Off: over the one with the lowest number.
            usize::from(keeps_first == rules.keep(Rule::LaggingMirrorKeepsItsLowest))
        }
    }
}

/// The slot that the erasing overwrites: the former root's. A mirror that was put back or is new
/// may not hold it; then whatever is beside the new root.
fn former_slot(world: &World, mirror: u8, server: &Server) -> usize {
    let anchor = world.mirror(mirror);
    let beside_the_next = || anchor.slot_of(&server.next).map(|at| 1 - at);
    let former = anchor.slot_of(&server.held);
    former.or_else(beside_the_next).unwrap_or(0)
}

fn answered(world: &World, folder: usize, server: Server) -> World {
    let mut world = world.clone();
    let held = server.next;
    let acknowledges = matches!(server.task, Task::Charge(_));
    if acknowledges {
        world.acknowledged = world.acknowledged.union(held.charged);
    }
    let serves = match server.task {
        Task::Command(_) => None,
        Task::Start | Task::Charge(_) | Task::Idle => Some(held.charged),
    };
    world.servers[folder] = Some(Server {
        held,
        serves,
        ..server
    });
    world
}

fn with_database(world: &World, folder: usize, stored: Stored<Root>) -> World {
    let mut world = world.clone();
    world.databases[folder] = stored;
    world
}

fn with_slot(world: &World, mirror: u8, at: usize, slot: Slot) -> Vec<World> {
    let write = |anchor| {
        let mut world = world.clone();
        *world.mirror_mut(mirror) = anchor;
        world
    };
    let outcomes = world.mirror(mirror).overwritten(at, slot);
    outcomes.into_iter().map(write).collect()
}

fn synced(world: &World, mirror: u8) -> World {
    let mut world = world.clone();
    *world.mirror_mut(mirror) = world.mirror(mirror).synced();
    world
}

fn refused(world: &World, folder: usize) -> Outcome {
    let mut world = world.clone();
    world.servers[folder] = None;
    Outcome::Refused(world)
}

/// Counts the step; after the last one of a batch both anchors are written, and a command is over.
fn step_done(world: &mut World, folder: usize, rules: Rules) {
    let Some(server) = &mut world.servers[folder] else {
        return;
    };
    server.done += 1;
    if server.step(rules).is_some() {
        return;
    }
    let task = server.task;
    server.task = Task::Idle;
    server.done = 0;
    if task != Task::Start || rules.keep(Rule::FullBatchAtStart) {
        world.put_back = None;
        world.adopted = false;
    }
    if let Task::Command(_) = task {
        world.servers[folder] = None;
        world.configured = named_after(task, world.configured);
        world.command = None;
    }
}
