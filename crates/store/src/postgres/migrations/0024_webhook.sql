-- Addresses that are told of runs that are over.
CREATE TABLE webhook (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id  TEXT COLLATE "C" NOT NULL UNIQUE,
    team_id    BIGINT NOT NULL REFERENCES team (id),
    -- NULL: of all projects.
    project_id BIGINT REFERENCES project (id),
    url        TEXT NOT NULL,
    -- What it is signed with, sealed.
    sealed     TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX webhook_project ON webhook (project_id);

-- What is to be sent to others, written in the transaction of what it tells of.
CREATE TABLE outbox (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The receiver's way to know one that came twice.
    public_id  TEXT COLLATE "C" NOT NULL UNIQUE,
    webhook_id BIGINT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    run_id     BIGINT NOT NULL REFERENCES run (id),
    attempts   BIGINT NOT NULL DEFAULT 0,
    next_at    BIGINT NOT NULL,
    -- NULL: it is still to be sent. A yes or no of what became of it beside.
    done_at    BIGINT,
    delivered  BIGINT NOT NULL DEFAULT 0 CHECK (delivered IN (0, 1)),
    -- What the last attempt came to.
    said       BYTEA,
    created_at BIGINT NOT NULL,
    UNIQUE (webhook_id, run_id)
);
CREATE INDEX outbox_due ON outbox (next_at) WHERE done_at IS NULL;
CREATE INDEX outbox_run ON outbox (run_id);
