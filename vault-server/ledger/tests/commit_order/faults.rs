//! Events from outside: clients, crashes, a sick disk, the operator, and the
//! attacker. Together with the vault's own steps these are all the moves of the model.

use std::fmt;

use crate::disk::{Mirror, Root, Set, Slot, Stored, mirror_name};
use crate::plan::{Command, Step, Task};
use crate::rules::{Rule, Rules};
use crate::server::Server;
use crate::vault::{self, Outcome};
use crate::world::{MIRRORS, PutBack, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Step(usize, Step),
    Refuse(usize, Step),
    FailSync(usize, Step),
    Charge(usize, u8),
    Evaluate(usize, u8),
    Start,
    StartClone,
    Kill(usize),
    LosePower,
    Hide(u8),
    BringBack(u8),
    PutDatabaseBack(u8),
    PutLatestDatabase,
    PutMirrorBack(u8),
    PutLatestMirror(u8),
    Operator(Command),
}

/// A move to another state.
pub struct Move {
    pub action: Action,
    pub world: World,
}

pub fn moves(world: &World, rules: Rules) -> Vec<Move> {
    let mut moves = Vec::new();
    for (index, server) in world.servers.iter().enumerate() {
        if let Some(server) = server {
            moves.extend(server_moves(world, index, *server, rules));
        }
    }
    if world.is_down() {
        moves.push(changed(world, Action::Start, |world| {
            world.servers[0] = Some(vault::starting(world, 0));
        }));
        moves.extend(attacker_moves(world));
        moves.extend(operator_moves(world));
    }
    moves.extend(power_losses(world));
    moves.extend(second_server(world, rules));
    moves
}

fn changed(world: &World, action: Action, change: impl FnOnce(&mut World)) -> Move {
    let mut world = world.clone();
    change(&mut world);
    Move { action, world }
}

fn server_moves(world: &World, index: usize, server: Server, rules: Rules) -> Vec<Move> {
    let mut moves = Vec::new();
    if let Some(step) = server.step(rules) {
        for outcome in vault::advance(world, index, server, step, rules) {
            moves.push(match outcome {
                Outcome::Done(world) => Move {
                    action: Action::Step(index, step),
                    world,
                },
                Outcome::Refused(world) => Move {
                    action: Action::Refuse(index, step),
                    world,
                },
            });
        }
        moves.extend(failed_sync(world, index, step, rules));
    } else if let Some(guess) = server.uncharged(world.left.guesses) {
        moves.push(changed(world, Action::Charge(index, guess), |world| {
            world.servers[index] = Some(server.charging(guess));
        }));
    }
    // A guess that is charged in the state that requests see is evaluated, as often as it is asked
    // for: the first time, and after any restart.
    let served = server.serves.unwrap_or(Set::EMPTY);
    for guess in served.minus(world.evaluated).members() {
        moves.push(changed(world, Action::Evaluate(index, guess), |world| {
            world.evaluated = world.evaluated.with(guess);
        }));
    }
    if world.left.crashes > 0 {
        moves.push(changed(world, Action::Kill(index), |world| {
            world.left.crashes -= 1;
            world.servers[index] = None;
        }));
    }
    moves
}

/// A sync that fails: the pages are clean afterwards, but not durable.
fn failed_sync(world: &World, index: usize, step: Step, rules: Rules) -> Option<Move> {
    if world.left.failed_syncs == 0 {
        return None;
    }
    let mut failed = world.clone();
    failed.left.failed_syncs -= 1;
    match step {
        Step::SyncWal | Step::SyncCommit => {
            let database = world.databases[index];
            if !database.is_dirty() {
                return None;
            }
            failed.databases[index] = database.sync_failed();
        }
        Step::SyncPrepared(mirror) | Step::SyncErased(mirror) => {
            let anchor = world.mirror(mirror);
            if !anchor.is_dirty() {
                return None;
            }
            *failed.mirror_mut(mirror) = anchor.sync_failed();
        }
        _ => return None,
    }
    if rules.keep(Rule::StopAfterFailedSync) {
        failed.servers[index] = None;
    }
    // Off: the sync is repeated, finds nothing to write, and is believed.
    Some(Move {
        action: Action::FailSync(index, step),
        world: failed,
    })
}

/// The machine stops: of everything that was not durable, any part may be lost.
fn power_losses(world: &World) -> Vec<Move> {
    if world.left.crashes == 0 {
        return Vec::new();
    }
    let mut moves = Vec::new();
    let [first, second] = world.mirrors.map(Mirror::after_power_loss);
    for database in world.databases[0].after_power_loss(None) {
        for clone in world.databases[1].after_power_loss(None) {
            for a in &first {
                for b in &second {
                    moves.push(changed(world, Action::LosePower, |world| {
                        world.left.crashes -= 1;
                        world.servers = [None, None];
                        world.databases = [database, clone];
                        world.mirrors = [*a, *b];
                    }));
                }
            }
        }
    }
    moves
}

/// While no server runs the vault writes nothing: an attacker who can write the files puts older ones
/// back then.
fn attacker_moves(world: &World) -> Vec<Move> {
    let mut moves = Vec::new();
    if world.hidden.is_empty() {
        for mirror in world.configured.members() {
            moves.push(changed(world, Action::Hide(mirror), |world| {
                world.hidden = world.hidden.with(mirror);
            }));
        }
    }
    for mirror in world.hidden.members() {
        moves.push(changed(world, Action::BringBack(mirror), |world| {
            world.hidden = world.hidden.without(mirror);
        }));
    }
    if let Some(latest) = world.withheld {
        moves.push(changed(world, Action::PutLatestDatabase, |world| {
            world.withheld = None;
            world.databases[0] = Stored::durable(latest);
        }));
    }
    if let Some((mirror, latest)) = world.kept_mirror() {
        moves.push(changed(world, Action::PutLatestMirror(mirror), |world| {
            world.put_back = None;
            *world.mirror_mut(mirror) = Mirror::durable(latest);
        }));
    }
    if world.left.restores > 0 {
        let roots = world.archive.roots.iter();
        moves.extend(roots.filter_map(|root| database_put_back(world, *root)));
        let anchors = world.archive.anchors.iter();
        moves.extend(
            anchors.filter_map(|(mirror, content)| mirror_put_back(world, *mirror, *content)),
        );
    }
    moves
}

