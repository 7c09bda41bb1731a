-- Which master key the sealed texts of this database were sealed with.
CREATE TABLE vault (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    master_id TEXT NOT NULL
) STRICT;

-- A project's data key, sealed under the master key, and the count of changes of its secrets.
CREATE TABLE secret_key (
    project_id INTEGER PRIMARY KEY REFERENCES project (id),
    sealed     TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    made_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE secret (
    project_id INTEGER NOT NULL REFERENCES project (id),
    name       TEXT NOT NULL,
    -- What becomes of the value: 'environment', a variable of new processes.
    kind       TEXT NOT NULL,
    -- Sealed with the data key. NULL: only the name is known (a fork's, until it gets a value).
    sealed     TEXT,
    -- Of the project, when this value was set; part of what the seal is bound to.
    revision   INTEGER NOT NULL,
    set_at     INTEGER NOT NULL,
    -- User id.
    set_by     TEXT NOT NULL,
    PRIMARY KEY (project_id, name)
) STRICT, WITHOUT ROWID;
