-- What flows of functions share beside their runs: variables, artifacts, and limits on what goes on at once.

CREATE TABLE variables (
    name       TEXT PRIMARY KEY,
    value      TEXT NOT NULL,
    tags       TEXT NOT NULL DEFAULT '[]',
    updated_at REAL NOT NULL
);

CREATE TABLE artifacts (
    artifact_id TEXT PRIMARY KEY,
    name        TEXT,                   -- its key: artifacts of one key are versions of one thing
    kind        TEXT NOT NULL,
    run_id      TEXT,
    task        TEXT,
    data        TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    created_at  REAL NOT NULL,
    updated_at  REAL NOT NULL
);
CREATE INDEX artifacts_by_run ON artifacts (run_id, created_at);
CREATE INDEX artifacts_by_name ON artifacts (name, created_at) WHERE name IS NOT NULL;

CREATE TABLE limits (
    name  TEXT PRIMARY KEY,
    slots INTEGER NOT NULL,
    decay REAL                          -- slots given back per second; NULL: when who holds them is done
);

-- A slot is held as long as the run that took it is owned, or until it expires.  Nothing is counted up or down.
CREATE TABLE slots (
    slot_id    TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    count      INTEGER NOT NULL,
    run_id     TEXT,
    expires_at REAL
);
CREATE INDEX slots_by_name ON slots (name);
