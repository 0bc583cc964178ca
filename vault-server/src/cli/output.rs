//! The output of commands. `println!` panics when the text cannot be written: the disk is full, or
//! the reader has gone. That has to be an error like any other, above all when the text is a new
//! token.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::Context;

/// A line of the command's result, on standard output.
pub(crate) fn line(text: impl Display) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    // Flushed, because an error while the process exits would be lost.
    let written = writeln!(output, "{text}").and_then(|()| output.flush());
    written.context("standard output cannot be written")
}

/// A line beside it, on standard error. If that cannot be written, no place is left to report it.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
