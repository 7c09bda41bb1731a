-- Servers on this database, and which of them has a project's machine. On SQLite there is one.
CREATE TABLE server (
    -- That of its data folder.
    id         TEXT PRIMARY KEY,
    -- Where that folder lies: a copy of it elsewhere is another server, and may not be this one.
    place      TEXT NOT NULL,
    -- Where people and other servers' answers find it.
    url        TEXT NOT NULL,
    version    TEXT NOT NULL,
    -- A digest of what must be the same on all servers.
    shares     TEXT NOT NULL,
    -- By the database's clock.
    seen_at    INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);

-- Id of the server that has its disk; NULL: there is none yet.
ALTER TABLE project ADD COLUMN host TEXT;
-- What its host last said of its machine.
ALTER TABLE project ADD COLUMN machine_state TEXT;
CREATE INDEX project_host ON project (host);
-- Id of the server that has its files.
ALTER TABLE image ADD COLUMN host TEXT;
-- Whether it was told that its host does not answer.
ALTER TABLE run ADD COLUMN host_away INTEGER NOT NULL DEFAULT 0 CHECK (host_away IN (0, 1));

-- How far each server has read the journal of its gateway.
CREATE TABLE usage_journal (
    server   TEXT PRIMARY KEY,
    position INTEGER NOT NULL
);
-- Of the one server that there was: it is that of whoever has none of its own.
INSERT INTO usage_journal (server, position) SELECT '', position FROM usage_position;
DROP TABLE usage_position;
-- Whose gateway it went through.
ALTER TABLE usage ADD COLUMN server TEXT;
