//! The target of one decoder of the table, which `VAULT_FUZZ_DECODER` names while this is compiled.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_tests::decoders::{Decoder, named};

const DECODER: Decoder = named(env!("VAULT_FUZZ_DECODER", "fuzz/run sets it"));

fuzz_target!(|bytes: &[u8]| {
    (DECODER.accepts)(bytes);
});
