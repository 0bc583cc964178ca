//! Each check on a few made-up files: what it finds, and what it lets through.

use super::circles::circles;
use super::imports::Imports;
use super::rooms::Rooms;
use super::sources::Sources;
use super::workspace::{
    forbidden_crates, forbidden_dependencies, names_of_test_crates, path_attributes,
};

const ROOT: &str = "a/src/lib.rs";

/// The circles of a crate made of these files.
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    circles(&imports_of(files))
}

fn imports_of(files: &[(&str, &str)]) -> Imports {
    Imports::of_target(&Sources::made_up(files), ROOT)
}

/// From, line, to.
fn edges_of(files: &[(&str, &str)]) -> Vec<(String, usize, String)> {
    let imports = imports_of(files).imports.into_iter();
    let short = |path: &str| path.trim_start_matches("a/src/").to_owned();
    imports
        .map(|import| (short(&import.from), import.line, short(&import.to)))
        .collect()
}

#[test]
fn two_files_that_import_each_other_are_a_circle() {
    let found = circles_of(&[
        (ROOT, "mod b; mod c;"),
        ("a/src/b.rs", "use crate::c::C; pub struct B;"),
        ("a/src/c.rs", "\nuse crate::b::B; pub struct C;"),
    ]);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("a circle of 2 files"), "{}", found[0]);
    assert!(found[0].contains("a/src/c.rs:2 `crate::b::B` -> a/src/b.rs"));
}

#[test]
fn a_circle_of_three_is_found_and_a_file_beside_it_is_not_in_it() {
    let found = circles_of(&[
        (ROOT, "mod b; mod c; mod d; mod e;"),
        (
            "a/src/b.rs",
            "use crate::c::C; use crate::e::E; pub struct B;",
        ),
        ("a/src/c.rs", "use super::d; pub struct C(d::D);"),
        (
            "a/src/d.rs",
            "pub struct D; fn b() { let _ = crate::b::B; }",
        ),
        ("a/src/e.rs", "pub struct E;"),
    ]);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("a circle of 3 files"), "{}", found[0]);
    assert!(!found[0].contains("e.rs"));
}

#[test]
fn imports_in_one_direction_are_no_circle() {
    let found = circles_of(&[
        (ROOT, "mod b; mod c; pub use c::C;"),
        ("a/src/b.rs", "pub struct B;"),
        ("a/src/c.rs", "use crate::b::B; pub struct C(B);"),
    ]);
    assert_eq!(found, Vec::<String>::new());
}

