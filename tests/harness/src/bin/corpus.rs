//! The corpora of the decoders, for `fuzz/run`:
//!
//! ```text
//! corpus list                  every decoder and its longest input in bytes
//! corpus unpack NAME FOLDER    the stored inputs, a file each
//! corpus pack NAME FOLDER      the files of a folder become the stored inputs
//! corpus seed                  the first inputs of decoders that have none
//! ```
#![expect(clippy::print_stdout, reason = "a command line prints")]

use std::env;
use std::path::Path;

use anyhow::bail;
use vault_tests::decoders::{DECODERS, corpus};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["list"] => {
            for decoder in DECODERS {
                println!("{} {}", decoder.name, decoder.max_len);
            }
        }
        ["unpack", name, folder] => corpus::unpack(name, Path::new(folder))?,
        ["pack", name, folder] => corpus::pack(name, Path::new(folder))?,
        ["seed"] => {
            for decoder in DECODERS {
                if corpus::seed(decoder)? {
                    println!("{}", decoder.name);
                }
            }
        }
        _ => bail!("corpus list | unpack NAME FOLDER | pack NAME FOLDER | seed"),
    }
    Ok(())
}
