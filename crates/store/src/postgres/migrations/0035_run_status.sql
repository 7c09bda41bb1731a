-- How many runs have each status is counted at each look at the metrics, and those that are not over are looked for
-- every few seconds where there are several servers: among very many that are. By their time nobody looks for any.
CREATE INDEX run_status ON run (status);
DROP INDEX run_created_at;
