-- People, as better-auth shapes them. Times are Unix milliseconds.
CREATE TABLE "user" (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    email          TEXT NOT NULL UNIQUE COLLATE NOCASE,
    email_verified INTEGER NOT NULL DEFAULT 0,
    image          TEXT,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL
) STRICT;

CREATE TABLE session (
    id                     TEXT PRIMARY KEY,
    user_id                TEXT NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    -- SHA-256 of the token; the token itself is only in the browser.
    token                  BLOB NOT NULL UNIQUE,
    expires_at             INTEGER NOT NULL,
    ip_address             TEXT,
    user_agent             TEXT,
    active_organization_id TEXT,
    created_at             INTEGER NOT NULL,
    updated_at             INTEGER NOT NULL
) STRICT;
CREATE INDEX session_user ON session (user_id);

CREATE TABLE account (
    id                       TEXT PRIMARY KEY,
    user_id                  TEXT NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    provider_id              TEXT NOT NULL,
    account_id               TEXT NOT NULL,
    access_token             TEXT,
    refresh_token            TEXT,
    access_token_expires_at  INTEGER,
    refresh_token_expires_at INTEGER,
    scope                    TEXT,
    id_token                 TEXT,
    -- PHC string, for provider_id 'credential'.
    password                 TEXT,
    created_at               INTEGER NOT NULL,
    updated_at               INTEGER NOT NULL,
    UNIQUE (provider_id, account_id)
) STRICT;
CREATE INDEX account_user ON account (user_id);

CREATE TABLE verification (
    id         TEXT PRIMARY KEY,
    identifier TEXT NOT NULL,
    -- SHA-256 of the one-time token.
    value      BLOB NOT NULL UNIQUE,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE team (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id  TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE member (
    team_id    INTEGER NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    user_id    TEXT NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    role       TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (team_id, user_id)
) STRICT;

INSERT INTO team (id, public_id, name, created_at) VALUES (1, 'default', 'Default', 0);
-- Whom keys act as. No member, no password: nobody signs in as it.
INSERT INTO "user" (id, name, email, created_at, updated_at)
VALUES ('system', 'Toft', 'system@invalid', 0, 0);

CREATE TABLE project (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id    TEXT NOT NULL UNIQUE,
    team_id      INTEGER NOT NULL REFERENCES team (id),
    alias        TEXT,
    name         TEXT NOT NULL,
    owner_id     TEXT NOT NULL REFERENCES "user" (id),
    wanted       TEXT NOT NULL CHECK (wanted IN ('running', 'stopped')),
    state_reason TEXT,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    deleted_at   INTEGER
) STRICT;
CREATE INDEX project_created_at ON project (created_at);
CREATE INDEX project_updated_at ON project (updated_at) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX project_alias ON project (team_id, alias) WHERE deleted_at IS NULL;

CREATE TABLE setting (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    key     TEXT NOT NULL,
    value   TEXT NOT NULL,
    UNIQUE (user_id, key)
) STRICT;

CREATE TABLE provider_key (
    provider   TEXT PRIMARY KEY,
    sealed     TEXT NOT NULL,
    hint       TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- The copy of every bridge's event log. hash = SHA-256(hash of the row before, this row).
CREATE TABLE bridge_event (
    project_id INTEGER NOT NULL REFERENCES project (id),
    seq        INTEGER NOT NULL,
    ts         INTEGER NOT NULL,
    session    TEXT,
    kind       TEXT NOT NULL,
    data       TEXT NOT NULL,
    hash       BLOB NOT NULL,
    PRIMARY KEY (project_id, seq)
) STRICT;
CREATE INDEX bridge_event_messages ON bridge_event (project_id, session, seq)
    WHERE kind = 'message_end';
CREATE INDEX bridge_event_marks ON bridge_event (project_id, seq)
    WHERE kind IN ('agent_start', 'agent_end', 'question', 'session_created', 'session_switched');

-- What came from inside under a number that was taken. Kept beside, never in place.
CREATE TABLE bridge_tamper (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES project (id),
    seq        INTEGER NOT NULL,
    ts         INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    data       TEXT NOT NULL,
    digest     BLOB NOT NULL,
    UNIQUE (project_id, seq, digest)
) STRICT;

CREATE TABLE bridge_snapshot (
    project_id INTEGER NOT NULL REFERENCES project (id),
    kind       TEXT NOT NULL CHECK (kind IN ('inspect', 'state', 'sessions')),
    json       TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (project_id, kind)
) STRICT;

CREATE TABLE machine_wake (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES project (id),
    at         INTEGER NOT NULL,
    cause      TEXT NOT NULL
) STRICT;
CREATE INDEX machine_wake_project ON machine_wake (project_id, id);
