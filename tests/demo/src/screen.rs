//! The demo's screen: chapters, lines, progress bars.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use vault_backup::Progress;

/// A chapter's heading.
pub fn chapter(title: &str) {
    println!("\n{title}");
}

/// Something that came out as it should.
pub fn done(text: impl AsRef<str>) {
    println!("  ok  {}", text.as_ref());
}

/// Something to know.
pub fn note(text: impl AsRef<str>) {
    println!("      {}", text.as_ref());
}

/// A spinner while a password is stretched; removed when dropped.
pub struct Working(ProgressBar);

/// A bar for bytes; removed when dropped.
pub struct Bytes(ProgressBar);

impl Working {
    /// Shows what is being done.
    pub fn on(what: &'static str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }
}

impl Bytes {
    /// Shows what is being done.
    pub fn of(what: &'static str) -> Self {
        let style = ProgressStyle::with_template("      {msg} [{bar:30}] {bytes}/{total_bytes}")
            .expect("the template is well-formed");
        Self(ProgressBar::new(0).with_style(style).with_message(what))
    }
}

impl Progress for Bytes {
    fn advanced(&mut self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
