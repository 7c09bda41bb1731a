-- Grows each time that another server goes on with its machine: what the one before still wants of it is refused.
ALTER TABLE project ADD COLUMN host_fence BIGINT NOT NULL DEFAULT 1;
-- What all servers on this database call themselves where their machines are at somebody else's. One row.
CREATE TABLE installation (
    id   BIGINT PRIMARY KEY CHECK (id = 1),
    name TEXT COLLATE "C" NOT NULL
);
