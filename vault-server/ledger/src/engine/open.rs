//! How a vault is created, and how each start finds its one state again.
//!
//! A start trusts nothing that a process before it left in memory: the writes of a killed one may be in
//! the page cache only, and a failed sync may have been forgotten. So:
//!
//! 1. The locks: data folder, database, every anchor.
//! 2. The database's WAL is written again and synced (`Store::open`).
//! 3. The root is opened with one of the at most two keys that the anchors hold. If none fits, the
//!    database is not the latest one, and the vault does not start.
//! 4. The WAL belongs to the database that it lies beside, as far as a spot check shows. The leaves are
//!    there without which nothing can be done. The anchors are exactly those that the root names.
//! 5. Only now is anything written: a checkpoint of the WAL (`Store::settle`), before any anchor. Where
//!    the operator accepts damage, the readable part becomes a new database (`rebuild.rs`).
//! 6. One whole batch without changes, with a number above all that were ever seen. After it, one
//!    root key is left, on all anchors, durably; every interrupted batch is decided.

use rand::RngCore;
use rand::rngs::OsRng;

use crate::anchor::file::refuse_in_folder;
use crate::anchor::set::Anchors;
use crate::anchor::{Anchor, AnchorId, Live, Locator, RootKey};
use crate::engine::commit::Engine;
use crate::engine::members::Members;
use crate::engine::rebuild::rebuild;
use crate::error::{During, OpenError, StorageError};
use crate::key::{LeafKey, VaultIdentity};
use crate::options::{Options, Removed};
use crate::store::{Folder, Meta, Store};
use crate::tree::seal::{Key, Keys};
use crate::tree::{Tree, if_readable};

/// One damaged page is on one of the paths that are looked at, at most. An older database beside the
/// current WAL is wrong on many, unless hardly anything has changed since.
const BROKEN_PATHS: usize = 1;

/// Makes a vault without leaves: anchors first, then the database, complete or not at all.
pub(crate) fn create(
    folder: &Folder,
    options: &Options,
    identity: &VaultIdentity,
) -> Result<(), OpenError> {
    let locators = options.locators();
    refuse_in_folder(folder.path(), &locators)?;
    let mut anchors = Anchors::create(&locators, identity)?;
    let meta = Meta {
        vault_id: identity.vault_id.clone(),
        keyring_fingerprint: identity.keyring_fingerprint,
    };
    Store::create(folder, &meta, |store| {
        let metadata = Members(anchors.members()).encode();
        let mut tree = Tree::empty(&identity.vault_id);
        let key = tree.rewrite(store, &mut Keys::of_the_system(), 1, metadata, Vec::new())?;
        let first = Live {
            sequence: 1,
            key: RootKey::new(key.expose_secret()),
        };
        anchors.prepare(0, &first)
    })
}

/// Opens a vault with exactly the configured anchors.
pub(crate) fn open(
    folder: &Folder,
    options: &Options,
    identity: &VaultIdentity,
) -> Result<Engine, OpenError> {
    let (engine, known) = open_root(folder, options, identity, &options.locators(), &[])?;
    let configured = Members(engine.anchors.members());
    refuse_difference(&known, &configured)?;
    let mut engine = settled(engine, folder, options)?;
    run_first_batch(&mut engine, &configured)?;
    Ok(engine)
}

/// Opens a vault and gives it one more anchor, where there is none.
pub(crate) fn open_adding(
    folder: &Folder,
    options: &Options,
    identity: &VaultIdentity,
    locator: &Locator,
) -> Result<Engine, OpenError> {
    refuse_in_folder(folder.path(), std::slice::from_ref(locator))?;
    let (engine, known) = open_root(folder, options, identity, &options.locators(), &[])?;
    refuse_difference(&known, &Members(engine.anchors.members()))?;
    let mut engine = settled(engine, folder, options)?;
    engine.anchors.add(locator, identity)?;
    let members = Members(engine.anchors.members());
    run_first_batch(&mut engine, &members)?;
    Ok(engine)
}

/// Opens a vault that shall go on without these anchors, and erases those that are there.
pub(crate) fn open_removing(
    folder: &Folder,
    options: &Options,
    identity: &VaultIdentity,
    leaving: &[Locator],
) -> Result<(Engine, Vec<Removed>), OpenError> {
    let mut staying = options.locators();
    staying.retain(|locator| !leaving.contains(locator));
    // As long as they are there they take part: one may be the only one that knows the latest state.
    let (mut engine, mut known) = open_root(folder, options, identity, &staying, leaving)?;
    let present = Members(engine.anchors.members());
    let mut removed = Vec::new();
    for locator in leaving {
        let lost = known.last_at(locator).filter(|id| !present.has(*id));
        let anchor = engine.anchors.take(locator);
        if anchor.is_none() && lost.is_none() {
            return Err(OpenError::AnchorUnknown(locator.shown()));
        }
        removed.push(Leaving { anchor, lost });
    }
    known
        .0
        .retain(|(id, _)| !removed.iter().any(|one| one.is(*id)));
    let staying = Members(engine.anchors.members());
    refuse_difference(&known, &staying)?;
    let mut engine = settled(engine, folder, options)?;
    run_first_batch(&mut engine, &staying)?;
    Ok((engine, removed.into_iter().map(Leaving::erase).collect()))
}

/// An anchor that leaves the set.
struct Leaving {
    /// The anchor that is there, if it can be opened.
    anchor: Option<Box<dyn Anchor>>,
    /// The member that was there at the last start, if that is nowhere now.
    lost: Option<AnchorId>,
}

