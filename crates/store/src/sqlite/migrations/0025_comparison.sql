-- Several runs from one prompt, each in a fork of its own, until one is kept or all are dropped.
CREATE TABLE comparison (
    id             INTEGER PRIMARY KEY,
    public_id      TEXT NOT NULL UNIQUE,
    project_id     INTEGER NOT NULL REFERENCES project (id),
    -- The same request under the same key is the same comparison. Of deleted projects: its own id.
    request_key    TEXT NOT NULL,
    request_digest TEXT NOT NULL,
    -- Which server makes the forks: the one that has the project's machine.
    owner          TEXT NOT NULL,
    prompt         TEXT NOT NULL,
    -- How the runs are to be: JSON of the server's.
    options        TEXT NOT NULL,
    status         TEXT NOT NULL CHECK (status IN
        ('making', 'open', 'keeping', 'dropping', 'kept', 'dropped', 'failed')),
    error          TEXT,
    -- The checkpoint that all forks were made from.
    base           TEXT,
    -- The run that is kept, and the checkpoint that its candidate's state becomes in the project.
    kept_run       TEXT,
    keep_checkpoint TEXT,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    UNIQUE (project_id, request_key)
);
CREATE INDEX comparison_unsettled ON comparison (owner)
    WHERE status IN ('making', 'keeping', 'dropping');

CREATE TABLE candidate (
    comparison_id INTEGER NOT NULL REFERENCES comparison (id) ON DELETE CASCADE,
    -- From 1.
    number        INTEGER NOT NULL,
    -- Public id of its run, chosen before there is one.
    run           TEXT NOT NULL UNIQUE,
    provider      TEXT,
    model         TEXT,
    -- The fork; NULL until it is made.
    project_id    INTEGER REFERENCES project (id),
    -- What its run came to, kept when the fork goes: JSON of the server's.
    outcome       TEXT,
    PRIMARY KEY (comparison_id, number)
) WITHOUT ROWID;
CREATE INDEX candidate_project ON candidate (project_id);
