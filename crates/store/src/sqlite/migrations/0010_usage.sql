-- Model calls, as the gateway wrote them down. Told by public ids: they stay when a project goes.
CREATE TABLE usage (
    -- That of the gateway's record: what is read twice counts once.
    id            TEXT PRIMARY KEY,
    ts            INTEGER NOT NULL,
    -- Days since 1970 in UTC, of ts.
    day           INTEGER NOT NULL,
    -- NULL for a program outside of all machines.
    project       TEXT,
    session       TEXT,
    run           TEXT,
    provider      TEXT NOT NULL,
    model         TEXT,
    -- NULL until it has ended, and for one that its gateway did not outlive.
    status        INTEGER,
    input         INTEGER,
    output        INTEGER,
    cache_read    INTEGER,
    cache_write   INTEGER,
    -- Billionths of a US dollar; NULL when it is not known.
    cost          INTEGER,
    -- What budgets held back for it; counts in their place of a cost that is not known.
    reserved      INTEGER,
    duration_ms   INTEGER,
    first_byte_ms INTEGER,
    error         TEXT,
    ended         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_day ON usage (day);
CREATE INDEX usage_project ON usage (project, day);
CREATE INDEX usage_open ON usage (ended) WHERE ended = 0;

-- How far the gateway's journal was read: one row, changed together with the above.
CREATE TABLE usage_position (
    only     INTEGER PRIMARY KEY CHECK (only = 1),
    position INTEGER NOT NULL
) STRICT;
INSERT INTO usage_position (only, position) VALUES (1, 0);
