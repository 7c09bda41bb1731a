-- Which run of a project is the latest one says its number: kept apart it had to be changed with each new run, in all
-- indexes of the run before. Whoever gives runs away goes through projects (`run_queued_of`), not by this index.
DROP INDEX run_writable;
DROP INDEX run_queued;
ALTER TABLE run DROP COLUMN writable;
