-- A project is deleted first, and its machine destroyed then: what a server did not finish, the next
-- one does.
ALTER TABLE project ADD COLUMN destroyed_at INTEGER;
CREATE INDEX project_to_destroy ON project (id) WHERE deleted_at IS NOT NULL AND destroyed_at IS NULL;
