//! One state of everything: files, servers, operator, attacker, and the promises made.

use std::collections::BTreeSet;
use std::fmt;

use crate::disk::{Mirror, Root, Set, Slot, Stored, mirror_name};
use crate::plan::Command;
use crate::server::Server;

/// The number of anchor files.
pub const MIRRORS: u8 = 2;

/// How much may happen in one history. The model explores every history within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Different guesses that clients make; each may be repeated without end.
    pub guesses: u8,
    /// Kills and power losses together.
    pub crashes: u8,
    /// Syncs that fail once.
    pub failed_syncs: u8,
    /// Times the attacker puts an older file back.
    pub restores: u8,
    /// Commands that remove a mirror or add one.
    pub commands: u8,
}

/// A mirror that the attacker has put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PutBack {
    pub mirror: u8,
    /// The content that the attacker took away, until the vault goes on from the one that lies there.
    pub latest: Option<[Slot; 2]>,
}

/// All that an attacker ever saw who reads everything but the memory of a server.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Archive {
    pub roots: BTreeSet<Root>,
    pub anchors: BTreeSet<(u8, [Slot; 2])>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// The database, and the attacker's clone of it (used only where the locks are left out).
    pub databases: [Stored<Root>; 2],
    pub mirrors: [Mirror; MIRRORS as usize],
    pub servers: [Option<Server>; 2],
    /// Guesses that were evaluated: their answers left.
    pub evaluated: Set,
    /// Guesses whose charge was acknowledged as committed.
    pub acknowledged: Set,
    pub highest_sequence: u8,
    pub keys_drawn: u8,
    /// The anchors that a start reads.
    pub configured: Set,
    pub command: Option<Command>,
    pub archive: Archive,
    /// The latest database, while the attacker has put an older one in its place.
    pub withheld: Option<Root>,
    /// Mirrors whose file is missing.
    pub hidden: Set,
    /// The mirror that was put back, until a full batch has written both.
    pub put_back: Option<PutBack>,
    /// The vault went on from a database that the attacker had put back. That is no breach between
    /// COMMIT and the erasing, when no answer has left and the anchors open both.
    pub adopted: bool,
    pub cloned: bool,
    pub left: Budget,
}

impl World {
    /// A vault as it was created, not started yet.
    pub fn created(budget: Budget) -> Self {
        let root = Root {
            sequence: 1,
            key: 1,
            charged: Set::EMPTY,
            mirrors: Set::below(MIRRORS),
        };
        let anchor = Mirror::durable([Slot::live(&root), Slot::Empty { sequence: 0 }]);
        Self {
            databases: [Stored::durable(root); 2],
            mirrors: [anchor; MIRRORS as usize],
            servers: [None, None],
            evaluated: Set::EMPTY,
            acknowledged: Set::EMPTY,
            highest_sequence: 1,
            keys_drawn: 1,
            configured: root.mirrors,
            command: None,
            archive: Archive::default(),
            withheld: None,
            hidden: Set::EMPTY,
            put_back: None,
            adopted: false,
            cloned: false,
            left: budget,
        }
    }

    pub fn is_down(&self) -> bool {
        self.servers.iter().all(Option::is_none)
    }

    pub fn mirror(&self, mirror: u8) -> &Mirror {
        &self.mirrors[usize::from(mirror)]
    }

    pub fn mirror_mut(&mut self, mirror: u8) -> &mut Mirror {
        &mut self.mirrors[usize::from(mirror)]
    }

    /// Whether a server may refuse. It may while the attacker keeps the latest of some file: it must
    /// serve again once that is back. One mirror that was put back is no reason by itself.
    pub fn may_refuse(&self) -> bool {
        let mirror_is_kept = self.kept_mirror().is_some();
        let missing = !self.configured.is_subset(self.present());
        self.withheld.is_some() || self.adopted && mirror_is_kept || missing || self.cloned
    }

    /// The latest content of a mirror, while an older one lies in its place.
    pub fn kept_mirror(&self) -> Option<(u8, [Slot; 2])> {
        let put_back = self.put_back?;
        let latest = put_back.latest?;
        let differs = self.mirror(put_back.mirror).content() != latest;
        differs.then_some((put_back.mirror, latest))
    }

    /// The vault writes an anchor: the content there is the latest from now on.
    pub fn go_on(&mut self) {
        self.adopted |= self.withheld.take().is_some();
        if let Some(put_back) = &mut self.put_back {
            put_back.latest = None;
        }
    }

    /// The mirrors whose file is there.
    pub fn present(&self) -> Set {
        Set::below(MIRRORS).minus(self.hidden)
    }

    /// The attacker copies whatever is new. Without a restore left, copies are of no use.
    pub fn remember(&mut self) {
        if self.left.restores == 0 {
            self.archive = Archive::default();
            return;
        }
        self.archive.roots.insert(self.databases[0].cached);
        for mirror in self.present().members() {
            let content = self.mirror(mirror).content();
            self.archive.anchors.insert((mirror, content));
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "database {}", self.databases[0])?;
        if self.cloned {
            write!(formatter, ", clone {}", self.databases[1])?;
        }
        for mirror in 0..MIRRORS {
            write!(formatter, ", {} ", mirror_name(mirror))?;
            if self.hidden.has(mirror) {
                formatter.write_str("missing ")?;
            }
            write!(formatter, "{}", self.mirror(mirror))?;
        }
        Ok(())
    }
}
