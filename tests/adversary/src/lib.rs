//! The adversary: a suite of gates that attack the real vault, and the controls that show each gate
//! able to fail. `cargo run --release -p vault-adversary --bin prove` runs all of them;
//! `cargo test -p vault-adversary` runs the gates alone, each a little shorter.
//!
//! | module | content |
//! |---|---|
//! | [`gates`] | one gate a file, and nothing else |
//! | [`gate`] | the type of a gate, the context it is given, and how it reports a violation |
//! | [`run`] | runs gates and controls, and reports the verdict |
//! | [`patch`] | one-line patches of the product, and the build of a copy that has them |
//! | `counter_model`, `expect` | the expected counters of an account, the expected answer |
//! | `shared_patches` | patches of several gates |
//! | `target` | the same calls to a vault as a process and to one whose time can be moved |
//! | `disk` | the layer between a server and its disk |
//! | `crash_loop` | people whose vault dies again and again |

mod counter_model;
mod crash_loop;
mod disk;
mod expect;
pub mod gate;
pub mod gates;
pub mod patch;
pub mod run;
mod shared_patches;
mod target;
