//! The layer between a process and its disk (`shim.c`): compiled here, and set up for a
//! process by its environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{env, fs, process};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/shim.c");

/// The compiled library.
#[derive(Clone, Copy)]
pub struct Shim {
    library: &'static Path,
}

/// The layer's orders for one process. Folders and files are canonical paths.
#[derive(Clone, Default)]
pub struct Layer {
    /// Only calls on files below these are seen.
    pub folders: Vec<PathBuf>,
    /// The file that takes the record of the calls.
    pub journal: Option<PathBuf>,
    /// Writes to this file become notes of the journal.
    pub notes: Option<PathBuf>,
    /// None fails without it.
    pub fail: Option<Fail>,
    /// The process lives on without it.
    pub kill: Option<Kill>,
    /// None is skipped without it.
    pub skip: Option<Skip>,
    /// Only calls on paths that end so are counted.
    pub only: Option<&'static str>,
    /// They are neither counted nor recorded without it.
    pub sends: Option<Sends>,
}

/// Which call fails, counted from 1, and how.
#[derive(Clone, Copy, Debug)]
pub struct Fail {
    /// The number of the call, from 1.
    pub call: u64,
    /// Its answer.
    pub with: Fault,
    /// All later ones too.
    pub from_then_on: bool,
}

/// The error of a call that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `EIO`.
    Broken,
    /// `ENOSPC`.
    Full,
    /// Half of a write, and then `ENOSPC`.
    Short,
}

/// At which call the process is killed.
#[derive(Clone, Copy, Debug)]
pub enum Kill {
    /// The call is not made any more.
    Before(u64),
    /// The call is made.
    After(u64),
}

/// The treatment of bytes that are sent through TCP connections.
#[derive(Clone, Copy, Debug)]
pub enum Sends {
    /// Is one of the counted calls, and recorded.
    Counted,
    /// Is recorded, but not counted.
    Recorded,
}

/// Calls that are answered as done and are not.
#[derive(Clone, Copy, Debug)]
pub enum Skip {
    /// Syncs of paths that end so.
    Syncs(&'static str),
    /// Writes to and syncs of paths that end so, until a path that ends so is opened.
    Until {
        /// The end of the path that ends it.
        opened: &'static str,
        /// The end of the paths that are skipped.
        path: &'static str,
    },
}

impl Shim {
    /// Compiles it, once for this process. Fails on a system that is not Linux or without a C
    /// compiler.
    pub fn compiled(scratch: &Path) -> Result<Shim, String> {
        static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let library = LIBRARY.get_or_init(|| compile(scratch));
        let library = library.as_deref().map_err(Clone::clone)?;
        Ok(Shim { library })
    }

    /// The same for a test: `None`, and it says that it is skipped, where it cannot be compiled; an
    /// error with `VAULT_TESTS_REQUIRE_TOOLS=1`.
    pub fn get(scratch: &Path) -> Option<Shim> {
        let compiled = Shim::compiled(scratch);
        if let Err(reason) = &compiled {
            let required = env::var_os("VAULT_TESTS_REQUIRE_TOOLS").is_some_and(|v| v == "1");
            assert!(!required, "{reason}");
            skipped(reason);
        }
        compiled.ok()
    }

    /// Puts the layer below the process that this command starts.
    pub fn put_below(self, command: &mut Command, layer: &Layer) {
        let folders = env::join_paths(&layer.folders).expect("no folder has a colon in its name");
        command
            .env("LD_PRELOAD", self.library)
            .env("DISK_SHIM_FOLDERS", folders);
        let settings = [
            ("DISK_SHIM_JOURNAL", layer.journal.clone().map(Into::into)),
            ("DISK_SHIM_NOTES", layer.notes.clone().map(Into::into)),
            ("DISK_SHIM_FAIL", layer.fail.map(Fail::setting)),
            ("DISK_SHIM_KILL", layer.kill.map(Kill::setting)),
            ("DISK_SHIM_SKIP", layer.skip.map(Skip::setting)),
            ("DISK_SHIM_ONLY", layer.only.map(Into::into)),
            ("DISK_SHIM_SENDS", layer.sends.map(Sends::setting)),
        ];
        for (name, value) in settings {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }
}

impl Fail {
    fn setting(self) -> OsString {
        let plus = if self.from_then_on { "+" } else { "" };
        let with = match self.with {
            Fault::Broken => "EIO",
            Fault::Full => "ENOSPC",
            Fault::Short => "SHORT",
        };
        format!("{}{plus}:{with}", self.call).into()
    }
}

impl Kill {
    fn setting(self) -> OsString {
        match self {
            Kill::Before(call) => call.to_string().into(),
            Kill::After(call) => format!("{call}+").into(),
        }
    }
}

impl Sends {
    fn setting(self) -> OsString {
        match self {
            Sends::Counted => "counted".into(),
            Sends::Recorded => "recorded".into(),
        }
    }
}

impl Skip {
    fn setting(self) -> OsString {
        match self {
            Skip::Syncs(path) => format!("sync:{path}").into(),
            Skip::Until { opened, path } => format!("until:{opened}:{path}").into(),
        }
    }
}

fn compile(scratch: &Path) -> Result<PathBuf, String> {
    if !cfg!(all(target_os = "linux", target_pointer_width = "64")) {
        return Err("the layer below a process is for Linux on 64 bits".to_owned());
    }
    // Under a name of this process's own first: others may load the same file at this moment.
    let unfinished = scratch.join(format!("shim-{}.so", process::id()));
    let library = scratch.join("shim.so");
    let compiled = Command::new("cc")
        .args(["-Wall", "-Wextra", "-shared", "-fPIC", "-O1", "-o"])
        .arg(&unfinished)
        .arg(SOURCE)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cc is missing: {error}"))?;
    if !compiled.status.success() {
        let said = String::from_utf8_lossy(&compiled.stderr);
        return Err(format!("cc did not compile {SOURCE}: {said}"));
    }
    fs::rename(&unfinished, &library).map_err(|error| format!("{library:?}: {error}"))?;
    Ok(library)
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skipped(reason: &str) {
    eprintln!("skipped: {reason}");
}
