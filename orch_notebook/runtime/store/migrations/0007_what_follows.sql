-- What follows the end of a run: values it recorded, runs it starts, people who are told; and how long all is kept.

CREATE TABLE recorded (
    run_id TEXT NOT NULL,
    name   TEXT NOT NULL,
    value  TEXT NOT NULL,
    task   TEXT,
    at     REAL NOT NULL,
    PRIMARY KEY (run_id, name)
) WITHOUT ROWID;

ALTER TABLE runs ADD COLUMN upstream_run_id TEXT;                       -- the run after whose end it was started
ALTER TABLE runs ADD COLUMN is_followed INTEGER NOT NULL DEFAULT 0;     -- what follows its end has been arranged
UPDATE runs SET is_followed = 1 WHERE ended_at IS NOT NULL;
-- One completion starts one run, whoever sees it first.
CREATE UNIQUE INDEX runs_by_upstream ON runs (deployment, upstream_run_id) WHERE upstream_run_id IS NOT NULL;
CREATE INDEX runs_to_follow ON runs (ended_at)
    WHERE is_followed = 0 AND ended_at IS NOT NULL AND deployment IS NOT NULL;

ALTER TABLE deployments ADD COLUMN starts_after TEXT NOT NULL DEFAULT '[]';
ALTER TABLE deployments ADD COLUMN notices TEXT NOT NULL DEFAULT '[]';
ALTER TABLE deployments ADD COLUMN keep TEXT NOT NULL DEFAULT '';

CREATE TABLE messages (
    key        TEXT PRIMARY KEY,        -- the fact and the address: told once
    deployment TEXT NOT NULL,
    run_id     TEXT,
    fact       TEXT NOT NULL,
    address    TEXT NOT NULL,
    title      TEXT NOT NULL,
    body       TEXT NOT NULL,
    about      TEXT NOT NULL,
    state      TEXT NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    due_at     REAL,
    created_at REAL NOT NULL,
    sent_at    REAL,
    error      TEXT NOT NULL DEFAULT ''
);
CREATE INDEX messages_waiting ON messages (due_at) WHERE state = 'waiting';
CREATE INDEX messages_by_age ON messages (created_at);