impl Leaving {
    fn is(&self, id: AnchorId) -> bool {
        self.lost == Some(id) || self.anchor.as_ref().is_some_and(|anchor| anchor.id() == id)
    }

    /// The vault goes on without it already, so a disk that does not take the write stops nothing.
    fn erase(self) -> Removed {
        match self.anchor.map(|mut anchor| anchor.retire()) {
            Some(Ok(())) if self.lost.is_none() => Removed::Erased,
            Some(Ok(()) | Err(_)) | None => Removed::NotErased,
        }
    }
}

/// Steps 1 to 4, but for comparing the anchors. Returns the anchors that the root names as well.
fn open_root(
    folder: &Folder,
    options: &Options,
    identity: &VaultIdentity,
    anchors: &[Locator],
    leaving: &[Locator],
) -> Result<(Engine, Members), OpenError> {
    refuse_in_folder(folder.path(), anchors)?;
    let store = Store::open(folder)?;
    refuse_other(&store.meta()?, identity)?;
    let mut anchors = Anchors::open(anchors, identity)?;
    for locator in leaving {
        anchors.open_leaving(locator, identity)?;
    }
    let mut tree = latest_tree(&identity.vault_id, &store, &anchors)?;
    if !options.accept_damage {
        refuse_mixture(&store, &tree)?;
    }
    refuse_lost(&options.needed, &store, &mut tree)?;
    let members = Members::decode(tree.metadata())
        .map_err(|_| StorageError::new("reading the root", "its metadata are not ours"))?;
    let engine = Engine {
        vault_id: identity.vault_id.clone(),
        store,
        tree,
        keys: Keys::of_the_system(),
        anchors,
    };
    Ok((engine, members))
}

/// Step 5, when nothing can be refused any more: these writes are for good.
fn settled(engine: Engine, folder: &Folder, options: &Options) -> Result<Engine, OpenError> {
    let store = match options.accept_damage {
        true => rebuild(folder, engine.store, &engine.tree, &engine.vault_id)?,
        false => engine.store,
    };
    store.settle(folder)?;
    Ok(Engine { store, ..engine })
}

fn latest_tree(vault_id: &str, store: &Store, anchors: &Anchors) -> Result<Tree, OpenError> {
    let candidates = anchors.candidates();
    for live in &candidates {
        let key = Key::from_bytes(live.key.expose_secret());
        // The number inside is sealed with the root; one that differs from the anchor's would mean
        // that one of them was not made by this program.
        if let Some(tree) = if_readable(Tree::open(vault_id, store, &key))?
            && tree.sequence() == live.sequence
        {
            return Ok(tree);
        }
    }
    Err(OpenError::NotTheLatest {
        database: Tree::claimed_sequence(store)?,
        anchors: candidates.first().map(|live| live.sequence),
    })
}

/// The WAL is laid over any database that is beside it, and the root comes from the WAL. An operator who
/// put an older database back would be served from a mixture. The batch of the start would then forget
/// the key that opens the true state.
fn refuse_mixture(store: &Store, tree: &Tree) -> Result<(), OpenError> {
    if !store.may_be_mixed() {
        return Ok(());
    }
    match tree.broken_paths(store)? {
        0 => Ok(()),
        paths @ ..=BROKEN_PATHS => {
            tracing::error!(paths, "a part of the database does not open");
            Ok(())
        }
        paths => Err(OpenError::Mixture { paths }),
    }
}

/// The right database may be somewhere. After the first batch it would not open any more.
fn refuse_lost(needed: &[LeafKey], store: &Store, tree: &mut Tree) -> Result<(), OpenError> {
    for key in needed {
        if if_readable(tree.get(store, key))?.is_none() {
            return Err(OpenError::NeededLost);
        }
    }
    tree.evict_deep_nodes();
    Ok(())
}

/// Step 6.
fn run_first_batch(engine: &mut Engine, members: &Members) -> Result<(), StorageError> {
    let sequence = next_sequence(engine)?;
    engine.store.begin()?;
    engine.replace_root(sequence, members.encode(), Vec::new())
}

/// A number that was never used. The number in a slot that cannot be read is unknown. So the next one
/// is then far beyond, and at another distance at the next start that finds this slot.
fn next_sequence(engine: &Engine) -> Result<u64, StorageError> {
    let highest = engine
        .anchors
        .highest_sequence()
        .max(engine.tree.sequence());
    let mut jump = [0; 4];
    if engine.anchors.has_unreadable() {
        OsRng.try_fill_bytes(&mut jump).during("drawing a number")?;
    }
    highest
        .checked_add(1 + u64::from(u32::from_be_bytes(jump)))
        .ok_or_else(|| StorageError::new("numbering a batch", "there are no numbers left"))
}

fn refuse_other(found: &Meta, identity: &VaultIdentity) -> Result<(), OpenError> {
    if found.vault_id != identity.vault_id {
        return Err(OpenError::OtherVault {
            found: found.vault_id.clone(),
            expected: identity.vault_id.clone(),
        });
    }
    if found.keyring_fingerprint != identity.keyring_fingerprint {
        return Err(OpenError::OtherKeyring);
    }
    Ok(())
}

fn refuse_difference(known: &Members, configured: &Members) -> Result<(), OpenError> {
    if let Some(locator) = known.missing_in(configured) {
        return Err(OpenError::AnchorNotConfigured(locator.shown()));
    }
    if let Some(locator) = configured.missing_in(known) {
        return Err(OpenError::AnchorUnknown(locator.shown()));
    }
    Ok(())
}
