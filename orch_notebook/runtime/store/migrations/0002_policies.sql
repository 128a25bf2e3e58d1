-- Queues, priorities and limits of runs; schedules that know when they are due next; every version of a deployment.

ALTER TABLE runs ADD COLUMN queue TEXT NOT NULL DEFAULT 'default';
ALTER TABLE runs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN backfill TEXT;          -- the backfill it belongs to
ALTER TABLE runs ADD COLUMN concurrency INTEGER;    -- how many runs of its group may go on at once
ALTER TABLE runs ADD COLUMN limited_as TEXT;        -- the group: its backfill, else its deployment
CREATE INDEX runs_going_on ON runs (limited_as) WHERE owner IS NOT NULL;
CREATE INDEX runs_by_backfill ON runs (backfill) WHERE backfill IS NOT NULL;

ALTER TABLE schedules ADD COLUMN parameters TEXT NOT NULL DEFAULT '{}';
-- Zero means that nobody has reckoned it yet, NULL that there is none any more.
ALTER TABLE schedules ADD COLUMN next_at REAL DEFAULT 0;
CREATE INDEX schedules_by_next ON schedules (next_at) WHERE next_at IS NOT NULL;

ALTER TABLE deployments ADD COLUMN catch_up TEXT NOT NULL DEFAULT 'latest';
ALTER TABLE deployments ADD COLUMN pause_reason TEXT NOT NULL DEFAULT '';

CREATE TABLE deployment_versions (
    name       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    data       TEXT NOT NULL,           -- the deployment as it was promoted
    created_at REAL NOT NULL,
    PRIMARY KEY (name, version)
) WITHOUT ROWID;
