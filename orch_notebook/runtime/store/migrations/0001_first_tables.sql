-- Instants are seconds since the epoch (UTC); structured values are JSON text.

CREATE TABLE runs (
    run_id            TEXT PRIMARY KEY,
    flow              TEXT NOT NULL,
    deployment        TEXT,
    schedule_id       TEXT,
    parent_run_id     TEXT,
    retry_of          TEXT,
    state_type        TEXT NOT NULL,
    state_name        TEXT NOT NULL,
    state_message     TEXT NOT NULL DEFAULT '',
    attempt           INTEGER NOT NULL DEFAULT 1,
    parameters        TEXT NOT NULL DEFAULT '{}',
    plan              TEXT,             -- how a worker executes it; NULL: not for workers
    due_at            REAL,
    created_at        REAL NOT NULL,
    started_at        REAL,
    ended_at          REAL,
    notebook          TEXT,
    executed_notebook TEXT,
    worker            TEXT,
    owner             TEXT,             -- the process that may write its history
    lease_token       INTEGER NOT NULL DEFAULT 0,
    lease_expires_at  REAL
);

-- Every due time of a schedule resolves to exactly one row, whoever sees it first.
CREATE UNIQUE INDEX runs_by_due_time ON runs (schedule_id, due_at) WHERE schedule_id IS NOT NULL;
-- A run is repeated once, whoever finds it crashed.
CREATE UNIQUE INDEX runs_by_retry ON runs (retry_of) WHERE retry_of IS NOT NULL;
CREATE INDEX runs_waiting ON runs (due_at) WHERE state_type = 'SCHEDULED';
CREATE INDEX runs_owned ON runs (lease_expires_at) WHERE owner IS NOT NULL;
CREATE INDEX runs_by_deployment ON runs (deployment, created_at);
CREATE INDEX runs_by_parent ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX runs_by_age ON runs (created_at);

CREATE TABLE events (
    run_id     TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    at         REAL NOT NULL,
    kind       TEXT NOT NULL,
    task       TEXT,
    attempt    INTEGER,
    state_type TEXT,
    state_name TEXT,
    message    TEXT,
    data       TEXT,
    PRIMARY KEY (run_id, seq)           -- a second owner hits an error instead of corrupting history
) WITHOUT ROWID;

CREATE TABLE task_runs (
    run_id        TEXT NOT NULL,
    task          TEXT NOT NULL,
    spec          TEXT,                 -- only of tasks that appeared while the run ran
    attempt       INTEGER NOT NULL,
    state_type    TEXT NOT NULL,
    state_name    TEXT NOT NULL,
    state_message TEXT NOT NULL DEFAULT '',
    started_at    REAL,
    ended_at      REAL,
    details       TEXT,
    PRIMARY KEY (run_id, task)
) WITHOUT ROWID;

CREATE TABLE logs (
    run_id  TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    at      REAL NOT NULL,
    task    TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    level   INTEGER NOT NULL,
    text    TEXT NOT NULL,
    PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;

CREATE TABLE requests (
    request_id INTEGER PRIMARY KEY,
    run_id     TEXT NOT NULL,
    kind       TEXT NOT NULL,
    created_at REAL NOT NULL,
    taken_at   REAL
);
CREATE INDEX requests_open ON requests (run_id) WHERE taken_at IS NULL;

CREATE TABLE deployments (
    name       TEXT PRIMARY KEY,
    version    INTEGER NOT NULL,
    flow       TEXT NOT NULL,
    plan       TEXT NOT NULL,
    parameters TEXT NOT NULL,
    schema     TEXT NOT NULL,
    is_paused  INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
);

CREATE TABLE schedules (
    schedule_id TEXT PRIMARY KEY,
    deployment  TEXT NOT NULL REFERENCES deployments (name) ON DELETE CASCADE,
    rule        TEXT NOT NULL,
    seen_until  REAL NOT NULL           -- due times up to here have their row
);
CREATE INDEX schedules_by_deployment ON schedules (deployment);

CREATE TABLE workers (
    owner        TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    slots        INTEGER NOT NULL,
    started_at   REAL NOT NULL,
    heartbeat_at REAL NOT NULL
);
