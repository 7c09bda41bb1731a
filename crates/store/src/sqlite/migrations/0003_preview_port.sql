-- Ports of previews that are reached by a bare address. A row stays as long as its project does:
-- browsers keep what an origin stored, so no other project may get its port.
CREATE TABLE preview_port (
    port       INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES project (id),
    -- Port inside the machine; NULL is the app's own, whichever that is.
    app_port   INTEGER,
    used_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX preview_port_project ON preview_port (project_id);
