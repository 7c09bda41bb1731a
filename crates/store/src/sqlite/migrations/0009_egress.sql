-- What a project's machine may reach: JSON, as the API has it. NULL: the server's own default.
ALTER TABLE machine_settings ADD COLUMN egress TEXT;
