//! The modules of one target: which file each is in, what it defines, and what it names.

use std::collections::{BTreeMap, BTreeSet};

use syn::Item;

use super::references::{Collector, Kind, Reference, attributes_of_item, is_for_tests};
use super::sources::Sources;

/// A path from the root of the crate; the root itself is empty.
pub type ModulePath = Vec<String>;

/// Imports that lead to each other are given up after so many steps.
const MAX_STEPS: usize = 16;

#[derive(Default)]
pub struct Module {
    pub file: String,
    defined: BTreeSet<String>,
    pub references: Vec<Reference>,
}

/// The modules of one target, without those for tests.
#[derive(Default)]
pub struct Modules {
    pub modules: BTreeMap<ModulePath, Module>,
    /// Compiled for tests only.
    for_tests: BTreeSet<ModulePath>,
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    Module(ModulePath),
    /// Something that this module defines.
    ItemOf(ModulePath),
    ModuleForTests,
}

impl Modules {
    /// # Panics
    /// If a file is missing or is no Rust.
    pub fn of_target(sources: &Sources, root: &str) -> Self {
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut modules = Self::default();
        modules.add_file(sources, root, folder, &Vec::new());
        modules
    }

    fn add_file(&mut self, sources: &Sources, file: &str, folder: &str, path: &ModulePath) {
        let text = sources.text(file).unwrap_or_else(|| panic!("no {file}"));
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.add_items(sources, &parsed.items, file, folder, path);
    }

    fn add_items(
        &mut self,
        sources: &Sources,
        items: &[Item],
        file: &str,
        folder: &str,
        path: &ModulePath,
    ) {
        let mut module = Module {
            file: file.to_owned(),
            ..Module::default()
        };
        let mut collector = Collector::default();
        for item in items {
            if let Item::Mod(child) = item {
                let name = child.ident.to_string();
                let child_path = joined(path, [&name]);
                let child_folder = format!("{folder}/{name}");
                if is_for_tests(attributes_of_item(item)) {
                    self.for_tests.insert(child_path);
                } else if let Some((_, items)) = &child.content {
                    self.add_items(sources, items, file, &child_folder, &child_path);
                } else {
                    let child_file = file_of_module(sources, &child_folder)
                        .unwrap_or_else(|| panic!("{file}: no file for `mod {name}`"));
                    self.add_file(sources, &child_file, &child_folder, &child_path);
                }
            } else {
                module.defined.extend(name_of(item));
                collector.item(item);
            }
        }
        module.references = collector.references;
        self.modules.insert(path.clone(), module);
    }

    /// Where a path leads that is written in this module. `None`: out of this crate.
    pub fn target(&self, module: &ModulePath, path: &[String]) -> Option<Target> {
        self.follow(&self.absolute(module, path, 0)?, 0)
    }

    /// The same path from the root of the crate.
    fn absolute(&self, module: &ModulePath, path: &[String], steps: usize) -> Option<ModulePath> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            _ if steps > MAX_STEPS => None,
            "crate" => Some(rest.to_vec()),
            "self" => Some(joined(module, rest)),
            "super" => {
                let (_, parent) = module.split_last()?;
                let parent = parent.to_vec();
                if rest.first().is_some_and(|next| next == "super") {
                    return self.absolute(&parent, rest, steps + 1);
                }
                Some(joined(&parent, rest))
            }
            name if self.is_child(module, name) => Some(joined(module, path)),
            name => {
                let import = self.import(module, name)?;
                let names_itself = import.first().is_some_and(|first| first == name);
                if names_itself {
                    return None;
                }
                Some(joined(&self.absolute(module, import, steps + 1)?, rest))
            }
        }
    }

    fn follow(&self, path: &[String], steps: usize) -> Option<Target> {
        let mut module = ModulePath::new();
        for (index, name) in path.iter().enumerate() {
            let child = joined(&module, [name]);
            if self.for_tests.contains(&child) {
                return Some(Target::ModuleForTests);
            }
            if self.modules.contains_key(&child) {
                module = child;
                continue;
            }
            if !self.modules[&module].defined.contains(name)
                && steps < MAX_STEPS
                && let Some(found) = self.follow_reexport(&module, &path[index..], steps)
            {
                return Some(found);
            }
            return Some(Target::ItemOf(module));
        }
        Some(Target::Module(module))
    }

    /// A name that another file defines and this module hands on.
    fn follow_reexport(
        &self,
        module: &ModulePath,
        path: &[String],
        steps: usize,
    ) -> Option<Target> {
        let (name, rest) = path.split_first()?;
        if let Some(import) = self.import(module, name) {
            let import = self.absolute(module, import, 0)?;
            return self.follow(&joined(&import, rest), steps + 1);
        }
        let globs = self.modules[module].references.iter();
        globs
            .filter(|reference| reference.kind == Kind::Glob)
            .filter_map(|glob| self.absolute(module, &glob.path, 0))
            .filter(|glob| self.has(glob, name))
            .find_map(|glob| self.follow(&joined(&glob, path), steps + 1))
    }

    fn has(&self, module: &ModulePath, name: &str) -> bool {
        let has =
            |module: &Module| module.defined.contains(name) || import_of(module, name).is_some();
        self.modules.get(module).is_some_and(has)
    }

    fn is_child(&self, module: &ModulePath, name: &str) -> bool {
        let child = joined(module, [name]);
        self.modules.contains_key(&child) || self.for_tests.contains(&child)
    }

    fn import(&self, module: &ModulePath, name: &str) -> Option<&[String]> {
        import_of(self.modules.get(module)?, name)
    }
}

fn import_of<'a>(module: &'a Module, wanted: &str) -> Option<&'a [String]> {
    module
        .references
        .iter()
        .find_map(|reference| match &reference.kind {
            Kind::Use { name, .. } if name == wanted => Some(&reference.path[..]),
            _ => None,
        })
}

fn file_of_module(sources: &Sources, folder: &str) -> Option<String> {
    [format!("{folder}.rs"), format!("{folder}/mod.rs")]
        .into_iter()
        .find(|file| sources.text(file).is_some())
}

fn joined<S: AsRef<str>>(path: &[String], rest: impl IntoIterator<Item = S>) -> ModulePath {
    let rest = rest.into_iter().map(|name| name.as_ref().to_owned());
    path.iter().cloned().chain(rest).collect()
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}
