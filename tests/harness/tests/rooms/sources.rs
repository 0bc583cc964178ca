//! The files of the workspace, as text: all of it from the disk, or a few made up by a test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

/// Paths from the root of the workspace, with `/`, and the text of each file.
pub struct Sources(BTreeMap<String, String>);

#[derive(Clone)]
pub struct Package {
    pub name: String,
    /// From the root of the workspace.
    pub folder: String,
    /// Names of normal dependencies and of those of the build script.
    pub dependencies: Vec<String>,
    /// The root file of each target: library, programs, tests, benches, examples.
    pub roots: Vec<String>,
}

impl Sources {
    /// Every source file and manifest, but not the ones that a build has made.
    pub fn of_workspace() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .find(|folder| folder.join("PROTOCOL.md").exists())
            .expect("this crate is below the root of the workspace");
        let mut files = BTreeMap::new();
        read_folder(root, "", &mut files);
        Self(files)
    }

    pub fn made_up(files: &[(&str, &str)]) -> Self {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        Self(files.iter().map(owned).collect())
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// All files whose name ends like this.
    pub fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .iter()
            .filter(move |(path, _)| path.ends_with(end))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub fn packages(&self) -> Vec<Package> {
        self.ending("Cargo.toml")
            .filter_map(|(path, text)| {
                let manifest: Table = text.parse().expect("Cargo reads it too");
                let name = manifest.get("package")?.get("name")?.as_str()?;
                let folder = path.strip_suffix("Cargo.toml")?.trim_end_matches('/');
                Some(Package {
                    name: name.to_owned(),
                    folder: folder.to_owned(),
                    dependencies: dependencies(&manifest),
                    roots: self.roots(folder, &manifest),
                })
            })
            .collect()
    }

    pub fn package(&self, name: &str) -> Package {
        let found = self.packages().into_iter().find(|p| p.name == name);
        found.unwrap_or_else(|| panic!("no package {name}"))
    }

    fn roots(&self, folder: &str, manifest: &Table) -> Vec<String> {
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let named = named_roots(manifest).map(|path| format!("{prefix}{path}"));
        let found = self
            .0
            .keys()
            .filter(|path| path.strip_prefix(&prefix).is_some_and(is_root_by_its_place));
        let mut roots: Vec<String> = named.chain(found.cloned()).collect();
        roots.sort();
        roots.dedup();
        roots
    }
}

fn read_folder(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("a folder of the workspace") {
        let entry = entry.expect("a folder of the workspace");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let path = entry.path();
        if path.is_dir() {
            if !name.starts_with('.') && !["target", "node_modules", "corpus"].contains(&&*name) {
                read_folder(&path, &format!("{prefix}{name}/"), files);
            }
        } else if name.ends_with(".rs") || name == "Cargo.toml" {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            files.insert(format!("{prefix}{name}"), text);
        }
    }
}

fn dependencies(manifest: &Table) -> Vec<String> {
    ["dependencies", "build-dependencies"]
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_table())
        .flat_map(|section| section.keys().cloned())
        .collect()
}

/// Targets that name their root file.
fn named_roots(manifest: &Table) -> impl Iterator<Item = &str> {
    let library = manifest.get("lib").into_iter();
    let others = ["bin", "test", "bench", "example"]
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_array())
        .flatten();
    library
        .chain(others)
        .filter_map(|target| target.get("path").and_then(Value::as_str))
}

/// Where Cargo looks for targets.
fn is_root_by_its_place(path: &str) -> bool {
    if ["src/lib.rs", "src/main.rs", "build.rs"].contains(&path) {
        return true;
    }
    ["src/bin/", "tests/", "benches/", "examples/"]
        .iter()
        .filter_map(|folder| path.strip_prefix(folder))
        .any(|path| match path.split_once('/') {
            None => true,
            Some((_, file)) => file == "main.rs",
        })
}
