//! Every decoder of bytes that come from outside or from the disk, as a function of bytes. `fuzz/`
//! gives them random bytes, and the tests give them the stored corpora.
//!
//! Each function says whether it accepted the bytes. If so, it asserts something that must hold then:
//! the encoder's bytes are read as the same, a size is bounded, a refusal left nothing behind. A
//! decoder below a seal is given the *plaintext*: the function seals it with a key of its own, as an
//! attacker with that key could. Otherwise the seal would stop every input before the decoder.

mod channel;
mod common;
pub mod corpus;
mod files;
mod finish;
mod ledger;
pub mod seeds;
mod served;
mod stored;
mod table;
mod wire;

pub use self::table::{DECODERS, Decoder, named};
