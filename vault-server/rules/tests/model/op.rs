//! What can happen to an account.

use vault_protocol::Policy;

/// What a finish carries to replace a live record.
#[derive(Clone, Copy, Debug)]
pub enum Proof {
    None,
    OfAnotherKey,
    Right,
}

/// What can happen. `usize` is one of two devices.
#[derive(Clone, Debug)]
pub enum Op {
    StartRegistration(usize, Policy),
    /// With a proof for the live record, if there is one.
    FinishRegistration(usize, Proof),
    /// The last finish that was granted, again.
    SameFinish,
    Start(usize),
    /// The device's last request again, whatever has become of it.
    SameStart(usize),
    /// With the device's last ticket; whether KE3 verifies.
    Finish(usize, bool),
    /// With any earlier ticket.
    OldFinish(usize, bool),
    Abandon(usize),
    OldAbandon(usize),
    /// With a proof that verifies, or not.
    Delete(bool),
    /// The live generation, or another.
    Reset(bool),
    Status,
    Sweep,
    Pass(u64),
    /// The clock moves by so many seconds; whether the sweep at start comes first.
    Restart(i64, bool),
}
