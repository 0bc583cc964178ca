//! The anchors of one vault: mirrors, which all have to accept every write.
//!
//! They are not a quorum. A mirror that missed an erasing would keep a key that was said to be
//! forgotten, so one that cannot be written to stops the vault.

use std::cmp::Reverse;

use super::file::{FileAnchor, name_one_file};
use super::{Anchor, AnchorId, Live, Locator, Slot, highest_sequence};
use crate::error::{OpenError, StorageError};
use crate::key::VaultIdentity;

/// How many anchors a vault has at most. Each one costs two syncs a batch, one after the other.
pub(crate) const LIMIT: usize = 8;

/// The anchors of one vault: at least one, at most eight, no two the same.
#[derive(Default)]
pub(crate) struct Anchors(Vec<Box<dyn Anchor>>);

impl Anchors {
    /// Makes an anchor at each locator, see [`FileAnchor::create`].
    pub(crate) fn create(
        locators: &[Locator],
        identity: &VaultIdentity,
    ) -> Result<Anchors, OpenError> {
        refuse_count(locators.len())?;
        let mut anchors = Anchors::default();
        for locator in locators {
            anchors.add(locator, identity)?;
        }
        Ok(anchors)
    }

    /// Opens and locks the anchor at each locator.
    pub(crate) fn open(
        locators: &[Locator],
        identity: &VaultIdentity,
    ) -> Result<Anchors, OpenError> {
        refuse_count(locators.len())?;
        let mut anchors = Anchors::default();
        for locator in locators {
            // Before it is opened: the same file a second time would only be found to be locked.
            anchors.refuse_same_file(locator)?;
            anchors.push(Box::new(FileAnchor::open(locator, identity)?))?;
        }
        Ok(anchors)
    }

    /// Makes one more anchor. It holds no key until the next [`prepare`](Anchors::prepare).
    pub(crate) fn add(
        &mut self,
        locator: &Locator,
        identity: &VaultIdentity,
    ) -> Result<(), OpenError> {
        refuse_count(self.0.len() + 1)?;
        self.refuse_same_file(locator)?;
        let anchor = FileAnchor::create(locator, identity)?;
        self.push(Box::new(anchor))
    }

    /// Opens one that is about to leave, and takes it in for as long as it is here.
    ///
    /// A lost or sick one is left out instead: removing is for giving it up. So is a copy of one that is
    /// here. One that another process writes to is refused. So is one that is here under any name, one
    /// that is open to others, and one with a second name.
    pub(crate) fn open_leaving(
        &mut self,
        locator: &Locator,
        identity: &VaultIdentity,
    ) -> Result<(), OpenError> {
        let is_other = self.refuse_same_file(locator);
        match is_other.and_then(|()| FileAnchor::open(locator, identity)) {
            Ok(anchor) => match self.push(Box::new(anchor)) {
                Err(OpenError::AnchorTwice(..)) => Ok(()),
                pushed => pushed,
            },
            // The operator can put these right, and it may be the only anchor of the latest state.
            Err(
                refused @ (OpenError::AnchorLocked(_)
                | OpenError::AnchorTwice(..)
                | OpenError::AnchorLinked(_)
                | OpenError::Exposed { .. }
                | OpenError::ForeignOwner { .. }),
            ) => Err(refused),
            Err(OpenError::Storage(error)) if error.is_denied() => Err(error.into()),
            // In every other case it cannot be erased, and the vault goes on without it.
            Err(_) => Ok(()),
        }
    }

    /// Takes one more anchor in, unless it or a copy of it is here.
    pub(crate) fn push(&mut self, anchor: Box<dyn Anchor>) -> Result<(), OpenError> {
        refuse_count(self.0.len() + 1)?;
        // A copy of an anchor's file has its id. Which of the two was meant to be erased is unknown.
        match self.0.iter().find(|other| other.id() == anchor.id()) {
            Some(same) => Err(twice(same.locator(), anchor.locator())),
            None => {
                self.0.push(anchor);
                Ok(())
            }
        }
    }

