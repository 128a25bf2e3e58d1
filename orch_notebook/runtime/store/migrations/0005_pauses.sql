-- What flow runs ask of people, and the answers: each is asked once in a line of runs that repeat one another.

CREATE TABLE pauses (
    line        TEXT NOT NULL,          -- the first run of the line
    key         TEXT NOT NULL,          -- which pause of the flow
    run_id      TEXT NOT NULL,          -- the run that waits
    kind        TEXT NOT NULL,          -- what an answer is: none, value or model
    schema      TEXT NOT NULL,
    expires_at  REAL NOT NULL,
    answer      TEXT,                   -- NULL: nobody has answered
    asked_at    REAL NOT NULL,
    answered_at REAL,
    PRIMARY KEY (line, key)
);
CREATE INDEX pauses_open ON pauses (expires_at) WHERE answered_at IS NULL;
CREATE INDEX pauses_by_run ON pauses (run_id);