fn database_put_back(world: &World, root: Root) -> Option<Move> {
    let present = world.databases[0].cached;
    if root == present || Some(root) == world.withheld {
        return None;
    }
    Some(changed(
        world,
        Action::PutDatabaseBack(root.sequence),
        |world| {
            world.left.restores -= 1;
            world.withheld = world.withheld.or(Some(present));
            world.databases[0] = Stored::durable(root);
        },
    ))
}

/// The limit of any anchor: an attacker who puts all of them back at one moment puts the vault back. So
/// another one that a start will read must be the latest.
fn mirror_put_back(world: &World, mirror: u8, content: [Slot; 2]) -> Option<Move> {
    let others_are_latest = world.put_back.is_none_or(|other| other.mirror == mirror);
    let another = !world.configured.without(mirror).is_empty();
    if !others_are_latest || !another || world.mirror(mirror).content() == content {
        return None;
    }
    let taken = Some(world.mirror(mirror).content());
    let latest = world.put_back.map_or(taken, |earlier| earlier.latest);
    Some(changed(world, Action::PutMirrorBack(mirror), |world| {
        world.left.restores -= 1;
        world.put_back = Some(PutBack { mirror, latest });
        *world.mirror_mut(mirror) = Mirror::durable(content);
    }))
}

/// The operator removes a mirror that is lost, and later adds a new one in its place. The
/// remaining mirror must be the latest: it is all that there is.
fn operator_moves(world: &World) -> Option<Move> {
    if world.left.commands == 0 || world.command.is_some() {
        return None;
    }
    let every = Set::below(MIRRORS);
    let command = match every.minus(world.configured).members().next() {
        Some(mirror) => Command::Add(mirror),
        None => Command::Remove(world.hidden.members().next()?),
    };
    match command {
        Command::Remove(mirror) if world.put_back.is_some_and(|other| other.mirror != mirror) => {
            None
        }
        Command::Remove(mirror) => Some(changed(world, Action::Operator(command), |world| {
            world.left.commands -= 1;
            world.command = Some(command);
            world.configured = world.configured.without(mirror);
            world.put_back = None;
        })),
        Command::Add(mirror) => Some(changed(world, Action::Operator(command), |world| {
            world.left.commands -= 1;
            world.command = Some(command);
            world.hidden = world.hidden.without(mirror);
            // A new file is synced before it gets its name.
            *world.mirror_mut(mirror) = Mirror::durable([Slot::Empty { sequence: 0 }; 2]);
        })),
    }
}

/// The operator starts a second server on a clone of the data folder, with the same anchors, while the
/// first one runs. The locks refuse that, so that nothing changes.
fn second_server(world: &World, rules: Rules) -> Option<Move> {
    let first_runs = world.servers[0].is_some_and(|server| server.task != Task::Start);
    if rules.keep(Rule::Locks) || world.cloned || !first_runs {
        return None;
    }
    Some(changed(world, Action::StartClone, |world| {
        world.cloned = true;
        world.databases[1] = Stored::durable(world.databases[0].cached);
        world.servers[1] = Some(vault::starting(world, 1));
    }))
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = |index: &usize| ["vault", "second vault"][*index];
        match self {
            Self::Step(index, step) => write!(formatter, "{}: {step}", server(index)),
            Self::Refuse(index, step) => {
                write!(formatter, "{}: cannot {step}, refuses", server(index))
            }
            Self::FailSync(index, step) => write!(formatter, "{}: {step} FAILS", server(index)),
            Self::Charge(index, guess) => {
                write!(formatter, "{}: takes guess g{guess}", server(index))
            }
            Self::Evaluate(index, guess) => {
                write!(formatter, "{}: evaluates guess g{guess}", server(index))
            }
            Self::Start => formatter.write_str("vault: starts"),
            Self::StartClone => formatter.write_str("second vault: starts on a clone"),
            Self::Kill(index) => write!(formatter, "{} is KILLED", server(index)),
            Self::LosePower => formatter.write_str("POWER LOSS"),
            Self::Hide(mirror) => write!(formatter, "mirror {} disappears", mirror_name(*mirror)),
            Self::BringBack(mirror) => {
                write!(formatter, "mirror {} is there again", mirror_name(*mirror))
            }
            Self::PutDatabaseBack(sequence) => {
                write!(formatter, "ATTACKER puts database {sequence} back")
            }
            Self::PutLatestDatabase => {
                formatter.write_str("attacker gives the latest database back")
            }
            Self::PutMirrorBack(mirror) => {
                write!(
                    formatter,
                    "ATTACKER puts an older mirror {} back",
                    mirror_name(*mirror)
                )
            }
            Self::PutLatestMirror(mirror) => {
                write!(
                    formatter,
                    "attacker gives the latest mirror {} back",
                    mirror_name(*mirror)
                )
            }
            Self::Operator(Command::Remove(mirror)) => {
                write!(
                    formatter,
                    "operator removes mirror {}",
                    mirror_name(*mirror)
                )
            }
            Self::Operator(Command::Add(mirror)) => {
                write!(
                    formatter,
                    "operator adds a new mirror {}",
                    mirror_name(*mirror)
                )
            }
        }
    }
}
