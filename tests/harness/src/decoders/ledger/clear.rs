//! The rows that are not sealed: the database's identity, and the index of due times. `STRICT` and
//! `CHECK` hold for SQL only, so a process that writes the file can put values of any kind there.

use rusqlite::Connection;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use vault_ledger::LeafKey;

pub(super) const VAULT_ID: &str = "v";
pub(super) const FINGERPRINT: [u8; 32] = [1; 32];

const FORMAT: i64 = 2;

/// Tables that take any value, and lay it out as the true ones do.
const LAX: [(&str, &str); 2] = [
    (
        "meta",
        "CREATE TABLE meta (id INTEGER PRIMARY KEY, format, vault_id, keyring_fingerprint)",
    ),
    (
        "due",
        "CREATE TABLE due (due_ms, leaf_key, PRIMARY KEY (due_ms, leaf_key)) WITHOUT ROWID",
    ),
];

/// The rows of the two tables.
pub(super) struct Rows {
    /// Format, vault and keyring.
    meta: [Value; 3],
    /// Times and leaves.
    due: Vec<[Value; 2]>,
}

/// A value as SQLite stores it; text need not be UTF-8.
#[derive(PartialEq)]
enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Rows {
    /// A value after the other: first those of the one row, then those of the index.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut next = || Value::decode(&mut bytes);
        let meta = [next()?, next()?, next()?];
        let mut due = Vec::new();
        while let (Some(time), Some(key)) = (next(), next()) {
            due.push([time, key]);
        }
        Some(Self { meta, due })
    }

    pub(super) fn are_of_our_vault(&self) -> bool {
        self.meta == ours()
    }

    pub(super) fn have_due(&self, due_ms: u64, key: &LeafKey) -> bool {
        self.due.contains(&due(due_ms, key))
    }

    /// The schema stays as it was.
    pub(super) fn plant(&self, database: &Connection) -> rusqlite::Result<()> {
        let mut true_ones = Vec::new();
        for (table, lax) in LAX {
            let sql = "SELECT sql FROM sqlite_schema WHERE name = ?";
            let sql: String = database.query_row(sql, [table], |row| row.get(0))?;
            true_ones.push((table, sql));
            declare(database, table, lax)?;
        }
        let [format, vault, keyring] = &self.meta;
        let put =
            "REPLACE INTO meta (id, format, vault_id, keyring_fingerprint) VALUES (1, ?, ?, ?)";
        database.execute(put, (format, vault, keyring))?;
        let mut put =
            database.prepare("INSERT OR IGNORE INTO due (due_ms, leaf_key) VALUES (?, ?)")?;
        for [time, key] in &self.due {
            put.execute((time, key))?;
        }
        drop(put);
        for (table, sql) in true_ones {
            declare(database, table, &sql)?;
        }
        Ok(())
    }
}

fn declare(database: &Connection, table: &str, sql: &str) -> rusqlite::Result<()> {
    database.execute_batch("PRAGMA writable_schema = ON")?;
    let change = "UPDATE sqlite_schema SET sql = ? WHERE name = ?";
    database.execute(change, (sql, table))?;
    database.execute_batch("PRAGMA writable_schema = RESET")
}

/// The ledger's own rows, rows that each have one fault, and a vault of another format.
/// See [`Rows::decode`].
pub(super) fn examples(due_ms: u64, key: &LeafKey) -> Vec<Vec<u8>> {
    let (ours, right) = (encoded(&ours()), encoded(&due(due_ms, key)));
    let key = || key.0.to_vec();
    let wrong = [
        [Value::Integer(0), Value::Blob(key())],
        [Value::Integer(-1), Value::Blob(key())],
        [Value::Integer(1), Value::Blob(vec![7])],
        [Value::Integer(1), Value::Text(key())],
        [Value::Real(1.5), Value::Blob(key())],
        [Value::Null, Value::Null],
    ];
    let wrong = wrong.iter().map(|row| encoded(row)).collect::<Vec<_>>();
    let text = Value::Text(b"v\xff".to_vec());
    let foreign = [Value::Integer(1), text, Value::Blob(vec![1; 31])];
    vec![
        [&ours[..], &right].concat(),
        [&ours[..], &wrong.concat(), &right].concat(),
        ours,
        encoded(&foreign),
    ]
}

fn encoded(values: &[Value]) -> Vec<u8> {
    values.iter().flat_map(Value::encode).collect()
}

fn ours() -> [Value; 3] {
    [
        Value::Integer(FORMAT),
        Value::Text(VAULT_ID.as_bytes().to_vec()),
        Value::Blob(FINGERPRINT.to_vec()),
    ]
}

fn due(due_ms: u64, key: &LeafKey) -> [Value; 2] {
    let time = i64::try_from(due_ms).expect("not beyond SQLite's integers");
    [Value::Integer(time), Value::Blob(key.0.to_vec())]
}

impl Value {
    /// A byte for its kind; 8 bytes, or a length and so many.
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let kind = take(bytes, 1)?[0];
        Some(match kind % 5 {
            0 => Self::Null,
            1 => Self::Integer(i64::from_be_bytes(number(bytes)?)),
            2 => Self::Real(f64::from_be_bytes(number(bytes)?)),
            3 => Self::Text(content(bytes)?),
            _ => Self::Blob(content(bytes)?),
        })
    }

    fn encode(&self) -> Vec<u8> {
        let content = |kind, content: &[u8]| {
            let length = u8::try_from(content.len()).expect("examples are short");
            [&[kind, length][..], content].concat()
        };
        match self {
            Self::Null => vec![0],
            Self::Integer(number) => [&[1][..], &number.to_be_bytes()].concat(),
            Self::Real(number) => [&[2][..], &number.to_be_bytes()].concat(),
            Self::Text(text) => content(3, text),
            Self::Blob(blob) => content(4, blob),
        }
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text),
            Self::Blob(blob) => ValueRef::Blob(blob),
        }))
    }
}

fn number(bytes: &mut &[u8]) -> Option<[u8; 8]> {
    take(bytes, 8)?.try_into().ok()
}

fn content(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let length = take(bytes, 1)?[0];
    Some(take(bytes, length.into())?.to_vec())
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}
