-- Servers on this database, and which of them has a project's machine.
CREATE TABLE server (
    -- That of its data folder.
    id         TEXT COLLATE "C" PRIMARY KEY,
    -- Where that folder lies: a copy of it elsewhere is another server, and may not be this one.
    place      TEXT COLLATE "C" NOT NULL,
    -- Where people and other servers' answers find it.
    url        TEXT NOT NULL,
    version    TEXT NOT NULL,
    -- A digest of what must be the same on all servers.
    shares     TEXT NOT NULL,
    -- By the database's clock.
    seen_at    BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Id of the server that has its disk; NULL: there is none yet.
ALTER TABLE project ADD COLUMN host TEXT COLLATE "C";
-- What its host last said of its machine.
ALTER TABLE project ADD COLUMN machine_state TEXT COLLATE "C";
CREATE INDEX project_host ON project (host);
-- Id of the server that has its files.
ALTER TABLE image ADD COLUMN host TEXT COLLATE "C";
-- Whether it was told that its host does not answer.
ALTER TABLE run ADD COLUMN host_away BIGINT NOT NULL DEFAULT 0 CHECK (host_away IN (0, 1));

-- How far each server has read the journal of its gateway.
CREATE TABLE usage_journal (
    server   TEXT COLLATE "C" PRIMARY KEY,
    position BIGINT NOT NULL
);
-- A journal that is read again counts once.
DROP TABLE usage_position;
-- Whose gateway it went through.
ALTER TABLE usage ADD COLUMN server TEXT COLLATE "C";