/// `mod child;` is no import, but a use of the child is.
#[test]
fn a_child_that_uses_what_its_parent_defines_is_a_circle_if_the_parent_uses_the_child() {
    let child = ("a/src/b/c.rs", "use super::B; pub fn c(_: B) {}");
    let uses = "mod c; pub struct B; fn f() { c::c(B) }";
    let declares = "mod c; pub struct B;";
    let found = circles_of(&[(ROOT, "mod b;"), ("a/src/b/mod.rs", uses), child]);
    assert_eq!(found.len(), 1);
    let found = circles_of(&[(ROOT, "mod b;"), ("a/src/b/mod.rs", declares), child]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_name_that_is_handed_on_leads_to_the_file_that_defines_it() {
    let files = [
        (ROOT, "mod b; mod d;"),
        (
            "a/src/b/mod.rs",
            "mod c; mod e; pub use c::C; pub use self::e::*;",
        ),
        ("a/src/b/c.rs", "pub struct C;"),
        ("a/src/b/e.rs", "pub struct E;"),
        ("a/src/d.rs", "use crate::b::{C, E};"),
    ];
    let edges = edges_of(&files);
    let of_d: Vec<&str> = edges
        .iter()
        .filter(|(from, ..)| from == "d.rs")
        .map(|(.., to)| &**to)
        .collect();
    assert_eq!(of_d, ["b/c.rs", "b/e.rs"]);
}

#[test]
fn a_used_module_counts_where_something_of_it_is_named() {
    let facade = ("a/src/b/mod.rs", "mod c; pub use c::f;");
    let edges = edges_of(&[
        (ROOT, "mod b; mod d;"),
        facade,
        ("a/src/b/c.rs", "pub fn f() {}"),
        ("a/src/d.rs", "use crate::b;\nfn g() { b::f() }"),
    ]);
    assert!(edges.contains(&("d.rs".to_owned(), 2, "b/c.rs".to_owned())));
    assert!(
        !edges
            .iter()
            .any(|(from, _, to)| from == "d.rs" && to == "b/mod.rs")
    );
}

#[test]
fn paths_are_found_in_expressions_types_macros_and_inner_modules() {
    for code in [
        "fn f() { crate::c::f() }",
        "fn f() { super::c::f() }",
        "type T = crate::c::T;",
        "fn f() { println!(\"{}\", crate::c::f()) }",
        "fn f() { use crate::c; c::f() }",
        "mod inner { use super::super::c::T; }",
        "impl crate::c::T {}",
        "use crate as root; fn f() { root::c::f() }",
    ] {
        let edges = edges_of(&[
            (ROOT, "mod b; mod c;"),
            ("a/src/b.rs", code),
            ("a/src/c.rs", "pub fn f() {} pub struct T;"),
        ]);
        assert_eq!(edges, [("b.rs".to_owned(), 1, "c.rs".to_owned())], "{code}");
    }
}

#[test]
fn other_crates_and_code_for_tests_are_no_imports() {
    for code in [
        "use std::fmt; use c_of_another::c;",
        "#[cfg(test)] use crate::c::f;",
        "#[cfg(test)] mod tests { use crate::c::f; }",
        "#[cfg(all(test, unix))] fn f() { crate::c::f() }",
        "fn f() { #[cfg(test)] crate::c::f(); }",
        "pub(in crate::c) fn f() {}",
    ] {
        let edges = edges_of(&[
            (ROOT, "mod b; mod c;"),
            ("a/src/b.rs", code),
            ("a/src/c.rs", "pub fn f() {}"),
        ]);
        assert_eq!(edges, [], "{code}");
    }
}

#[test]
fn code_for_tests_that_names_a_module_for_tests_is_found() {
    let found = imports_of(&[
        (ROOT, "mod b; #[cfg(test)] mod tests;"),
        (
            "a/src/b.rs",
            "fn f() { #[cfg(test)] crate::tests::note(); }",
        ),
        ("a/src/tests.rs", "pub fn note() {}"),
    ]);
    assert_eq!(found.modules_for_tests.len(), 1);
    assert!(found.modules_for_tests[0].starts_with("a/src/b.rs:1"));
}

#[test]
fn a_room_must_not_know_what_its_table_forbids() {
    let table = Rooms {
        package: "a",
        layers: &[&["low"], &["left", "right"]],
        never: &[("left", "right")],
    };
    let violations = |low: &str, left: &str, right: &str| {
        let imports = imports_of(&[
            (ROOT, "mod low; mod left; mod right;"),
            ("a/src/low.rs", low),
            ("a/src/left/mod.rs", left),
            ("a/src/right.rs", right),
        ]);
        table.violations("a", &imports)
    };
    let (low, left, right) = (
        "use crate::low::L;",
        "use crate::left::L;",
        "use crate::right::L;",
    );
    assert_eq!(violations("", low, low), Vec::<String>::new());
    assert_eq!(violations("", low, left), Vec::<String>::new());
    for found in [violations(left, "", ""), violations("", right, "")] {
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("must not know"), "{}", found[0]);
    }
}

#[test]
fn a_room_that_the_table_does_not_have_is_found_and_so_is_a_circle_of_rooms() {
    let table = Rooms {
        package: "a",
        layers: &[&["b", "c"]],
        never: &[],
    };
    let imports = imports_of(&[
        (ROOT, "mod b; mod d;"),
        ("a/src/b.rs", "pub struct B;"),
        ("a/src/d.rs", "use crate::b::B;"),
    ]);
    assert_eq!(table.violations("a", &imports).len(), 1);
    let imports = imports_of(&[
        (ROOT, "mod b; mod c;"),
        ("a/src/b/mod.rs", "mod one; mod two;"),
        ("a/src/b/one.rs", "use crate::c::C;"),
        ("a/src/b/two.rs", "pub struct Two;"),
        ("a/src/c/mod.rs", "mod one; pub struct C;"),
        ("a/src/c/one.rs", "use crate::b::two::Two;"),
    ]);
    assert_eq!(circles(&imports), Vec::<String>::new());
    assert_eq!(table.violations("a", &imports).len(), 1);
}

fn manifest(name: &str, dependencies: &str) -> String {
    format!("[package]\nname = \"{name}\"\n[dependencies]\n{dependencies}\n")
}

#[test]
fn a_crate_must_not_depend_on_what_its_table_forbids() {
    let forbidden = |dependencies: &str| {
        let (client, server) = (
            manifest("vault-client", dependencies),
            manifest("vault-server", ""),
        );
        let sources = Sources::made_up(&[
            ("vault-client/Cargo.toml", &client),
            ("vault-server/Cargo.toml", &server),
        ]);
        forbidden_dependencies(&sources.packages())
    };
    assert_eq!(forbidden("serde = \"1\""), Vec::<String>::new());
    assert_eq!(forbidden("tar.workspace = true").len(), 1);
    assert_eq!(forbidden("vault-server.workspace = true").len(), 1);
    let unknown = manifest("vault-new", "");
    let sources = Sources::made_up(&[("vault-new/Cargo.toml", &unknown)]);
    assert_eq!(forbidden_dependencies(&sources.packages()).len(), 1);
}

#[test]
fn a_foreign_crate_outside_its_rooms_is_found() {
    let ledger = manifest("vault-ledger", "");
    let files = |engine| {
        [
            ("l/Cargo.toml", &*ledger),
            ("l/src/lib.rs", "mod engine; mod store;"),
            ("l/src/engine.rs", engine),
            ("l/src/store/mod.rs", "mod sqlite;"),
            ("l/src/store/sqlite/mod.rs", "use rusqlite::Connection;"),
        ]
    };
    let found = |engine| {
        let sources = Sources::made_up(&files(engine));
        let imports = Imports::of_target(&sources, "l/src/lib.rs");
        forbidden_crates(&sources.package("vault-ledger"), &imports)
    };
    assert_eq!(found(""), Vec::<String>::new());
    assert_eq!(found("fn f(_: rusqlite::Error) {}").len(), 1);
    assert_eq!(found("use rusqlite::Error;").len(), 1);
}

#[test]
fn paths_of_modules_and_names_of_test_crates_are_found() {
    let (product, tests) = (manifest("vault-server", ""), manifest("vault-tests", ""));
    let found = |code| {
        let sources = Sources::made_up(&[
            ("s/Cargo.toml", &product),
            ("tests/harness/Cargo.toml", &tests),
            ("s/src/lib.rs", code),
        ]);
        (
            path_attributes(&sources).len(),
            names_of_test_crates(&sources).len(),
        )
    };
    assert_eq!(found("mod a; // as vault_server"), (0, 0));
    assert_eq!(found("#[path = \"../../x.rs\"]\nmod a;"), (1, 0));
    assert_eq!(found("use vault_tests::device;"), (0, 1));
}

#[test]
fn targets_are_found_where_cargo_finds_them() {
    let text = format!(
        "{}[[bin]]\nname = \"b\"\npath = \"bins/b.rs\"\n",
        manifest("a", "")
    );
    let sources = Sources::made_up(&[
        ("a/Cargo.toml", &text),
        ("a/src/lib.rs", ""),
        ("a/src/other.rs", ""),
        ("a/src/bin/c.rs", ""),
        ("a/tests/t.rs", ""),
        ("a/tests/u/main.rs", ""),
        ("a/tests/u/part.rs", ""),
    ]);
    assert_eq!(
        sources.package("a").roots,
        [
            "a/bins/b.rs",
            "a/src/bin/c.rs",
            "a/src/lib.rs",
            "a/tests/t.rs",
            "a/tests/u/main.rs"
        ]
    );
}
