-- Id of the sandbox that the machine of a run was in, at somebody else's; NULL: in none.
ALTER TABLE run ADD COLUMN sandbox TEXT;
