//! Checks on manifests, on foreign crates, and on the words of the sources.

use super::imports::Imports;
use super::sources::{Package, Sources};
use super::tables::{CRATES, FOREIGN, NEVER_CRATES};

/// Test crates lie here.
const TESTS: &str = "tests/";

/// Dependencies of product crates that the tables do not allow. (Tests of a product crate may depend
/// on a test crate.)
pub fn forbidden_dependencies(packages: &[Package]) -> Vec<String> {
    let mut forbidden = Vec::new();
    for package in packages.iter().filter(|p| is_product(&p.folder)) {
        let name = &*package.name;
        let Some((_, may_know)) = CRATES.iter().find(|(product, _)| *product == name) else {
            forbidden.push(format!("{name}: the table has no line for it"));
            continue;
        };
        let is_ours = |crate_name: &str| packages.iter().any(|p| p.name == crate_name);
        for dependency in &package.dependencies {
            let is_never = NEVER_CRATES
                .iter()
                .any(|(product, never)| *product == name && never.contains(&&**dependency));
            if is_never || is_ours(dependency) && !may_know.contains(&&**dependency) {
                forbidden.push(format!("{name} must not depend on {dependency}"));
            }
        }
    }
    forbidden
}

/// Foreign crates that are named outside their rooms.
pub fn forbidden_crates(package: &Package, imports: &Imports) -> Vec<String> {
    let mut forbidden = Vec::new();
    let src = format!("{}/src/", package.folder);
    for outside in &imports.outside {
        let Some(place) = outside.from.strip_prefix(&src) else {
            continue;
        };
        for (name, foreign, rooms) in FOREIGN {
            let is_meant = *name == package.name && outside.path[0] == *foreign;
            if is_meant && !rooms.iter().any(|room| place.starts_with(room)) {
                let (from, line) = (&outside.from, outside.line);
                forbidden.push(format!("{from}:{line} must not know {foreign}"));
            }
        }
    }
    forbidden
}

/// Modules whose file is named by `#[path]`: they reach through the walls of a crate.
pub fn path_attributes(sources: &Sources) -> Vec<String> {
    lines_with(sources, |_, line| {
        let compact: String = line.split_whitespace().collect();
        compact.starts_with("#[path=") || compact.starts_with("#![path=")
    })
}

/// Product sources that name a test crate.
pub fn names_of_test_crates(sources: &Sources) -> Vec<String> {
    let packages = sources.packages();
    let crates: Vec<String> = packages
        .iter()
        .filter(|package| !is_product(&package.folder))
        .map(|package| package.name.replace('-', "_"))
        .collect();
    lines_with(sources, |path, line| {
        let is_source = path.contains("/src/") && is_product(path);
        is_source && crates.iter().any(|name| line.contains(&**name))
    })
}

fn is_product(path: &str) -> bool {
    !path.starts_with(TESTS) && !path.starts_with("fuzz")
}

fn lines_with(sources: &Sources, is_meant: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources.ending(".rs") {
        for (line, number) in text.lines().zip(1..) {
            if is_meant(path, line) {
                found.push(format!("{path}:{number} {}", line.trim()));
            }
        }
    }
    found
}
