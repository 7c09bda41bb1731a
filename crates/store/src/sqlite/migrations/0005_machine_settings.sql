-- What a person has set for one project's machine. NULL: the server's own default.
CREATE TABLE machine_settings (
    project_id INTEGER PRIMARY KEY REFERENCES project (id),
    -- JSON, as the API has them.
    limits     TEXT,
    idle       TEXT,
    updated_at INTEGER NOT NULL
) STRICT;

-- What the host saw of a machine and its bridge does not know yet.
CREATE TABLE machine_observed (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES project (id),
    told_id    TEXT NOT NULL,
    -- JSON of what was seen.
    what       TEXT NOT NULL,
    at         INTEGER NOT NULL,
    UNIQUE (project_id, told_id)
) STRICT;

-- What the machine was before: frozen, cold, stopped, … NULL in rows of earlier versions.
ALTER TABLE machine_wake ADD COLUMN was TEXT;
