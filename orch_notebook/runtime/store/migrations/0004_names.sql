-- What a run is called, the words to find it by, and the version and description of its flow.

ALTER TABLE runs ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE runs ADD COLUMN about TEXT NOT NULL DEFAULT '{}';
