#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_tests::decoders::accepts;

fuzz_target!(|bytes: &[u8]| {
    accepts("event", bytes);
});
