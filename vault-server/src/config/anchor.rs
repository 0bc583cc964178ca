//! Where the anchors are: the small files without which a database opens nothing.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use vault_ledger::Options;

use super::sources::ANCHOR_MIRRORS;

/// The key of the anchor that there always is.
const PATH: &str = "anchor.path";

/// The ledger's limit without `anchor.path`.
const MAX_MIRRORS: usize = Options::ANCHOR_LIMIT - 1;

/// The anchor and its mirrors, in no order that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnchorConfig {
    pub(crate) path: PathBuf,
    /// Further anchors, which hold the same.
    pub(crate) mirrors: Vec<PathBuf>,
}

impl AnchorConfig {
    /// Fills in the default: a folder beside the data folder, and never in it.
    pub(super) fn of(path: Option<PathBuf>, mirrors: &[PathBuf], data_folder: &Path) -> Self {
        let path = path.unwrap_or_else(|| beside(data_folder));
        Self {
            path: tidy(&path),
            mirrors: mirrors.iter().map(|mirror| tidy(mirror)).collect(),
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Path> {
        self.named().map(|(_, path)| path)
    }

    /// All of them, each with the key under which it is written.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let mirrors = self
            .mirrors
            .iter()
            .map(|mirror| (ANCHOR_MIRRORS, mirror.as_path()));
        std::iter::once((PATH, self.path.as_path())).chain(mirrors)
    }

    /// The key of the first place that cannot be one of an anchor, and the reason.
    pub(crate) fn refusal(&self, data_folder: &Path) -> Option<(&'static str, String)> {
        let count = self.mirrors.len();
        if count > MAX_MIRRORS {
            let reason = format!("{count} are too many; at most {MAX_MIRRORS}");
            return Some((ANCHOR_MIRRORS, reason));
        }
        let data_folder = resolved(data_folder);
        let mut seen = Vec::new();
        for (key, path) in self.named() {
            let place = resolved(path);
            let path = path.display();
            if place.starts_with(&data_folder) {
                let reason = format!(
                    "{path} is inside the data folder: a copy of that folder would have the anchor \
                     in it; put it elsewhere, best on a volume of its own"
                );
                return Some((key, reason));
            }
            if seen.contains(&place) {
                let reason = format!("{path} is named twice: a mirror is another file");
                return Some((key, reason));
            }
            seen.push(place);
        }
        None
    }
}

/// `/var/lib/NAME-anchor/anchor` for the data folder `/var/lib/NAME`.
fn beside(data_folder: &Path) -> PathBuf {
    let Some(name) = data_folder.file_name() else {
        // The root: no place is outside it, and the check says so.
        return data_folder.join("anchor");
    };
    let mut name = OsString::from(name);
    name.push("-anchor");
    data_folder.with_file_name(name).join("anchor")
}

/// Without doubled or trailing slashes and `.`: one path, one spelling.
fn tidy(path: &Path) -> PathBuf {
    path.components().collect()
}

/// With every `..` resolved by its text alone: the path need not exist yet.
fn resolved(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            resolved.pop();
        } else {
            resolved.push(part);
        }
    }
    resolved
}
