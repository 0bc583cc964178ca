//! Erases the stack that a computation on secrets has used. Libraries erase their values, but
//! neither the copies that moving a value makes, nor a hash function's block. The session key of a
//! login that had ended was found in the memory of a running vault that way.

use std::hint::black_box;

use zeroize::Zeroize;

/// How far down it is erased, in words: 128 KiB, more than OPAQUE, AES-GCM and HKDF together need.
/// A thread's stack has 2 MiB.
const WORDS: usize = 16 * 1024;

/// Runs a computation on secrets, and then erases the stack that it used. Its result must keep its
/// secrets on the heap.
pub(crate) fn zeroize_stack_after<T>(compute: impl FnOnce() -> T) -> T {
    let result = in_own_frame(compute);
    wipe();
    result
}

/// Everything that the computation puts on the stack lies below this frame.
#[inline(never)]
fn in_own_frame<T>(compute: impl FnOnce() -> T) -> T {
    compute()
}

/// Its frame takes the place of the one that has ended.
#[inline(never)]
fn wipe() {
    let mut below = [0_u64; WORDS];
    below.zeroize();
    black_box(&below);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That the stack is erased can only be seen from outside: the gate `secrets` of the adversary
    /// looks for session keys in the memory of a running vault.
    #[test]
    fn the_result_is_the_computations_also_on_a_small_stack() {
        let small = std::thread::Builder::new().stack_size(256 * 1024);
        let running = small
            .spawn(|| zeroize_stack_after(|| vec![7; 100]))
            .unwrap();
        assert_eq!(running.join().unwrap(), vec![7; 100]);
    }
}
