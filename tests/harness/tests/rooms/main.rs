//! Who may know whom, read from the sources: no circle of files in any crate, and the tables of
//! rooms and crates ([`tables`]).
//!
//! `made_up` shows for each check, on a few made-up files, that it fails when it should.

mod circles;
mod imports;
mod made_up;
mod modules;
mod references;
mod rooms;
mod sources;
mod tables;
mod workspace;

use std::sync::LazyLock;

use self::circles::circles;
use self::imports::Imports;
use self::sources::{Package, Sources};

static SOURCES: LazyLock<Sources> = LazyLock::new(Sources::of_workspace);

/// Of every target of every package.
static IMPORTS: LazyLock<Vec<(Package, Imports)>> = LazyLock::new(|| {
    let targets = SOURCES.packages().into_iter().flat_map(|package| {
        let roots = package.roots.clone();
        roots.into_iter().map(move |root| (package.clone(), root))
    });
    targets
        .map(|(package, root)| (package, Imports::of_target(&SOURCES, &root)))
        .collect()
});

/// Fails when, for example, `vault-server/rules/src/clock.rs` imports `crate::account`.
#[test]
fn no_crate_has_a_circle_of_files() {
    assert_none(in_every_target(|_, imports| circles(imports)));
}

/// Fails when, for example, a file of `vault-server/src/channel` imports `crate::service`.
#[test]
fn rooms_know_only_the_rooms_that_their_table_allows() {
    for table in tables::ROOMS {
        let folder = SOURCES.package(table.package).folder;
        assert_none(in_every_target(|_, imports| {
            table.violations(&folder, imports)
        }));
    }
}

/// Fails when, for example, `vault-client/Cargo.toml` depends on `tar`.
#[test]
fn crates_know_only_the_crates_that_their_table_allows() {
    assert_none(workspace::forbidden_dependencies(&SOURCES.packages()));
}

/// Fails when, for example, a file of `vault-server/ledger/src/engine` names `rusqlite`.
#[test]
fn a_foreign_crate_is_known_only_where_its_table_allows() {
    assert_none(in_every_target(workspace::forbidden_crates));
}

/// Fails when, for example, a test takes in a file of another crate by `#[path]`.
#[test]
fn no_source_names_the_file_of_a_module_by_its_path() {
    assert_none(workspace::path_attributes(&SOURCES));
}

/// Fails when, for example, `vault-server/ledger/src/store/sqlite/mod.rs` calls `crate::tests`,
/// also under `#[cfg(test)]`.
#[test]
fn product_code_names_no_test() {
    let modules = in_every_target(|_, imports| imports.modules_for_tests.clone());
    assert_none([modules, workspace::names_of_test_crates(&SOURCES)].concat());
}

fn in_every_target(check: impl Fn(&Package, &Imports) -> Vec<String>) -> Vec<String> {
    IMPORTS
        .iter()
        .flat_map(|(package, imports)| check(package, imports))
        .collect()
}

#[track_caller]
fn assert_none(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}
