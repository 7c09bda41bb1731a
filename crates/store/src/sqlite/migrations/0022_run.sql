-- Runs of the runs API. A row is a run and its place in the queue.
CREATE TABLE run (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id       TEXT NOT NULL UNIQUE,
    project_id      INTEGER NOT NULL REFERENCES project (id),
    -- From 1 in each project.
    run_index       INTEGER NOT NULL,
    -- Whether it is the latest of its project.
    writable        INTEGER NOT NULL CHECK (writable IN (0, 1)),
    -- Public id of the run that it goes on from.
    parent          TEXT,
    prompt          TEXT NOT NULL,
    input           TEXT,
    asked_provider  TEXT,
    asked_model     TEXT,
    backend         TEXT,
    approval        INTEGER NOT NULL CHECK (approval IN (0, 1)),
    -- The same request under the same key is the same run.
    request_key     TEXT NOT NULL,
    request_digest  TEXT NOT NULL,
    status          TEXT NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'error', 'cancelled')),
    phase           TEXT NOT NULL,
    waits_for       TEXT,
    output          TEXT,
    error           TEXT,
    attempt         INTEGER NOT NULL DEFAULT 0,
    attempts_max    INTEGER NOT NULL,
    priority        INTEGER NOT NULL,
    not_before      INTEGER NOT NULL DEFAULT 0,
    session         TEXT,
    -- The last number of the project's copy that was made into events of this run.
    taken_seq       INTEGER NOT NULL DEFAULT 0,
    provider        TEXT,
    model           TEXT,
    model_source    TEXT,
    input_tokens    INTEGER,
    output_tokens   INTEGER,
    cached_input_tokens     INTEGER,
    reasoning_output_tokens INTEGER,
    -- Billionths of the currency.
    cost            INTEGER,
    currency        TEXT,
    pricing_version TEXT,
    duration_ms     INTEGER,
    commit_sha      TEXT,
    checkpoint      TEXT,
    started_at      INTEGER,
    completed_at    INTEGER,
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    -- Grows with each owner; what another one writes changes nothing.
    fence           INTEGER NOT NULL DEFAULT 0,
    -- Which server works on it. NULL: nobody, or one that has let it go.
    owner           TEXT,
    lease_until     INTEGER NOT NULL DEFAULT 0,
    -- How often in a row its owner was gone before it told anything, and the last event at the owner's begin.
    crashes         INTEGER NOT NULL DEFAULT 0,
    claimed_seq     INTEGER NOT NULL DEFAULT 0,
    -- The number of its last event.
    last_seq        INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    UNIQUE (project_id, request_key),
    UNIQUE (project_id, run_index)
);
CREATE UNIQUE INDEX run_writable ON run (project_id) WHERE writable = 1;
CREATE INDEX run_queued ON run (priority DESC, id) WHERE status = 'queued';
CREATE INDEX run_queued_of ON run (project_id, id) WHERE status = 'queued';
CREATE INDEX run_running ON run (project_id) WHERE status = 'running';
CREATE INDEX run_created_at ON run (created_at);

-- What runs tell, numbered without gaps.
CREATE TABLE run_event (
    run_id INTEGER NOT NULL REFERENCES run (id),
    seq    INTEGER NOT NULL,
    ts     INTEGER NOT NULL,
    kind   TEXT NOT NULL,
    data   TEXT NOT NULL,
    PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;

CREATE TABLE run_message (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id  TEXT NOT NULL UNIQUE,
    run_id     INTEGER NOT NULL REFERENCES run (id),
    role       TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
    content    TEXT NOT NULL,
    input      TEXT,
    created_at INTEGER NOT NULL
);
CREATE INDEX run_message_run ON run_message (run_id, id);

-- Files that runs have left, wherever they are kept.
CREATE TABLE artifact (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id     INTEGER NOT NULL REFERENCES run (id),
    name       TEXT NOT NULL,
    path       TEXT NOT NULL,
    mime       TEXT NOT NULL,
    size       INTEGER NOT NULL,
    files      INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX artifact_run ON artifact (run_id, name, id);
