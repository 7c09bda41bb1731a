-- How many runs have each status is counted at each look at the metrics, and those that are not over are looked for
-- every few seconds while a host is gone: of all that there are. By the time of their begin nobody looks for any.
CREATE INDEX run_status ON run (status);
DROP INDEX run_created_at;
