-- The widest level that a project may have: JSON `{"level":…,"inherited":…}`. NULL: the server's own. One
-- that a fork has from its origin counts only where it is narrower than the server's.
ALTER TABLE machine_settings ADD COLUMN egress_ceiling TEXT;
