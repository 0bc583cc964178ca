//! `backup`: encrypts a folder with the device's key.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vault_backup::{Skipped, SpecialKind, Summary};
use vault_client::KeyId;

use crate::arguments::Backup;
use crate::context::Context;
use crate::error::CliError;
use crate::output::Outcome;
use crate::words::{count, size};
use crate::work;

pub(crate) async fn run(context: &Context, options: Backup) -> Result<Outcome, CliError> {
    // Read and let go: the state is free for others while the backup runs.
    let key = context.used_key()?;
    let key_id = key.key_id();
    let target = target(&options.output, key_id);
    let written = target.clone();
    let source = options.source;
    let summary = work::on_files(context.screen, "Backing up", move |meter| {
        vault_backup::create_file(&source, &written, &key, meter)
    })
    .await?;
    for skipped in &summary.skipped {
        context.screen.warn(&format!(
            "left out, because it is {}: {:?}",
            kind(skipped.kind).1,
            // Quoted: a name could hold control sequences of a terminal.
            skipped.path
        ));
    }
    if vault_backup::key_id_in_name(&target) != Some(key_id) {
        context.screen.warn(&format!(
            "the file's name does not tell which key it needs: keep the key id {key_id} with it"
        ));
    }
    Ok(outcome(&target, key_id, &summary))
}

/// Numbers of a summary, for programs.
pub(super) fn numbers(summary: &Summary) -> Value {
    json!({
        "files": summary.files,
        "folders": summary.folders,
        "links": summary.links,
        "bytes": summary.bytes,
        "skipped": summary.skipped.iter().map(skipped).collect::<Vec<_>>(),
    })
}

/// The same for people.
pub(super) fn words(summary: &Summary) -> String {
    let mut parts = vec![
        count(summary.files, "file"),
        count(summary.folders, "folder"),
    ];
    if summary.links > 0 {
        parts.push(count(summary.links, "link"));
    }
    if !summary.skipped.is_empty() {
        parts.push(format!("{} left out", summary.skipped.len()));
    }
    format!("{}; {}", parts.join(", "), size(summary.bytes))
}

fn target(output: &Path, key: KeyId) -> PathBuf {
    if output.is_dir() {
        output.join(vault_backup::file_name(key))
    } else {
        output.to_owned()
    }
}

fn outcome(target: &Path, key_id: KeyId, summary: &Summary) -> Outcome {
    let text = format!("Backed up to {}\n{}", target.display(), words(summary));
    let mut json = numbers(summary);
    json["file"] = json!(target.to_string_lossy());
    json["key_id"] = json!(key_id.to_string());
    Outcome::new(text, json)
}

fn skipped(skipped: &Skipped) -> Value {
    json!({"path": skipped.path.to_string_lossy(), "kind": kind(skipped.kind).0})
}

/// For programs and for people.
fn kind(kind: SpecialKind) -> (&'static str, &'static str) {
    match kind {
        SpecialKind::Socket => ("socket", "a socket"),
        SpecialKind::Pipe => ("pipe", "a pipe"),
        SpecialKind::Device => ("device", "a device"),
        // Or a kind that a later version of the library tells apart.
        _ => ("other", "neither a file, a folder nor a link"),
    }
}
