-- Conversations move by restores and by people who go to an entry: both are looked for together.
DROP INDEX bridge_event_moves;
CREATE INDEX bridge_event_moves ON bridge_event (project_id, seq)
    WHERE kind IN ('restored', 'navigated');

-- What a task does in a conversation of its own belongs to the call that began it, and is no conversation of a
-- person's. What is no JSON came so from inside.
CREATE INDEX bridge_event_task ON bridge_event
    (project_id, CASE WHEN json_valid(data) THEN json_extract(data, '$.childSession') END)
    WHERE kind = 'tool_start'
    AND CASE WHEN json_valid(data) THEN json_extract(data, '$.childSession') END IS NOT NULL;
