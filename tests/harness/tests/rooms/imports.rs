//! Which file of a target imports which, and on which line.
//!
//! An import leads to the file that *defines* the name: a `mod.rs` that only hands a name on is
//! passed through. A private `use` of a module counts where `module::name` is written. `mod b;`
//! alone is no import; but a child that uses what its parent's file defines, while the parent uses
//! the child, makes a circle.

use std::collections::BTreeSet;
use std::fmt;

use super::modules::{ModulePath, Modules, Target};
use super::references::{Kind, Reference};
use super::sources::Sources;

/// Ordered by the two files, then by line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    pub from: String,
    pub to: String,
    pub line: usize,
    /// As it is written.
    pub path: String,
}

/// A path that leads out of the crate.
pub struct Outside {
    pub from: String,
    pub line: usize,
    pub path: Vec<String>,
}

#[derive(Default)]
pub struct Imports {
    pub imports: BTreeSet<Import>,
    pub outside: Vec<Outside>,
    /// Where product code names a module for tests.
    pub modules_for_tests: Vec<String>,
}

impl Imports {
    pub fn of_target(sources: &Sources, root: &str) -> Self {
        let modules = Modules::of_target(sources, root);
        let mut imports = Self::default();
        for (path, module) in &modules.modules {
            for reference in &module.references {
                imports.add(&modules, path, reference);
            }
        }
        imports
    }

    fn add(&mut self, modules: &Modules, module: &ModulePath, reference: &Reference) {
        let from = modules.modules[module].file.clone();
        let (line, path) = (reference.line, reference.path.join("::"));
        let target = modules.target(module, &reference.path);
        if target == Some(Target::ModuleForTests) {
            let place = format!("{from}:{line} names the module for tests `{path}`");
            self.modules_for_tests.push(place);
        }
        if reference.is_for_tests {
            return;
        }
        let to = match target {
            None => {
                let path = reference.path.clone();
                self.outside.push(Outside { from, line, path });
                return;
            }
            Some(Target::ModuleForTests) => return,
            Some(Target::Module(_)) if counts_elsewhere(modules, module, reference) => return,
            Some(Target::Module(path) | Target::ItemOf(path)) => &modules.modules[&path].file,
        };
        if *to != from {
            let to = to.clone();
            self.imports.insert(Import {
                from,
                to,
                line,
                path,
            });
        }
    }
}

/// A private `use` of a module imports nothing by itself, if something of it is used by its name.
fn counts_elsewhere(modules: &Modules, module: &ModulePath, reference: &Reference) -> bool {
    let Kind::Use {
        name,
        is_public: false,
    } = &reference.kind
    else {
        return false;
    };
    let references = &modules.modules[module].references;
    references
        .iter()
        .any(|other| other.path.len() > 1 && other.path[0] == *name)
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from,
            to,
            line,
            path,
        } = self;
        write!(f, "{from}:{line} `{path}` -> {to}")
    }
}
