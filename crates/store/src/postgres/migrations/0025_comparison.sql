-- Several runs from one prompt, each in a fork of its own, until one is kept or all are dropped.
CREATE TABLE comparison (
    id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id      TEXT COLLATE "C" NOT NULL UNIQUE,
    project_id     BIGINT NOT NULL REFERENCES project (id),
    -- The same request under the same key is the same comparison. Of deleted projects: its own id.
    request_key    TEXT COLLATE "C" NOT NULL,
    request_digest TEXT COLLATE "C" NOT NULL,
    -- Which server makes the forks: the one that has the project's machine.
    owner          TEXT COLLATE "C" NOT NULL,
    prompt         TEXT NOT NULL,
    -- How the runs are to be: JSON of the server's.
    options        TEXT NOT NULL,
    status         TEXT COLLATE "C" NOT NULL CHECK (status IN
        ('making', 'open', 'keeping', 'dropping', 'kept', 'dropped', 'failed')),
    error          TEXT,
    -- The checkpoint that all forks were made from.
    base           TEXT COLLATE "C",
    -- The run that is kept, and the checkpoint that its candidate's state becomes in the project.
    kept_run       TEXT COLLATE "C",
    keep_checkpoint TEXT COLLATE "C",
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    UNIQUE (project_id, request_key)
);
CREATE INDEX comparison_unsettled ON comparison (owner)
    WHERE status IN ('making', 'keeping', 'dropping');

CREATE TABLE candidate (
    comparison_id BIGINT NOT NULL REFERENCES comparison (id) ON DELETE CASCADE,
    -- From 1.
    number        BIGINT NOT NULL,
    -- Public id of its run, chosen before there is one.
    run           TEXT COLLATE "C" NOT NULL UNIQUE,
    provider      TEXT,
    model         TEXT,
    -- The fork; NULL until it is made.
    project_id    BIGINT REFERENCES project (id),
    -- What its run came to, kept when the fork goes: JSON of the server's.
    outcome       BYTEA,
    PRIMARY KEY (comparison_id, number)
);
CREATE INDEX candidate_project ON candidate (project_id);
