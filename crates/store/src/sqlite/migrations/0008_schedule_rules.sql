-- More rules for slots that nobody could start, and for those that meet the one before. SQLite changes no
-- CHECK in place: both tables are made anew, the one that refers to the other first.
CREATE TABLE schedule_8 (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id  TEXT NOT NULL UNIQUE,
    project_id INTEGER NOT NULL REFERENCES project (id),
    name       TEXT NOT NULL,
    -- JSON, as the API has them.
    due        TEXT NOT NULL,
    work       TEXT NOT NULL,
    catch_up   TEXT NOT NULL CHECK (catch_up IN ('latest', 'none', 'all')),
    -- How many slots are made up for with 'all'.
    catch_up_max INTEGER NOT NULL,
    overlap    TEXT NOT NULL CHECK (overlap IN ('skip', 'queue', 'cancel', 'allow')),
    timeout_ms INTEGER NOT NULL,
    enabled    INTEGER NOT NULL,
    -- From where intervals are counted.
    anchor_at  INTEGER NOT NULL,
    -- Every slot up to this moment is decided.
    decided_at INTEGER NOT NULL,
    -- The first slot after it; NULL when there is none, or while it is disabled.
    next_at    INTEGER,
    -- Goes up with every change: who decides on what is no longer so is refused.
    revision   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (project_id, name)
) STRICT;
INSERT INTO schedule_8 SELECT id, public_id, project_id, name, due, work, catch_up, 10, overlap, timeout_ms,
    enabled, anchor_at, decided_at, next_at, revision, created_at, updated_at FROM schedule;

-- What became of slots. A row is written before anything starts; a slot has one row at
-- most, and one more of those that people asked for at that very moment.
CREATE TABLE schedule_firing_8 (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id   TEXT NOT NULL UNIQUE,
    schedule_id INTEGER NOT NULL REFERENCES schedule_8 (id) ON DELETE CASCADE,
    slot        INTEGER NOT NULL,
    -- Slots in a row that were skipped or suppressed for one reason share a row.
    last_slot   INTEGER NOT NULL,
    slots       INTEGER NOT NULL,
    by_hand     INTEGER NOT NULL,
    outcome     TEXT NOT NULL CHECK (outcome IN
        ('running', 'fired', 'late', 'skipped', 'suppressed', 'failed')),
    reason      TEXT,
    is_late     INTEGER NOT NULL,
    -- What it runs, as the schedule had it then; NULL once it is over.
    work        TEXT,
    -- How far the start came.
    step        TEXT NOT NULL CHECK (step IN ('waiting', 'due', 'asked', 'started', 'over')),
    -- Start of the machine that the program runs in.
    boot        INTEGER,
    session     TEXT,
    -- End of the event copy before the prompt was sent.
    after_seq   INTEGER,
    entry       TEXT,
    started_at  INTEGER,
    ended_at    INTEGER,
    exit_code   INTEGER,
    output      TEXT,
    -- Whether the project's event log has it.
    told        INTEGER NOT NULL,
    UNIQUE (schedule_id, slot, by_hand)
) STRICT;
INSERT INTO schedule_firing_8 SELECT id, public_id, schedule_id, slot, last_slot, slots, by_hand, outcome,
    reason, is_late, work, step, boot, session, after_seq, entry, started_at, ended_at, exit_code, output, told
    FROM schedule_firing;

DROP TABLE schedule_firing;
DROP TABLE schedule;
ALTER TABLE schedule_8 RENAME TO schedule;
ALTER TABLE schedule_firing_8 RENAME TO schedule_firing;
CREATE INDEX schedule_next ON schedule (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX schedule_firing_open ON schedule_firing (schedule_id) WHERE step <> 'over';
CREATE INDEX schedule_firing_untold ON schedule_firing (id) WHERE told = 0;
