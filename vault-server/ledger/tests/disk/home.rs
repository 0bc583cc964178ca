//! A disk of a test's own, and the process that works on it above the layer.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use tempfile::TempDir;
use vault_disk::journal::{self, Record};
use vault_disk::replay::{self, Disk, Tree};
use vault_disk::shim::{Layer, Shim};

use super::sweep;
use super::workload::{self, LONG, Notes, Place, REBUILT, Script, USUAL};

const HOME: &str = "VAULT_LEDGER_TEST_DISK";
const SCRIPT: &str = "VAULT_LEDGER_TEST_SCRIPT";

/// The work of the process.
pub fn work_if_asked() {
    let Some(home) = env::var_os(HOME).map(PathBuf::from) else {
        return;
    };
    let mut notes = Notes::at(&home.join("notes"));
    let place = Place {
        root: home.join("disk"),
        script: match env::var(SCRIPT).as_deref() {
            Ok("long") => LONG,
            Ok("rebuilt") => REBUILT,
            _ => USUAL,
        },
    };
    match workload::work(&place, &mut notes) {
        Ok(()) => notes.say("done"),
        Err(_) => notes.say("stopped"),
    }
}

/// A disk of the test's own, in memory if this machine has a place for that.
pub struct Home {
    temporary: TempDir,
    shim: Shim,
    script: Script,
}

impl Home {
    pub fn new() -> Option<Home> {
        Home::with(USUAL)
    }

    pub fn with(script: Script) -> Option<Home> {
        let shim = Shim::get(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
        let temporary = sweep::scratch();
        fs::create_dir(temporary.path().join("disk")).unwrap();
        Some(Home {
            temporary,
            shim,
            script,
        })
    }

    fn path(&self) -> PathBuf {
        self.temporary.path().canonicalize().unwrap()
    }

    pub fn root(&self) -> PathBuf {
        self.path().join("disk")
    }

    pub fn place(&self) -> Place {
        Place {
            root: self.root(),
            script: self.script,
        }
    }

    /// Runs the work above the layer. The journal goes on where an earlier process's ended.
    pub fn run(&self, layer: Layer) -> Vec<Record> {
        let journal = self.path().join("journal");
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["child", "--exact", "--nocapture"])
            .env(HOME, self.path())
            .env(SCRIPT, self.script.name)
            .stdout(Stdio::null());
        let layer = Layer {
            folders: vec![self.root()],
            journal: Some(journal.clone()),
            notes: Some(self.path().join("notes")),
            ..layer
        };
        self.shim.put_below(&mut command, &layer);
        let starting = workload::STARTING.write().unwrap();
        let mut process = command.spawn().unwrap();
        drop(starting);
        let status = process.wait().unwrap();
        assert!(
            status.success() || layer.kill.is_some(),
            "{status} with {:?}",
            layer.fail
        );
        journal::read(&journal)
    }

    /// The files hold the bytes of the journal: no call passed the layer by.
    pub fn assert_complete(&self, records: &[Record]) {
        let mut disk = Disk::holding(&self.root(), Tree::new());
        records.iter().for_each(|record| disk.apply(&record.event));
        let (seen, found) = (disk.seen(), replay::load(&self.root()));
        assert!(
            seen.keys().eq(found.keys()),
            "{:?} {:?}",
            seen.keys(),
            found.keys()
        );
        for (path, content) in &found {
            assert!(
                content == &seen[path],
                "{path:?} was written past the layer"
            );
        }
    }
}

/// For tests that run after the layer was compiled once.
pub fn new_home() -> Home {
    Home::new().expect("the layer is compiled")
}
