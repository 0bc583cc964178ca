//! Patches of several gates.

use crate::patch::Patch;

/// The classical mistake.
pub const COUNTED_AT_THE_FINISH: Patch = Patch {
    name: "a guess counts when it is finished",
    file: "vault-server/rules/src/counting.rs",
    text: "self.charged - self.last_success\n",
    instead: "self.charged - self.last_success - if FAULT { self.open.len() as u64 } else { 0 }\n",
};

/// Another process of the same user reads its memory; and a pattern of cores that is a pipe has no
/// limit.
pub const DUMPABLE: Patch = Patch {
    name: "the process stays dumpable",
    file: "vault-server/src/process/hardening.rs",
    text: "    set_dumpable_behavior(DumpableBehavior::NotDumpable)",
    instead: "    if FAULT { return Ok(()); }\n    \
              set_dumpable_behavior(DumpableBehavior::NotDumpable)",
};
