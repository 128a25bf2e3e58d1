-- In which file a run's flow stands: two notebooks of one name in different folders have two histories.

ALTER TABLE runs ADD COLUMN path TEXT;                                  -- NULL where no front end tells it
UPDATE runs SET path = notebook WHERE notebook IS NOT NULL;
UPDATE runs SET path = (SELECT whole.notebook FROM runs AS whole WHERE whole.run_id = runs.parent_run_id)
    WHERE path IS NULL AND parent_run_id IS NOT NULL;
