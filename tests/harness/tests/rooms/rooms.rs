//! The rooms of a crate: the folders and files that lie directly in its `src`.

use super::circles::circles;
use super::imports::{Import, Imports};

/// Which rooms a crate has, and which of them may know which.
pub struct Rooms {
    pub package: &'static str,
    /// From the ground up: a room knows rooms of its own layer and of those below.
    pub layers: &'static [&'static [&'static str]],
    /// What the layers would allow.
    pub never: &'static [(&'static str, &'static str)],
}

impl Rooms {
    /// Imports that the table does not allow, and circles of rooms. `lib.rs` and `main.rs` are
    /// doors, not rooms.
    pub fn violations(&self, folder: &str, imports: &Imports) -> Vec<String> {
        let mut violations = Vec::new();
        let mut between_rooms = Imports::default();
        for import in &imports.imports {
            let rooms = (room_of(folder, &import.from), room_of(folder, &import.to));
            let (Some(from), Some(to)) = rooms else {
                continue;
            };
            if from != to {
                violations.extend(self.violation(import, from, to));
                between_rooms.imports.insert(Import {
                    from: from.to_owned(),
                    to: to.to_owned(),
                    ..import.clone()
                });
            }
        }
        violations.extend(circles(&between_rooms));
        violations
    }

    fn violation(&self, import: &Import, from: &str, to: &str) -> Option<String> {
        let (Some(from_layer), Some(to_layer)) = (self.layer_of(from), self.layer_of(to)) else {
            return Some(format!(
                "{import}: the table has no layer for {from} or {to}"
            ));
        };
        let is_allowed = to_layer <= from_layer && !self.never.contains(&(from, to));
        (!is_allowed).then(|| format!("{import}: {from} must not know {to}"))
    }

    fn layer_of(&self, room: &str) -> Option<usize> {
        self.layers.iter().position(|layer| layer.contains(&room))
    }
}

fn room_of<'a>(folder: &str, file: &'a str) -> Option<&'a str> {
    let path = file.strip_prefix(folder)?.strip_prefix("/src/")?;
    let first = path.split('/').next()?;
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "main"].contains(&room)).then_some(room)
}
