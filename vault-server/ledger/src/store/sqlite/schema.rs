//! How SQLite is set up, and that it is as this program wants it: settings, tables, version.

use include_dir::{Dir, include_dir};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite_migration::Migrations;

use crate::error::{During, OpenError, StorageError};

static MIGRATIONS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../migrations");

/// The first version with the key tree. An older database is not converted: its copies stay readable
/// with the keyring for ever, and a vault must not say that it can destroy their content.
const OLDEST_VERSION: i64 = 2;

/// Name, value to set, value that reading it back must give.
///
/// `locking_mode` comes before anything that touches the WAL: then its index is in this process's
/// memory and no other process can open the database. `wal_autocheckpoint` is off because SQLite
/// drops the errors of automatic checkpoints, and a failed fsync must never be passed over.
const PRAGMAS: [(&str, &str, &str); 10] = [
    ("locking_mode", "EXCLUSIVE", "exclusive"),
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", "2"),
    ("fullfsync", "ON", "1"),
    ("wal_autocheckpoint", "0", "0"),
    ("secure_delete", "ON", "1"),
    ("trusted_schema", "OFF", "0"),
    ("cell_size_check", "ON", "1"),
    ("temp_store", "MEMORY", "2"),
    ("mmap_size", "0", "0"),
];

/// Triggers and views off: a planted one could make a change do nothing. No checkpoint on closing:
/// after a failed write, closing must not write again; an orderly end makes its own and looks at it.
const SWITCHES: [(DbConfig, bool); 9] = [
    (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, false),
    (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
];

/// Turns every switch. They belong to the connection, and the database is not touched.
pub(super) fn switch(connection: &Connection) -> Result<(), OpenError> {
    for (switch, wanted) in SWITCHES {
        connection
            .set_db_config(switch, wanted)
            .during("setting up SQLite")?;
        let got = connection
            .db_config(switch)
            .during("reading SQLite's settings")?;
        demand(
            &format!("{switch:?}"),
            on_off(wanted),
            on_off(got).to_owned(),
        )?;
    }
    Ok(())
}

/// Makes a new database one with a WAL, before it has its name: then it never has a journal.
pub(super) fn begin_wal(connection: &Connection) -> Result<(), OpenError> {
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .during("setting up SQLite")?;
    demand("journal_mode", "wal", pragma(connection, "journal_mode")?)
}

/// Makes every setting and reads it back.
pub(super) fn configure(connection: &Connection) -> Result<(), OpenError> {
    for (name, value, wanted) in PRAGMAS {
        connection
            .pragma_update(None, name, value)
            .during("setting up SQLite")?;
        demand(name, wanted, pragma(connection, name)?)?;
    }
    Ok(())
}

/// Makes the tables in an empty database.
pub(super) fn create(connection: &mut Connection) -> Result<(), StorageError> {
    migrations()
        .to_latest(connection)
        .during("making the tables")
}

/// Compares the schema with that of the migrations, and brings an older one up to date.
pub(super) fn check_and_migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let found = version(connection)?;
    if found > known_version() {
        return Err(OpenError::NewerDatabase {
            found,
            known: known_version(),
        });
    }
    if (1..OLDEST_VERSION).contains(&found) {
        return Err(OpenError::BeforeTheTree);
    }
    // Before migrating as well: SQL is not run over tables that another program made.
    refuse_difference(connection, found)?;
    if found < known_version() {
        create(connection)?;
        refuse_difference(connection, known_version())?;
    }
    Ok(())
}

fn migrations() -> Migrations<'static> {
    Migrations::from_directory(&MIGRATIONS).expect("the embedded migrations are numbered from 1")
}

fn known_version() -> i64 {
    i64::try_from(MIGRATIONS.dirs().count()).expect("there are few migrations")
}

fn version(connection: &Connection) -> Result<i64, StorageError> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .during("reading the database's version")
}

fn refuse_difference(connection: &Connection, version: i64) -> Result<(), OpenError> {
    let mut model = Connection::open_in_memory().during("opening a model of the database")?;
    // No vault is of version 0: a database gets its name only when it is complete.
    let version = usize::try_from(version).unwrap_or(0).max(1);
    migrations()
        .to_version(&mut model, version)
        .during("making a model of the database")?;
    let wanted = objects(&model)?;
    let found = objects(connection)?;
    let different = found
        .iter()
        .find(|object| !wanted.contains(object))
        .or_else(|| wanted.iter().find(|object| !found.contains(object)));
    match different {
        None => Ok(()),
        Some((name, ..)) => Err(OpenError::SchemaDiffers(name.clone())),
    }
}

/// A row of `sqlite_schema`.
type Object = (String, String, String, Option<String>);

fn objects(connection: &Connection) -> Result<Vec<Object>, StorageError> {
    let read = || -> rusqlite::Result<Vec<Object>> {
        connection
            .prepare("SELECT name, type, tbl_name, sql FROM sqlite_schema ORDER BY name")?
            .query_map([], |row| Object::try_from(row))?
            .collect()
    };
    read().during("reading the database's schema")
}

fn pragma(connection: &Connection, name: &str) -> Result<String, StorageError> {
    // Without a schema's name some of them answer with the default for databases opened later.
    let value = connection
        .pragma_query_value(Some("main"), name, |row| row.get::<_, Value>(0))
        .during("reading SQLite's settings")?;
    Ok(match value {
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => text.to_ascii_lowercase(),
        Value::Null | Value::Real(_) | Value::Blob(_) => "something else".to_owned(),
    })
}

fn demand(name: &str, wanted: &'static str, got: String) -> Result<(), OpenError> {
    if got == wanted {
        return Ok(());
    }
    let name = name.to_owned();
    Err(OpenError::SettingRefused { name, wanted, got })
}

fn on_off(value: bool) -> &'static str {
    if value { "on" } else { "off" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_cannot_have_a_wal_is_refused_with_the_setting_s_name() {
        let connection = Connection::open_in_memory().unwrap();
        let refused = configure(&connection).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the database refused the setting journal_mode: wanted wal, got memory; \
             the vault does not run without it"
        );
    }

    #[test]
    fn a_database_of_no_version_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        let refused = check_and_migrate(&mut connection);
        assert!(matches!(refused, Err(OpenError::SchemaDiffers(_))));
    }

    #[test]
    fn the_embedded_migrations_are_valid() {
        migrations().validate().unwrap();
        assert_eq!(known_version(), 2);
    }
}
