-- Which files a project has too many of is asked at the end of each run: of its files, not of all its runs.
ALTER TABLE artifact ADD COLUMN project_id BIGINT REFERENCES project (id);
UPDATE artifact SET project_id = (SELECT r.project_id FROM run r WHERE r.id = artifact.run_id);
CREATE INDEX artifact_project ON artifact (project_id);
