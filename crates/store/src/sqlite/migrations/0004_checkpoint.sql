-- Checkpoints of projects. A row is written when its copy of the disk is whole, and goes before it: a
-- copy without a row is a leftover.
CREATE TABLE checkpoint (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id       TEXT NOT NULL UNIQUE,
    project_id      INTEGER NOT NULL REFERENCES project (id),
    label           TEXT,
    cause           TEXT NOT NULL CHECK (cause IN ('manual', 'prompt', 'restore', 'fork')),
    created_at      INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    base            TEXT NOT NULL,
    -- Where each conversation stood: [{"sessionId","leafEntryId"}].
    sessions        TEXT NOT NULL,
    -- The user message before which it was taken.
    message_session TEXT,
    message_entry   TEXT,
    -- Where that conversation is to stand, when the copy was taken after the message came:
    -- {"sessionId","leafEntryId"}.
    place           TEXT
) STRICT;
CREATE INDEX checkpoint_project ON checkpoint (project_id, id);
CREATE INDEX checkpoint_created_at ON checkpoint (created_at);
CREATE INDEX checkpoint_message ON checkpoint (project_id, message_session, message_entry)
    WHERE message_entry IS NOT NULL;

-- Which automatic ones are taken and kept, where a person has changed that.
CREATE TABLE checkpoint_rule (
    project_id   INTEGER PRIMARY KEY REFERENCES project (id),
    keep_last    INTEGER NOT NULL,
    keep_hourly  INTEGER NOT NULL,
    keep_daily   INTEGER NOT NULL,
    is_automatic INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT;

-- From which project a fork has what was said before it.
CREATE TABLE fork_origin (
    project_id INTEGER PRIMARY KEY REFERENCES project (id),
    origin_id  INTEGER NOT NULL REFERENCES project (id),
    seq        INTEGER NOT NULL
) STRICT;
CREATE INDEX fork_origin_origin ON fork_origin (origin_id);

-- The same of a fork whose origin was deleted: its messages and moves, in their order.
CREATE TABLE inherited_event (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES project (id),
    ts         INTEGER NOT NULL,
    session    TEXT,
    kind       TEXT NOT NULL,
    data       TEXT NOT NULL
) STRICT;
CREATE INDEX inherited_event_project ON inherited_event (project_id, id);

CREATE INDEX bridge_event_moves ON bridge_event (project_id, seq) WHERE kind = 'restored';
