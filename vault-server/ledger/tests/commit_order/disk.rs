//! The content of files: in the page cache, and on the medium after a power loss.

use std::fmt;

/// A set of small numbers: charged guesses, or mirrors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Set(u8);

impl Set {
    pub const EMPTY: Self = Self(0);

    pub fn below(count: u8) -> Self {
        (0..count).fold(Self::EMPTY, Self::with)
    }

    pub fn with(self, member: u8) -> Self {
        Self(self.0 | 1 << member)
    }

    pub fn without(self, member: u8) -> Self {
        Self(self.0 & !(1 << member))
    }

    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub fn has(self, member: u8) -> bool {
        self.0 & 1 << member != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn is_subset(self, other: Self) -> bool {
        self.minus(other).is_empty()
    }

    pub fn members(self) -> impl Iterator<Item = u8> {
        (0..8).filter(move |member| self.has(*member))
    }
}

/// A version of the database: the content that its root seals.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Root {
    pub sequence: u8,
    /// The only key that opens it. The model lets the key alone decide, although a root also
    /// authenticates its sequence: a key that opens two versions is bad enough.
    pub key: u8,
    pub charged: Set,
    pub mirrors: Set,
}

/// One of the two slots of an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    Live { sequence: u8, key: u8 },
    Empty { sequence: u8 },
    Unreadable,
}

impl Slot {
    pub fn live(root: &Root) -> Self {
        Self::Live {
            sequence: root.sequence,
            key: root.key,
        }
    }

    pub fn sequence(self) -> Option<u8> {
        match self {
            Self::Live { sequence, .. } | Self::Empty { sequence } => Some(sequence),
            Self::Unreadable => None,
        }
    }

    pub fn live_sequence(self) -> Option<u8> {
        match self {
            Self::Live { sequence, .. } => Some(sequence),
            Self::Empty { .. } | Self::Unreadable => None,
        }
    }

    pub fn holds(self, root: &Root) -> bool {
        self == Self::live(root)
    }
}

/// Content that was written (what every process reads) and content that would survive.
///
/// When the two differ, a power loss may leave either: the kernel may have written it back at any
/// time. `dirty` says whether a sync would still write it. It would not after a sync that failed:
/// the kernel reports the failure once and marks the pages clean.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stored<T> {
    pub cached: T,
    durable: T,
    dirty: bool,
}

impl<T: Copy + PartialEq> Stored<T> {
    pub fn durable(content: T) -> Self {
        Self {
            cached: content,
            durable: content,
            dirty: false,
        }
    }

    /// Overwrites in place. Content that was not durable before may have reached the medium or not.
    pub fn overwritten(self, content: T) -> Vec<Self> {
        let over = |durable| Self {
            cached: content,
            durable,
            dirty: content != durable,
        };
        if self.cached == self.durable {
            vec![over(self.durable)]
        } else {
            vec![over(self.durable), over(self.cached)]
        }
    }

    /// Appends to a WAL. After a gap (pages lost by a failed sync) nothing that follows counts.
    pub fn appended(self, content: T) -> Vec<Self> {
        if self.is_lost() {
            vec![Self {
                cached: content,
                ..self
            }]
        } else {
            self.overwritten(content)
        }
    }

    /// Writes the same bytes again, so that a sync has something to write.
    pub fn rewritten(self) -> Self {
        Self {
            dirty: self.cached != self.durable,
            ..self
        }
    }

    pub fn synced(self) -> Self {
        if self.dirty {
            Self::durable(self.cached)
        } else {
            self
        }
    }

    pub fn sync_failed(self) -> Self {
        Self {
            dirty: false,
            ..self
        }
    }

    pub fn is_dirty(self) -> bool {
        self.dirty
    }

    fn is_lost(self) -> bool {
        !self.dirty && self.cached != self.durable
    }

    /// The contents that a power loss may leave; `torn` is a half written one, if it can
    /// be told from both.
    pub fn after_power_loss(self, torn: Option<T>) -> Vec<Self> {
        if self.cached == self.durable {
            return vec![Self::durable(self.cached)];
        }
        [Some(self.durable), Some(self.cached), torn]
            .into_iter()
            .flatten()
            .map(Self::durable)
            .collect()
    }
}

/// An anchor's file: two slots.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mirror {
    pub slots: [Stored<Slot>; 2],
}

impl Mirror {
    pub fn durable(content: [Slot; 2]) -> Self {
        Self {
            slots: content.map(Stored::durable),
        }
    }

    pub fn content(&self) -> [Slot; 2] {
        self.slots.map(|slot| slot.cached)
    }

    /// The lowest sequence shown, by a live slot or a marker: this mirror's word on the confirmed one.
    pub fn lowest_shown(&self) -> Option<u8> {
        self.content().into_iter().filter_map(Slot::sequence).min()
    }

    /// The lowest sequence of a live slot.
    pub fn lowest_live(&self) -> Option<u8> {
        let live = self.content().into_iter();
        live.filter_map(Slot::live_sequence).min()
    }

    /// The highest sequence shown, live or not.
    pub fn highest_shown(&self) -> u8 {
        let shown = self.content().into_iter().filter_map(Slot::sequence);
        shown.max().unwrap_or(0)
    }

    pub fn slot_of(&self, root: &Root) -> Option<usize> {
        self.content().iter().position(|slot| slot.holds(root))
    }

    pub fn overwritten(self, at: usize, slot: Slot) -> Vec<Self> {
        let write = |stored| {
            let mut mirror = self;
            mirror.slots[at] = stored;
            mirror
        };
        let outcomes = self.slots[at].overwritten(slot);
        outcomes.into_iter().map(write).collect()
    }

    pub fn synced(self) -> Self {
        Self {
            slots: self.slots.map(Stored::synced),
        }
    }

    pub fn sync_failed(self) -> Self {
        Self {
            slots: self.slots.map(Stored::sync_failed),
        }
    }

    pub fn is_dirty(&self) -> bool {
        self.slots.iter().any(|slot| slot.is_dirty())
    }

    pub fn after_power_loss(self) -> Vec<Self> {
        let torn = Some(Slot::Unreadable);
        let mut outcomes = Vec::new();
        for first in self.slots[0].after_power_loss(torn) {
            for second in self.slots[1].after_power_loss(torn) {
                outcomes.push(Self {
                    slots: [first, second],
                });
            }
        }
        outcomes
    }
}

/// A mirror's name in a trace.
pub fn mirror_name(mirror: u8) -> char {
    char::from(b'A' + mirror)
}

impl fmt::Display for Set {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<_> = self.members().map(|guess| format!("g{guess}")).collect();
        write!(formatter, "{{{}}}", members.join(","))
    }
}

impl fmt::Display for Root {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/k{}{}", self.sequence, self.key, self.charged)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live { sequence, key } => write!(formatter, "live {sequence}/k{key}"),
            Self::Empty { sequence } => write!(formatter, "empty {sequence}"),
            Self::Unreadable => formatter.write_str("unreadable"),
        }
    }
}

impl<T: Copy + PartialEq + fmt::Display> fmt::Display for Stored<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.cached)?;
        if self.cached != self.durable {
            let state = if self.dirty { "unsynced" } else { "lost" };
            write!(formatter, " ({state}, durable: {})", self.durable)?;
        }
        Ok(())
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{} | {}]", self.slots[0], self.slots[1])
    }
}
