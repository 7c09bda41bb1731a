-- What was spent, added up as calls are written down: by triggers, so that it changes with them whatever
-- statement changes them. Calls are never taken away again, nor what they cost.

-- Months since the year 0 in UTC, of ts; the year 9999 stands for all that is later.
ALTER TABLE usage ADD COLUMN month INTEGER GENERATED ALWAYS AS (
    strftime('%Y', min(ts, 253402300799999) / 1000, 'unixepoch') * 12
    + strftime('%m', min(ts, 253402300799999) / 1000, 'unixepoch') - 1
) VIRTUAL;
-- What budgets count. A real number never overflows, and is exact up to 2^53.
ALTER TABLE usage ADD COLUMN counts REAL GENERATED ALWAYS AS (COALESCE(cost, reserved, 0)) VIRTUAL;

CREATE TABLE spent_month (
    -- '' for programs outside of all machines.
    project TEXT NOT NULL,
    month   INTEGER NOT NULL,
    spent   REAL NOT NULL,
    PRIMARY KEY (project, month)
) STRICT, WITHOUT ROWID;

CREATE TABLE spent_run (
    project TEXT NOT NULL,
    session TEXT NOT NULL,
    run     TEXT NOT NULL,
    -- When it last asked, and how much of all of its calls.
    last_ts INTEGER NOT NULL,
    spent   REAL NOT NULL,
    PRIMARY KEY (project, session, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_run_last ON spent_run (last_ts);

CREATE TRIGGER usage_spent_new AFTER INSERT ON usage BEGIN
    INSERT INTO spent_month (project, month, spent)
    VALUES (COALESCE(NEW.project, ''), NEW.month, NEW.counts)
    ON CONFLICT (project, month) DO UPDATE SET spent = spent + excluded.spent;
    INSERT INTO spent_run (project, session, run, last_ts, spent)
    SELECT NEW.project, NEW.session, NEW.run, NEW.ts, NEW.counts
    WHERE NEW.project IS NOT NULL AND NEW.session IS NOT NULL AND NEW.run IS NOT NULL
    ON CONFLICT (project, session, run) DO UPDATE
    SET spent = spent + excluded.spent, last_ts = max(last_ts, excluded.last_ts);
END;

CREATE TRIGGER usage_spent_changed AFTER UPDATE OF cost, reserved ON usage
WHEN NEW.counts <> OLD.counts BEGIN
    UPDATE spent_month SET spent = spent - OLD.counts + NEW.counts
    WHERE project = COALESCE(NEW.project, '') AND month = NEW.month;
    UPDATE spent_run SET spent = spent - OLD.counts + NEW.counts
    WHERE project = NEW.project AND session = NEW.session AND run = NEW.run;
END;

INSERT INTO spent_month (project, month, spent)
SELECT COALESCE(project, ''), month, TOTAL(counts) FROM usage GROUP BY 1, 2;
INSERT INTO spent_run (project, session, run, last_ts, spent)
SELECT project, session, run, MAX(ts), TOTAL(counts) FROM usage
WHERE project IS NOT NULL AND session IS NOT NULL AND run IS NOT NULL GROUP BY 1, 2, 3;

-- Messages by the id of their entry. A fork has the conversations of its origin. What is no JSON came so
-- from inside.
CREATE INDEX bridge_event_entry ON bridge_event
    (session, CASE WHEN json_valid(data) THEN json_extract(data, '$.entryId') END)
    WHERE kind = 'message_end';
CREATE INDEX inherited_event_entry ON inherited_event
    (session, CASE WHEN json_valid(data) THEN json_extract(data, '$.entryId') END)
    WHERE kind = 'message_end';
