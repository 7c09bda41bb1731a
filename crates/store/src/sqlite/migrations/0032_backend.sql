-- Name of the backend that a project's machine is made with; NULL: that of its server, which writes it down when it
-- starts, or makes the machine.
ALTER TABLE project ADD COLUMN backend TEXT;
-- Name of the one that has it, when the project was moved to another since; NULL: the project's own.
ALTER TABLE checkpoint ADD COLUMN backend TEXT;
