//! One-line patches of the product, each a possible mistake. They are never in the repository's own
//! binaries: a copy of the sources gets all of them, and is built in a folder of its own. There each
//! is switched on by name, with the environment variable `VAULT_FAULT`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, ensure};
use vault_tests::paths::repository;

/// Names the patches that are switched on in a build that has them.
pub const SWITCH: &str = "VAULT_FAULT";

/// Between two of them.
pub const SEPARATOR: &str = "; ";

/// Stands for "this patch is switched on" in [`Patch::instead`].
const ON: &str = "FAULT";

/// The version of the copy: with another one, cargo keeps its crates apart from the real ones.
const VERSION: (&str, &str) = ("version = \"0.1.0\"", "version = \"0.1.0-faults\"");

/// A mistake, as one replaced text.
#[derive(Debug)]
pub struct Patch {
    /// The mistake, in a few words.
    pub name: &'static str,
    /// Where, from the repository's top.
    pub file: &'static str,
    /// The product's text, which stands there exactly once.
    pub text: &'static str,
    /// The text in its place. `FAULT` in it is true when this patch is switched on.
    pub instead: &'static str,
}

/// Builds a copy of the product with these patches, all switched off; returns its `prove`.
pub fn build(patches: &[&Patch]) -> anyhow::Result<PathBuf> {
    let own = env::current_exe()?;
    let built = own.parent().context("a binary is in a folder")?;
    let profile = built.file_name().context("a build folder has a name")?;
    let folder = built.parent().context("a target folder")?.join("controls");
    let source = folder.join("source");
    copy_sources(&repository(), &source)?;
    for patch in patches {
        patch.apply(&source)?;
    }
    replace(&source.join("Cargo.toml"), VERSION.0, VERSION.1)?;
    let target = folder.join("target");
    share_dependencies(built, &target.join(profile))?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["build", "--offline", "--quiet", "-p", "vault-adversary"]);
    cargo
        .args(["--bin", "prove"])
        .env("CARGO_TARGET_DIR", &target);
    if profile == OsStr::new("release") {
        cargo.arg("--release");
    }
    let built = cargo.current_dir(&source).output()?;
    let complaints = String::from_utf8_lossy(&built.stderr);
    ensure!(
        built.status.success(),
        "the patched copy does not build:\n{complaints}"
    );
    Ok(target.join(profile).join("prove"))
}

impl Patch {
    /// Whether its text is there, exactly once.
    pub fn check(&self) -> anyhow::Result<()> {
        self.patched(&repository()).map(drop)
    }

    fn apply(&self, source: &Path) -> anyhow::Result<()> {
        Ok(fs::write(source.join(self.file), self.patched(source)?)?)
    }

    fn patched(&self, source: &Path) -> anyhow::Result<String> {
        let path = source.join(self.file);
        let text = fs::read_to_string(&path).with_context(|| self.file)?;
        let found = text.matches(self.text).count();
        ensure!(found == 1, "the patch {:?} fits {found} places", self.name);
        let on = format!(
            "std::env::var({SWITCH:?}).is_ok_and(|on| on.split({SEPARATOR:?}).any(|on| on == {:?}))",
            self.name
        );
        Ok(text.replace(self.text, &self.instead.replace(ON, &on)))
    }
}

/// Everything that cargo needs and the gates read, made anew.
fn copy_sources(from: &Path, to: &Path) -> anyhow::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    let folders = [
        "fuzz/corpus",
        "migrations",
        "tests",
        "vault-client",
        "vault-protocol",
        "vault-server",
    ];
    for name in folders {
        copy_folder(&from.join(name), &to.join(name))?;
    }
    for name in ["Cargo.toml", "Cargo.lock"] {
        fs::copy(from.join(name), to.join(name))?;
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if entry.is_dir() {
            if name != OsStr::new("node_modules") {
                copy_folder(&entry, &to.join(name))?;
            }
        } else {
            fs::copy(&entry, to.join(name))?;
        }
    }
    Ok(())
}

/// Dependencies are the same and need not be built again: hard links to what is built already. The
/// copy's own crates have another version, so cargo writes them under other names.
fn share_dependencies(from: &Path, to: &Path) -> anyhow::Result<()> {
    if to.exists() {
        return Ok(());
    }
    for name in ["deps", "build", ".fingerprint"] {
        link_folder(&from.join(name), &to.join(name))?;
    }
    Ok(())
}

fn link_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            link_folder(&from, &to)?;
        } else {
            fs::hard_link(&from, &to)?;
        }
    }
    Ok(())
}

fn replace(path: &Path, from: &str, to: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(path)?;
    ensure!(text.contains(from), "no {from} in {}", path.display());
    Ok(fs::write(path, text.replacen(from, to, 1))?)
}
