-- Addresses that are told of runs that are over.
CREATE TABLE webhook (
    id         INTEGER PRIMARY KEY,
    public_id  TEXT NOT NULL UNIQUE,
    team_id    INTEGER NOT NULL REFERENCES team (id),
    -- NULL: of all projects.
    project_id INTEGER REFERENCES project (id),
    url        TEXT NOT NULL,
    -- What it is signed with, sealed.
    sealed     TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX webhook_project ON webhook (project_id);

-- What is to be sent to others, written in the transaction of what it tells of.
CREATE TABLE outbox (
    id         INTEGER PRIMARY KEY,
    -- The receiver's way to know one that came twice.
    public_id  TEXT NOT NULL UNIQUE,
    webhook_id INTEGER NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    run_id     INTEGER NOT NULL REFERENCES run (id),
    attempts   INTEGER NOT NULL DEFAULT 0,
    next_at    INTEGER NOT NULL,
    -- NULL: it is still to be sent. A yes or no of what became of it beside.
    done_at    INTEGER,
    delivered  INTEGER NOT NULL DEFAULT 0 CHECK (delivered IN (0, 1)),
    -- What the last attempt came to.
    said       TEXT,
    created_at INTEGER NOT NULL,
    UNIQUE (webhook_id, run_id)
);
CREATE INDEX outbox_due ON outbox (next_at) WHERE done_at IS NULL;
CREATE INDEX outbox_run ON outbox (run_id);
