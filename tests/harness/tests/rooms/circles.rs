//! Circles of files.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::{Import, Imports};

type Next<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// A text for each set of files that all import each other, directly or not: with the first import
/// that leads from one of them to another.
pub fn circles(imports: &Imports) -> Vec<String> {
    let mut next = Next::new();
    for import in &imports.imports {
        next.entry(&import.from).or_default().insert(&import.to);
    }
    let reached = |file: &&str| (file.to_string(), reached_from(file, &next));
    let reached: BTreeMap<String, BTreeSet<&str>> = next.keys().map(reached).collect();
    let reaches = |a: &str, b: &str| reached.get(a).is_some_and(|files| files.contains(b));
    let mut circles: Vec<Vec<&Import>> = Vec::new();
    for import in &imports.imports {
        if !reaches(&import.to, &import.from) {
            continue;
        }
        let is_same = |circle: &&mut Vec<&Import>| {
            reaches(&import.from, &circle[0].from) && reaches(&circle[0].from, &import.from)
        };
        match circles.iter_mut().find(is_same) {
            Some(circle) => circle.push(import),
            None => circles.push(vec![import]),
        }
    }
    circles.into_iter().map(in_words).collect()
}

fn reached_from<'a>(file: &str, next: &Next<'a>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![file];
    while let Some(file) = waiting.pop() {
        for imported in next.get(file).into_iter().flatten() {
            if reached.insert(*imported) {
                waiting.push(imported);
            }
        }
    }
    reached
}

fn in_words(mut circle: Vec<&Import>) -> String {
    circle.dedup_by(|a, b| a.from == b.from && a.to == b.to);
    let files: BTreeSet<&str> = circle.iter().map(|import| &*import.from).collect();
    let lines = circle.iter().map(|import| format!("  {import}\n"));
    format!(
        "a circle of {} files:\n{}",
        files.len(),
        lines.collect::<String>()
    )
}
