-- What models cost, for the sums of runs. Amounts are billionths of the currency for 1,000 tokens. NULL of the cache is
-- the price of what is read, NULL of reasoning that of what is written.
CREATE TABLE model_pricing (
    id              INTEGER PRIMARY KEY,
    provider        TEXT NOT NULL,
    model           TEXT NOT NULL,
    currency        TEXT NOT NULL DEFAULT 'USD',
    input_per_1k    INTEGER NOT NULL,
    output_per_1k   INTEGER NOT NULL,
    cached_input_per_1k     INTEGER,
    reasoning_output_per_1k INTEGER,
    pricing_version TEXT NOT NULL,
    active          INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1)),
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    UNIQUE (provider, model)
);
-- Those of the Platform Agent's own table.
INSERT INTO model_pricing (provider, model, input_per_1k, output_per_1k, cached_input_per_1k, pricing_version, created_at, updated_at)
VALUES ('openai', 'gpt-5', 10000000, 30000000, 1000000, 'seed:v1', 0, 0),
       ('openai', 'gpt-5-mini', 1500000, 6000000, 150000, 'seed:v1', 0, 0),
       ('openai', 'gpt-4.1', 10000000, 30000000, 1000000, 'seed:v1', 0, 0),
       ('anthropic', 'claude-3-7-sonnet-latest', 3000000, 15000000, 300000, 'seed:v1', 0, 0),
       ('xai', 'grok-3', 5000000, 15000000, 500000, 'seed:v1', 0, 0),
       ('zai', 'glm-4.5', 3000000, 9000000, 300000, 'seed:v1', 0, 0);