    /// Takes the anchor at this locator out of the set, without a write to it. None if it is not in the
    /// set, or if it is the last one, which stays.
    pub(crate) fn take(&mut self, locator: &Locator) -> Option<Box<dyn Anchor>> {
        let mut anchors = self.0.iter();
        let index = anchors.position(|anchor| anchor.locator() == locator)?;
        (self.0.len() > 1).then(|| self.0.remove(index))
    }

    /// The members of the set, in the order of the configuration.
    pub(crate) fn members(&self) -> Vec<(AnchorId, Locator)> {
        let members = self.0.iter();
        members
            .map(|anchor| (anchor.id(), anchor.locator().clone()))
            .collect()
    }

    /// Where an anchor should be and is not: removed, moved, or another file has its name.
    pub(crate) fn lost(&self) -> impl Iterator<Item = &Locator> {
        let lost = self.0.iter().filter(|anchor| !anchor.is_in_place());
        lost.map(|anchor| anchor.locator())
    }

    /// The root keys that may be those of the latest database, newest first.
    ///
    /// A batch is answered when every mirror has erased the keys before its own; each then shows its
    /// number twice, in the live slot and in the empty marker. So the lower number on a mirror is one
    /// that was committed. The highest of these, over all mirrors, is *confirmed*: it may have been
    /// answered, and no key below it is tried. Without this rule, an attacker who saves one mirror and the
    /// database could put both back and be answered from the past.
    ///
    /// The marker counts, so that a mirror that has lost its key, or never had one, does not confirm
    /// a number that was only prepared on it.
    pub(crate) fn candidates(&self) -> Vec<&Live> {
        let confirmed = self
            .0
            .iter()
            .filter_map(|anchor| anchor.slots().iter().filter_map(Slot::shown_sequence).min())
            .max();
        let mut candidates: Vec<&Live> = Vec::new();
        for live in self.slots().filter_map(Slot::live) {
            let known = candidates.iter().any(|other| other.is(live));
            if Some(live.sequence) >= confirmed && !known {
                candidates.push(live);
            }
        }
        candidates.sort_by_key(|live| Reverse(live.sequence));
        candidates
    }

    /// The highest sequence that any anchor shows to have been used.
    ///
    /// An unreadable slot may have had a higher one: see [`has_unreadable`](Anchors::has_unreadable).
    pub(crate) fn highest_sequence(&self) -> u64 {
        let anchors = self.0.iter();
        anchors
            .map(|anchor| highest_sequence(anchor.slots()))
            .max()
            .unwrap_or(0)
    }

    /// Whether any slot is torn or damaged, so that a sequence may have been used that none shows.
    pub(crate) fn has_unreadable(&self) -> bool {
        self.slots().any(|slot| matches!(slot, Slot::Unreadable))
    }

    /// [`Anchor::prepare`] on every anchor, in order. After an error the rest is not written to.
    pub(crate) fn prepare(&mut self, expected: u64, next: &Live) -> Result<(), StorageError> {
        let mut anchors = self.0.iter_mut();
        anchors.try_for_each(|anchor| anchor.prepare(expected, next))
    }

    /// [`Anchor::erase`] on every anchor, in order. After an error the rest is not written to.
    pub(crate) fn erase(&mut self, kept: u64) -> Result<(), StorageError> {
        let mut anchors = self.0.iter_mut();
        anchors.try_for_each(|anchor| anchor.erase(kept))
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.0.iter().flat_map(|anchor| anchor.slots())
    }

    fn refuse_same_file(&self, locator: &Locator) -> Result<(), OpenError> {
        for anchor in &self.0 {
            if name_one_file(anchor.locator(), locator)? {
                return Err(twice(anchor.locator(), locator));
            }
        }
        Ok(())
    }
}

/// A set without any anchor would accept every write and remember none.
fn refuse_count(count: usize) -> Result<(), OpenError> {
    match count {
        0 => Err(OpenError::NoAnchor),
        1..=LIMIT => Ok(()),
        _ => Err(OpenError::TooManyAnchors { limit: LIMIT }),
    }
}

fn twice(first: &Locator, second: &Locator) -> OpenError {
    OpenError::AnchorTwice(first.shown(), second.shown())
}
