//! The gates: one file, or folder, an attack.

pub mod decoders;
pub mod drop_ke3;
pub mod durable_before_visible;
pub mod foreign_tokens;
pub mod hardening;
pub mod honest_user;
pub mod kill_anywhere;
pub mod mutants;
pub mod parallel_start;
pub mod registration_races;
pub mod relay;
pub mod resources;
pub mod restored_files;
pub mod secrets;
pub mod sick_disk;
pub mod success_farming;
pub mod tickets;

use crate::gate::Gate;

/// Every gate, in the order of the report.
pub const GATES: &[Gate] = &[
    drop_ke3::GATE,
    parallel_start::GATE,
    success_farming::GATE,
    durable_before_visible::GATE,
    kill_anywhere::GATE,
    honest_user::GATE,
    sick_disk::GATE,
    tickets::GATE,
    registration_races::GATE,
    relay::GATE,
    restored_files::GATE,
    secrets::GATE,
    resources::GATE,
    foreign_tokens::GATE,
    decoders::GATE,
    hardening::GATE,
];

/// Those that only `prove --full` runs: they take tools, and much longer than the others together.
pub const LONG_GATES: &[Gate] = &[mutants::GATE];

/// All of them.
pub fn every_gate() -> impl Iterator<Item = &'static Gate> {
    GATES.iter().chain(LONG_GATES)
}
