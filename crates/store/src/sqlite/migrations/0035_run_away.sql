-- Runs that were told that their host is gone: few, and looked for every few seconds among all that there are.
CREATE INDEX run_away ON run (id) WHERE host_away = 1;
