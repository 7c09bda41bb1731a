-- What the programs of a project may ask of models; NULL: no limit of its own.
CREATE TABLE model_limit (
    project_id       INTEGER PRIMARY KEY REFERENCES project (id),
    calls_at_once    INTEGER,
    calls_per_minute INTEGER,
    updated_at       INTEGER NOT NULL
) STRICT;
