-- Rows become nodes of a tree whose root key is not in here. What version 1 kept cannot be carried
-- over: its copies would stay readable. The ledger refuses such a database; only an empty one gets here.
DROP TABLE leaf;
DROP TABLE event;
DROP INDEX due_in_order;
DROP TABLE due;

-- Sealed nodes of the key tree. The number is the way from the root: a 1, then 6 bits for each step.
CREATE TABLE node (
    id INTEGER PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;

-- What happened to leaves, in the order of time, sealed. Row and key of a leaf's last one are in the
-- leaf, those of each other one in its successor.
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;

-- Which leaves a sweep should look at, and when. A hint that is compared with the leaf.
CREATE TABLE due (
    due_ms INTEGER NOT NULL CHECK (due_ms >= 0),
    leaf_key BLOB NOT NULL CHECK (length(leaf_key) = 32),
    PRIMARY KEY (due_ms, leaf_key)
) STRICT, WITHOUT ROWID;
