//! The adversary: a suite of gates that attack the real vault, and the controls that show each gate
//! able to fail. `cargo run --release -p vault-tests --bin prove` runs all of them;
//! `cargo test -p vault-tests --test adversary` runs the gates alone, each a little shorter.
//!
//! | file | what |
//! |---|---|
//! | [`gate`] | what a gate is, what it is given, how it says that its property is violated |
//! | [`run`] | runs gates and controls, and says what came out |
//! | [`patch`] | one-line patches of the product, and the build of a copy that has them |
//! | [`book`], [`said`] | what gates expect of an account's counters, and of an answer |
//! | every other | one gate |

mod book;
pub mod decoders;
pub mod drop_ke3;
pub mod foreign_tokens;
pub mod gate;
pub mod hardening;
pub mod honest_user;
pub mod parallel_start;
pub mod patch;
pub mod registration_races;
pub mod relay;
pub mod resources;
pub mod restored_files;
pub mod run;
mod said;
pub mod secrets;
pub mod success_farming;
pub mod tickets;

use self::gate::Gate;

/// Every gate, in the order of the report.
pub const GATES: &[Gate] = &[
    drop_ke3::GATE,
    parallel_start::GATE,
    success_farming::GATE,
    honest_user::GATE,
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
