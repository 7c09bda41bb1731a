-- Keys that people make for programs. The key itself is nowhere: `hash` is the SHA-256 of it.
CREATE TABLE api_key (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE COLLATE NOCASE,
    -- How the key begins, to tell it from others by.
    prefix     TEXT NOT NULL,
    hash       BLOB NOT NULL UNIQUE,
    -- Words with spaces between.
    scopes     TEXT NOT NULL,
    -- What it is bound to; NULL: to nothing.
    project_id INTEGER REFERENCES project (id),
    -- NULL: made with a key.
    created_by TEXT REFERENCES "user" (id),
    created_at INTEGER NOT NULL,
    -- NULL: never.
    expires_at INTEGER,
    used_at    INTEGER
) STRICT;
