//! The rules of the commit order, each of which can be left out of the model.

use std::fmt;

/// One rule. The behaviour without it stands at the place that asks for the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    PrepareBeforeCommit,
    PrepareSyncedBeforeCommit,
    PrepareInTheOtherSlot,
    PrepareOnEveryMirror,
    LaggingMirrorKeepsItsLowest,
    CommitSyncedBeforeErase,
    EraseBeforeAnswer,
    EraseSyncedBeforeAnswer,
    EraseOnEveryMirror,
    StopAfterFailedSync,
    WalRewrittenAtStart,
    WalSyncedAtStart,
    FullBatchAtStart,
    SequenceAboveAllSeen,
    FreshRootKey,
    OldLiveSlotIsNoCandidate,
    EveryMirrorPresent,
    MarkersConfirm,
    Locks,
}

impl Rule {
    pub const ALL: [Self; 19] = [
        Self::PrepareBeforeCommit,
        Self::PrepareSyncedBeforeCommit,
        Self::PrepareInTheOtherSlot,
        Self::PrepareOnEveryMirror,
        Self::LaggingMirrorKeepsItsLowest,
        Self::CommitSyncedBeforeErase,
        Self::EraseBeforeAnswer,
        Self::EraseSyncedBeforeAnswer,
        Self::EraseOnEveryMirror,
        Self::StopAfterFailedSync,
        Self::WalRewrittenAtStart,
        Self::WalSyncedAtStart,
        Self::FullBatchAtStart,
        Self::SequenceAboveAllSeen,
        Self::FreshRootKey,
        Self::OldLiveSlotIsNoCandidate,
        Self::EveryMirrorPresent,
        Self::MarkersConfirm,
        Self::Locks,
    ];
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::PrepareBeforeCommit => "prepare comes before COMMIT",
            Self::PrepareSyncedBeforeCommit => "prepare is synced before COMMIT",
            Self::PrepareInTheOtherSlot => "prepare goes into the slot that is not the live one",
            Self::PrepareOnEveryMirror => "prepare on every mirror",
            Self::LaggingMirrorKeepsItsLowest => {
                "prepare leaves a lagging mirror its lowest number"
            }
            Self::CommitSyncedBeforeErase => "COMMIT is synced before the erase",
            Self::EraseBeforeAnswer => "the former slot is erased before the answer",
            Self::EraseSyncedBeforeAnswer => "the erase is synced before the answer",
            Self::EraseOnEveryMirror => "erase on every mirror",
            Self::StopAfterFailedSync => "a failed sync stops the vault",
            Self::WalRewrittenAtStart => "a start writes the WAL's bytes again",
            Self::WalSyncedAtStart => "a start syncs the WAL before any anchor is written",
            Self::FullBatchAtStart => "a start runs a full batch before it serves",
            Self::SequenceAboveAllSeen => "a start's sequence is above all ever seen",
            Self::FreshRootKey => "every batch has a fresh root key",
            Self::OldLiveSlotIsNoCandidate => {
                "a live slot below the confirmed state is no candidate"
            }
            Self::EveryMirrorPresent => "a start needs every known mirror",
            Self::MarkersConfirm => "the number of an empty marker counts, too",
            Self::Locks => "locks: one server for a set of anchors",
        })
    }
}

/// The rules that a run of the model follows.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    off: Option<Rule>,
}

impl Rules {
    pub fn all() -> Self {
        Self { off: None }
    }

    pub fn without(rule: Rule) -> Self {
        Self { off: Some(rule) }
    }

    pub fn keep(self, rule: Rule) -> bool {
        self.off != Some(rule)
    }
}
