#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_tests::decoders::{Decoder, named};

const DECODER: Decoder = named("clear_rows");

fuzz_target!(|bytes: &[u8]| {
    (DECODER.accepts)(bytes);
});
