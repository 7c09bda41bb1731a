-- Models that stand in for others in one project (JSON: by PROVIDER/MODEL or PROVIDER/*, a list; an empty one:
-- nobody, whatever holds for all projects).
CREATE TABLE project_fallback (
  project_id INTEGER PRIMARY KEY REFERENCES project(id),
  chains TEXT NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
