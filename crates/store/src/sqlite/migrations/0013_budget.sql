-- Money that may be spent on models, in billionths of a US dollar; NULL: no bound.
CREATE TABLE budget (
    -- Public id of a project; '' for all together.
    scope      TEXT PRIMARY KEY,
    run        INTEGER,
    month      INTEGER,
    total      INTEGER,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
