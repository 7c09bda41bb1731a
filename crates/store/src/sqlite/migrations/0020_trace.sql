-- Where traces go: a row for each place while it is in use.
CREATE TABLE trace_sink (
    name  TEXT PRIMARY KEY,
    since INTEGER NOT NULL
) STRICT;

-- How far a place has taken what a project's events come to. None: nothing yet.
CREATE TABLE trace_cursor (
    sink       TEXT NOT NULL REFERENCES trace_sink (name) ON DELETE CASCADE,
    project_id INTEGER NOT NULL REFERENCES project (id),
    -- Everything that ended up to this event was taken.
    sent       INTEGER NOT NULL,
    -- Everything that began after this event may be unfinished: reading goes on from there.
    open_from  INTEGER NOT NULL,
    PRIMARY KEY (sink, project_id)
) STRICT, WITHOUT ROWID;
