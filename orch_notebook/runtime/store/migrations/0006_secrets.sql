-- Values that nobody should see: encrypted, with a key that is not here.

CREATE TABLE secrets (
    name       TEXT PRIMARY KEY,
    token      TEXT NOT NULL,
    updated_at REAL NOT NULL
);
