//! What a command prints. `println!` panics when nobody can take the text, a full disk or a reader
//! that has gone; that has to be an error like any other, above all when the text is a new token.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::Context;

/// A line of what the command was asked for, on standard output.
pub(crate) fn line(text: impl Display) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    // Flushed, because an error while the process exits would be lost.
    let written = writeln!(output, "{text}").and_then(|()| output.flush());
    written.context("standard output cannot be written")
}

/// A line beside it, on standard error. Without that there is nobody left to be told.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
