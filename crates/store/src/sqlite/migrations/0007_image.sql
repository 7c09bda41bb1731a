-- Images other than `host`. The disks are the machines' storage; a row says what people know of one.
CREATE TABLE image (
    id         INTEGER PRIMARY KEY,
    -- Names what is in it.
    key        TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL,
    source     TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('making', 'ready', 'failed')),
    reason     TEXT,
    bytes      INTEGER NOT NULL DEFAULT 0,
    -- Public id of the machine in which a set-up runs: what an ended server has left of it goes.
    builder    TEXT,
    is_default INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX image_default ON image (is_default) WHERE is_default = 1;

-- What a project was made of. By public id: written before the project is.
CREATE TABLE project_image (
    project    TEXT PRIMARY KEY,
    image_key  TEXT NOT NULL,
    image_name TEXT NOT NULL
) STRICT;
