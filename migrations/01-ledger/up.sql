-- Which vault this database belongs to. One row.
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    format INTEGER NOT NULL,
    vault_id TEXT NOT NULL,
    keyring_fingerprint BLOB NOT NULL CHECK (length(keyring_fingerprint) = 32)
) STRICT;

-- The current state of everything that decides, sealed.
CREATE TABLE leaf (
    leaf_key BLOB NOT NULL PRIMARY KEY CHECK (length(leaf_key) = 32),
    sealed BLOB NOT NULL
) STRICT;

-- What happened to a leaf, oldest first, counted from 1 for every leaf, sealed.
CREATE TABLE event (
    leaf_key BLOB NOT NULL CHECK (length(leaf_key) = 32),
    sequence INTEGER NOT NULL CHECK (sequence > 0),
    sealed BLOB NOT NULL,
    PRIMARY KEY (leaf_key, sequence)
) STRICT;

-- Which leaves a sweep should look at, and when. A hint: it decides nothing.
CREATE TABLE due (
    leaf_key BLOB NOT NULL PRIMARY KEY CHECK (length(leaf_key) = 32),
    due_ms INTEGER NOT NULL CHECK (due_ms >= 0)
) STRICT;

CREATE INDEX due_in_order ON due (due_ms, leaf_key);
