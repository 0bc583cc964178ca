//! The layer between a server and its disk (`vault_disk`), as gates use it.

use std::env;
use std::path::PathBuf;

use anyhow::Context;
use vault_disk::shim::{Layer, Shim};
use vault_tests::process::server::{DidNotServe, ServerProcess, VaultFolder};

use crate::gate::NotHere;

/// The compiled layer.
pub fn shim() -> anyhow::Result<Shim> {
    let own = env::current_exe()?;
    let scratch = own.parent().context("a binary is in a folder")?;
    Ok(Shim::compiled(scratch).map_err(NotHere)?)
}

/// A layer that watches a vault's files, and changes nothing.
pub fn below(vault: &VaultFolder) -> anyhow::Result<Layer> {
    let folders: Result<Vec<PathBuf>, _> = ["data", "anchor"]
        .map(|name| vault.file(name).canonicalize())
        .into_iter()
        .collect();
    Ok(Layer {
        folders: folders?,
        ..Layer::default()
    })
}

/// Starts a server again above a layer, which may end it before it serves.
pub fn restart_above(
    server: &mut ServerProcess,
    shim: Shim,
    layer: &Layer,
) -> anyhow::Result<Result<(), DidNotServe>> {
    match server.restart_below(|command| shim.put_below(command, layer)) {
        Ok(()) => Ok(Ok(())),
        Err(error) => error.downcast().map(Err),
    }
}
