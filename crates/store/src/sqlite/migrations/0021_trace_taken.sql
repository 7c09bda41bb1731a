-- Whether the place has ever taken a span: then one that it refuses is at fault, and not the place.
ALTER TABLE trace_sink ADD COLUMN has_taken INTEGER NOT NULL DEFAULT 0 CHECK (has_taken IN (0, 1));
