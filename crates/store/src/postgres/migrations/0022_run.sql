-- Runs of the runs API. A row is a run and its place in the queue.
CREATE TABLE run (
    id              BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id       TEXT COLLATE "C" NOT NULL UNIQUE,
    project_id      BIGINT NOT NULL REFERENCES project (id),
    -- From 1 in each project.
    run_index       BIGINT NOT NULL,
    -- Whether it is the latest of its project.
    writable        BIGINT NOT NULL CHECK (writable IN (0, 1)),
    -- Public id of the run that it goes on from.
    parent          TEXT COLLATE "C",
    prompt          TEXT NOT NULL,
    input           TEXT,
    asked_provider  TEXT,
    asked_model     TEXT,
    backend         TEXT,
    approval        BIGINT NOT NULL CHECK (approval IN (0, 1)),
    -- The same request under the same key is the same run.
    request_key     TEXT COLLATE "C" NOT NULL,
    request_digest  TEXT COLLATE "C" NOT NULL,
    status          TEXT COLLATE "C" NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'error', 'cancelled')),
    phase           TEXT COLLATE "C" NOT NULL,
    waits_for       TEXT COLLATE "C",
    output          BYTEA,
    error           BYTEA,
    attempt         BIGINT NOT NULL DEFAULT 0,
    attempts_max    BIGINT NOT NULL,
    priority        BIGINT NOT NULL,
    not_before      BIGINT NOT NULL DEFAULT 0,
    session         TEXT COLLATE "C",
    -- The last number of the project's copy that was made into events of this run.
    taken_seq       BIGINT NOT NULL DEFAULT 0,
    provider        TEXT,
    model           TEXT,
    model_source    TEXT,
    input_tokens    BIGINT,
    output_tokens   BIGINT,
    cached_input_tokens     BIGINT,
    reasoning_output_tokens BIGINT,
    -- Billionths of the currency.
    cost            BIGINT,
    currency        TEXT,
    pricing_version TEXT,
    duration_ms     BIGINT,
    commit_sha      TEXT,
    checkpoint      TEXT COLLATE "C",
    started_at      BIGINT,
    completed_at    BIGINT,
    cancel_requested BIGINT NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    -- Grows with each owner; what another one writes changes nothing.
    fence           BIGINT NOT NULL DEFAULT 0,
    -- Which server works on it. NULL: nobody, or one that has let it go.
    owner           TEXT COLLATE "C",
    lease_until     BIGINT NOT NULL DEFAULT 0,
    -- How often in a row its owner was gone before it told anything, and the last event at the owner's begin.
    crashes         BIGINT NOT NULL DEFAULT 0,
    claimed_seq     BIGINT NOT NULL DEFAULT 0,
    -- The number of its last event.
    last_seq        BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
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
    run_id BIGINT NOT NULL REFERENCES run (id),
    seq    BIGINT NOT NULL,
    ts     BIGINT NOT NULL,
    kind   TEXT COLLATE "C" NOT NULL,
    data   BYTEA NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE TABLE run_message (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id  TEXT COLLATE "C" NOT NULL UNIQUE,
    run_id     BIGINT NOT NULL REFERENCES run (id),
    role       TEXT COLLATE "C" NOT NULL CHECK (role IN ('user', 'assistant')),
    content    BYTEA NOT NULL,
    input      TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX run_message_run ON run_message (run_id, id);

-- Files that runs have left, wherever they are kept.
CREATE TABLE artifact (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id     BIGINT NOT NULL REFERENCES run (id),
    name       TEXT COLLATE "C" NOT NULL,
    path       TEXT NOT NULL,
    mime       TEXT NOT NULL,
    size       BIGINT NOT NULL,
    files      BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX artifact_run ON artifact (run_id, name, id);
