-- Assets that tasks made, or failed to make, and what each was made from; written with the end of the attempt.

CREATE TABLE materializations (
    run_id     TEXT NOT NULL,
    seq        INTEGER NOT NULL,        -- the event that says so
    asset      TEXT NOT NULL,
    task       TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    at         REAL NOT NULL,
    is_made    INTEGER NOT NULL,
    made_by    TEXT NOT NULL DEFAULT '',
    properties TEXT NOT NULL DEFAULT '{}',
    metadata   TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (run_id, seq, asset)
);
CREATE INDEX materializations_by_asset ON materializations (asset, at);

CREATE TABLE lineage (
    run_id      TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    asset       TEXT NOT NULL,
    upstream    TEXT NOT NULL,
    is_declared INTEGER NOT NULL,
    properties  TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (run_id, seq, asset, upstream)
);
CREATE INDEX lineage_by_upstream ON lineage (upstream);
