//! The adversary: a suite of gates that attack the real vault, and the controls that show each gate
//! able to fail. `cargo run --release -p vault-tests --bin prove` runs all of them;
//! `cargo test -p vault-tests --test adversary` runs the gates alone, each a little shorter.
//!
//! | file | what |
//! |---|---|
//! | [`gate`] | what a gate is, what it is given, how it says that its property is violated |
//! | [`run`] | runs gates and controls, and says what came out |
//! | [`patch`] | one-line patches of the product, and the build of a copy that has them |
//! | `book`, `said` | what gates expect of an account's counters, and of an answer |
//! | `disk` | the layer between a server and its disk |
//! | `lives` | people whose vault dies again and again |
//! | every other | one gate |

mod book;
pub mod decoders;
mod disk;
pub mod drop_ke3;
pub mod durable_before_visible;
pub mod foreign_tokens;
pub mod gate;
pub mod hardening;
pub mod honest_user;
pub mod kill_anywhere;
mod lives;
pub mod mutants;
pub mod parallel_start;
pub mod patch;
pub mod registration_races;
pub mod relay;
pub mod resources;
pub mod restored_files;
pub mod run;
mod said;
pub mod secrets;
pub mod sick_disk;
pub mod success_farming;
pub mod tickets;

use self::gate::Gate;

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
