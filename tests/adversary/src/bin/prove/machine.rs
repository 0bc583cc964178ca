//! The machine and the commit of a run, which a proof names.

use std::fs;
use std::process::Command;

/// The processor, how many of it, the kernel.
pub fn described() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores of {}, Linux {}", processor(), kernel.trim())
}

/// The commit that is checked out, and whether something was changed since.
pub fn commit() -> String {
    let repository = env!("CARGO_MANIFEST_DIR");
    let git = Command::new("git")
        .args([
            "-C",
            repository,
            "describe",
            "--always",
            "--dirty",
            "--exclude=*",
        ])
        .output();
    match git {
        Ok(said) if said.status.success() => {
            String::from_utf8_lossy(&said.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned());
    model.unwrap_or_else(|| "an unknown processor".to_owned())
}
