-- Every statement the stores run, in the part of SQL that SQLite and PostgreSQL share.  Each says why it is safe when
-- several processes run it at once.  SQLite lets one process write at a time; on PostgreSQL, what a transaction has
-- updated nobody else updates until it ends, and whatever is counted before it is written is counted under a lock.

-- name: create_run!
-- Safe: the primary key and the unique indexes decide; a second insert of the same due time, retry or start after
-- another deployment's run is ignored.
INSERT INTO runs (
    run_id, flow, deployment, schedule_id, parent_run_id, retry_of, state_type, state_name, state_message, attempt,
    parameters, plan, due_at, created_at, ended_at, notebook, executed_notebook, worker, owner, lease_token,
    lease_expires_at, queue, priority, concurrency, limited_as, backfill,
    name, tags, about, upstream_run_id, path
) VALUES (
    :run_id, :flow, :deployment, :schedule_id, :parent_run_id, :retry_of, :state_type, :state_name, :state_message,
    :attempt, :parameters, :plan, :due_at, :created_at, :ended_at, :notebook, :executed_notebook, :worker,
    :owner, :lease_token, :lease_expires_at, :queue, :priority, :concurrency, :limited_as, :backfill,
    :name, :tags, :about, :upstream_run_id, :path
) ON CONFLICT DO NOTHING;

-- name: select_run^
-- Safe: reads one row.
SELECT * FROM runs WHERE run_id = :run_id;

-- name: select_run_ids_like
-- Safe: reads; the part holds only hexadecimal digits and dashes.
SELECT run_id FROM runs WHERE run_id LIKE :part || '%' OR run_id LIKE '%' || :part ORDER BY run_id LIMIT 2;

-- name: select_runs
-- Safe: reads.  Children are shown only when asked for by their parent, or when nothing narrows the list.  A run of
-- which it is not known where its flow stands may be of any flow of that name.
SELECT * FROM runs
WHERE (:deployment IS NULL OR deployment = :deployment)
  AND (:state IS NULL OR state_type = upper(:state) OR lower(state_name) = lower(:state))
  AND (:parent_run_id IS NULL OR parent_run_id = :parent_run_id)
  AND (:flow IS NULL OR flow = :flow)
  AND (:path IS NULL OR path IS NULL OR path = :path)
  AND (:backfill IS NULL OR backfill = :backfill)
ORDER BY created_at DESC, due_at DESC, run_id DESC LIMIT :limit;

-- name: update_run_state!
-- Safe: runs in the transaction that has just checked the lease token.
UPDATE runs SET state_type = :state_type, state_name = :state_name, state_message = :state_message,
    started_at = CASE WHEN :state_type = 'RUNNING' THEN coalesce(started_at, :at) ELSE started_at END,
    ended_at = CASE WHEN :state_type IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED') THEN :at ELSE NULL END,
    is_followed = CASE WHEN :state_type IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED') THEN is_followed ELSE 0 END
WHERE run_id = :run_id;

-- name: update_run_parameters!
-- Safe: runs in the transaction that has just checked the lease token.
UPDATE runs SET parameters = :parameters WHERE run_id = :run_id;

-- name: update_run_name!
-- Safe: only the owner knows the token.
UPDATE runs SET name = :name, tags = :tags, about = :about WHERE run_id = :run_id AND lease_token = :token;

-- name: select_graph$
-- Safe: reads the first fact of a run, which never changes.
SELECT data FROM events WHERE run_id = :run_id AND kind = 'RunCreated' ORDER BY seq LIMIT 1;

-- name: update_executed_notebook!
-- Safe: only the owner knows the token.
UPDATE runs SET executed_notebook = :path WHERE run_id = :run_id AND lease_token = :token;

-- name: renew_lease!
-- Safe: the fencing check.  No row is touched once somebody else has taken the run over.
UPDATE runs SET lease_expires_at = :expires_at
WHERE run_id = :run_id AND lease_token = :token AND owner IS NOT NULL;

-- name: claim_run!
-- Safe: the condition is checked and the token raised by one statement, so one of two claimants gets 0 rows.  How many
-- runs of the deployment go on is counted from their leases in the same transaction: nothing that could go astray.
UPDATE runs SET owner = :owner, worker = :worker, lease_token = lease_token + 1, lease_expires_at = :expires_at,
    state_type = 'PENDING', state_name = 'Pending', state_message = ''
WHERE run_id = :run_id AND owner IS NULL AND state_type = 'SCHEDULED' AND (
    0 = :is_limited OR concurrency IS NULL OR concurrency > (
        SELECT count(*) FROM runs AS other WHERE other.limited_as = runs.limited_as AND other.owner IS NOT NULL
    )
);

-- name: take_over_run!
-- Safe: as claim_run; only the lease that was found expired (or its owner dead) is replaced.
UPDATE runs SET owner = :owner, lease_token = lease_token + 1, lease_expires_at = :expires_at
WHERE run_id = :run_id AND lease_token = :token AND owner IS NOT NULL;

-- name: release_run!
-- Safe: only the holder of the token gives the lease back.
UPDATE runs SET owner = NULL, lease_expires_at = NULL WHERE run_id = :run_id AND lease_token = :token;

-- name: select_due_runs
-- Safe: reads; who gets a run is decided by claim_run.
SELECT run_id FROM runs
WHERE state_type = 'SCHEDULED' AND owner IS NULL AND plan IS NOT NULL AND due_at <= :now
  AND (:queues IS NULL OR :queues LIKE '%|' || queue || '|%')
  AND (concurrency IS NULL OR concurrency > (
        SELECT count(*) FROM runs AS other WHERE other.limited_as = runs.limited_as AND other.owner IS NOT NULL))
ORDER BY priority DESC, due_at, run_id LIMIT :limit;

-- name: select_blocked_runs
-- Safe: reads; the runs that are due while as many of their deployment go on as may.
SELECT run_id, state_name FROM runs
WHERE state_type = 'SCHEDULED' AND owner IS NULL AND plan IS NOT NULL AND due_at <= :now
  AND concurrency <= (
        SELECT count(*) FROM runs AS other WHERE other.limited_as = runs.limited_as AND other.owner IS NOT NULL)
ORDER BY due_at, run_id LIMIT 1000;

-- name: mark_blocked!
-- Safe: touches only runs nobody owns, and only their name.
UPDATE runs SET state_name = 'AwaitingConcurrencySlot' WHERE run_id = :run_id AND owner IS NULL
    AND state_type = 'SCHEDULED';

-- name: select_next_due_at$
-- Safe: reads.
SELECT min(due_at) FROM runs WHERE state_type = 'SCHEDULED' AND owner IS NULL AND plan IS NOT NULL
    AND (:queues IS NULL OR :queues LIKE '%|' || queue || '|%');

-- name: mark_late!
-- Safe: touches only runs nobody owns, and only their name.
UPDATE runs SET state_name = 'Late' WHERE state_type = 'SCHEDULED' AND state_name = 'Scheduled' AND owner IS NULL
    AND plan IS NOT NULL AND due_at < :before;

-- name: select_owned_runs
-- Safe: reads.
SELECT run_id, owner, lease_token, lease_expires_at FROM runs WHERE owner IS NOT NULL;

-- name: insert_events*!
-- Safe: the primary key refuses a number that is taken, so two owners cannot both write.
INSERT INTO events (run_id, seq, at, kind, task, attempt, state_type, state_name, message, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_logs*!
-- Safe: as insert_events.
INSERT INTO logs (run_id, seq, at, task, attempt, level, text) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: upsert_task_runs*!
-- Safe: runs in the transaction that has just checked the lease token.
INSERT INTO task_runs (run_id, task, spec, attempt, state_type, state_name, state_message, started_at, ended_at, details)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run_id, task) DO UPDATE SET
    attempt = excluded.attempt, state_type = excluded.state_type, state_name = excluded.state_name,
    state_message = excluded.state_message, started_at = coalesce(excluded.started_at, task_runs.started_at),
    ended_at = excluded.ended_at, details = excluded.details;

-- name: insert_materializations*!
-- Safe: as insert_events, whose number each bears.
INSERT INTO materializations (run_id, seq, asset, task, attempt, at, is_made, made_by, properties, metadata)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_lineage*!
-- Safe: as insert_events.
INSERT INTO lineage (run_id, seq, asset, upstream, is_declared, properties) VALUES (?, ?, ?, ?, ?, ?);

-- name: select_materializations
-- Safe: reads.  Of one asset or of all; the newest first.
SELECT * FROM materializations WHERE :asset IS NULL OR asset = :asset
ORDER BY at DESC, run_id DESC, seq DESC, asset LIMIT :limit;

-- name: select_newest_materializations
-- Safe: reads.  Of every asset the newest.
SELECT * FROM materializations AS this WHERE NOT EXISTS (
    SELECT 1 FROM materializations AS other WHERE other.asset = this.asset
      AND (other.at > this.at OR (other.at = this.at AND (other.run_id > this.run_id
           OR (other.run_id = this.run_id AND other.seq > this.seq)))))
ORDER BY asset;

-- name: select_lineage
-- Safe: reads.  What one materialization was made from.
SELECT upstream, is_declared, properties FROM lineage WHERE run_id = :run_id AND seq = :seq AND asset = :asset
ORDER BY upstream;

-- name: select_uses
-- Safe: reads.  What was made from which asset.
SELECT DISTINCT upstream, asset FROM lineage ORDER BY upstream, asset;

-- name: select_asset_properties
-- Safe: reads.  What was ever said of an asset, the latest last.
SELECT asset, properties, max(at) AS at FROM (
    SELECT asset, properties, at FROM materializations WHERE properties <> '{}'
    UNION ALL
    SELECT lineage.upstream, lineage.properties, materializations.at FROM lineage JOIN materializations
        ON materializations.run_id = lineage.run_id AND materializations.seq = lineage.seq
       AND materializations.asset = lineage.asset
    WHERE lineage.properties <> '{}'
) AS said GROUP BY asset, properties ORDER BY at;

-- name: select_events
-- Safe: reads.
SELECT * FROM events WHERE run_id = :run_id AND seq > :after ORDER BY seq;

-- name: select_last_seq$
-- Safe: reads, in the transaction that takes the run over.
SELECT max(seq) FROM (
    SELECT max(seq) AS seq FROM events WHERE run_id = :run_id
    UNION ALL SELECT max(seq) AS seq FROM logs WHERE run_id = :run_id
) AS found;

-- name: select_task_runs
-- Safe: reads.
SELECT * FROM task_runs WHERE run_id = :run_id;

-- name: select_task_history
-- Safe: reads.  Task runs of a flow's newest runs, the same as select_runs finds, without what they left.
SELECT t.run_id, t.task, t.attempt, t.state_type, t.state_name, t.state_message, t.started_at, t.ended_at
FROM task_runs AS t JOIN (
    SELECT run_id FROM runs WHERE flow = :flow AND (:path IS NULL OR path IS NULL OR path = :path)
    ORDER BY created_at DESC, due_at DESC, run_id DESC LIMIT :limit
) AS newest ON newest.run_id = t.run_id;

-- name: select_added
-- Safe: reads; the tasks that appeared while a run ran, in that order.
SELECT data FROM events WHERE run_id = :run_id AND kind = 'TaskAdded' ORDER BY seq;

-- name: select_logs
-- Safe: reads; the newest lines, oldest first.
SELECT * FROM (
    SELECT * FROM logs
    WHERE run_id = :run_id AND seq > :after AND (:task IS NULL OR task = :task)
    ORDER BY seq DESC LIMIT :limit
) AS newest ORDER BY seq;

-- name: insert_request!
-- Safe: requests only add up; the run's owner takes each once.
INSERT INTO requests (run_id, kind, created_at) VALUES (:run_id, :kind, :now);

-- name: count_open_requests$
-- Safe: reads.
SELECT count(*) FROM requests WHERE run_id = :run_id AND taken_at IS NULL;

-- name: count_requests$
-- Safe: reads.
SELECT count(*) FROM requests WHERE run_id = :run_id AND kind = :kind;

-- name: take_requests
-- Safe: one statement, so what is asked meanwhile is taken the next time.
UPDATE requests SET taken_at = :now WHERE run_id = :run_id AND taken_at IS NULL RETURNING request_id, kind;

-- name: upsert_deployment!
-- Safe: one statement; the version counts up under the write lock.
INSERT INTO deployments (
    name, version, flow, plan, parameters, schema, is_paused, created_at, updated_at, catch_up, starts_after, notices,
    keep
) VALUES (
    :name, 1, :flow, :plan, :parameters, :schema, 0, :now, :now, :catch_up, :starts_after, :notices, :keep
)
ON CONFLICT (name) DO UPDATE SET version = deployments.version + 1, flow = excluded.flow, plan = excluded.plan,
    parameters = excluded.parameters, schema = excluded.schema, updated_at = excluded.updated_at,
    catch_up = excluded.catch_up, starts_after = excluded.starts_after, notices = excluded.notices,
    keep = excluded.keep;

-- name: insert_version!
-- Safe: runs in the transaction that has just counted the version up.
INSERT INTO deployment_versions (name, version, data, created_at)
VALUES (:name, (SELECT version FROM deployments WHERE name = :name), :data, :now);

-- name: select_versions
-- Safe: reads.
SELECT * FROM deployment_versions WHERE name = :name ORDER BY version;

-- name: select_deployment^
-- Safe: reads.
SELECT * FROM deployments WHERE name = :name;

-- name: select_deployments
-- Safe: reads.
SELECT * FROM deployments ORDER BY name;

-- name: select_rules
-- Safe: reads.
SELECT * FROM deployments WHERE starts_after <> '[]' OR notices <> '[]' ORDER BY name;

-- name: delete_versions!
-- Safe: runs in the transaction that deletes the deployment.
DELETE FROM deployment_versions WHERE name = :name;

-- name: delete_deployment!
-- Safe: as delete_versions.
DELETE FROM deployments WHERE name = :name;

-- name: pause_deployment!
-- Safe: one statement.
UPDATE deployments SET is_paused = :is_paused, pause_reason = :reason, updated_at = :now WHERE name = :name;

-- name: delete_schedules!
-- Safe: runs in the transaction that writes the deployment's new schedules.
DELETE FROM schedules WHERE deployment = :deployment;

-- name: insert_schedule!
-- Safe: as delete_schedules.
INSERT INTO schedules (schedule_id, deployment, rule, seen_until, next_at, parameters)
VALUES (:schedule_id, :deployment, :rule, :seen_until, :next_at, :parameters);

-- name: select_schedules
-- Safe: reads.
SELECT s.*, d.is_paused FROM schedules s JOIN deployments d ON d.name = s.deployment
WHERE :deployment IS NULL OR s.deployment = :deployment ORDER BY s.deployment, s.schedule_id;

-- name: select_schedules_due
-- Safe: reads; whose due times become rows is decided by advance_schedule.
SELECT s.*, d.is_paused FROM schedules s JOIN deployments d ON d.name = s.deployment
WHERE s.next_at <= :now AND d.is_paused = 0 ORDER BY s.next_at, s.schedule_id;

-- name: select_next_schedule_at$
-- Safe: reads.
SELECT min(s.next_at) FROM schedules s JOIN deployments d ON d.name = s.deployment
WHERE s.next_at > :now AND d.is_paused = 0;

-- name: advance_schedule!
-- Safe: only forward, in the transaction that inserts the rows of the due times passed; if another worker was here
-- first, nothing is touched and the caller starts again.
UPDATE schedules SET seen_until = :until, next_at = :next_at WHERE schedule_id = :schedule_id AND seen_until = :since;

-- name: upsert_worker!
-- Safe: every worker writes only its own row.
INSERT INTO workers (owner, name, slots, started_at, heartbeat_at) VALUES (:owner, :name, :slots, :now, :now)
ON CONFLICT (owner) DO UPDATE SET heartbeat_at = excluded.heartbeat_at;

-- name: delete_worker!
-- Safe: as upsert_worker.
DELETE FROM workers WHERE owner = :owner;

-- name: select_workers
-- Safe: reads.
SELECT * FROM workers ORDER BY started_at;

-- name: upsert_variable!
-- Safe: one statement.
INSERT INTO variables (name, value, tags, updated_at) VALUES (:name, :value, :tags, :now)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, tags = excluded.tags, updated_at = excluded.updated_at;

-- name: insert_variable!
-- Safe: one statement; of two that set a new variable one wins.
INSERT INTO variables (name, value, tags, updated_at) VALUES (:name, :value, :tags, :now) ON CONFLICT DO NOTHING;

-- name: select_variable^
-- Safe: reads.
SELECT * FROM variables WHERE name = :name;

-- name: select_variables
-- Safe: reads.
SELECT * FROM variables ORDER BY name;

-- name: delete_variable!
-- Safe: one statement.
DELETE FROM variables WHERE name = :name;

-- name: upsert_artifact!
-- Safe: one statement; only who made it knows its id.
INSERT INTO artifacts (artifact_id, name, kind, run_id, task, data, description, created_at, updated_at)
VALUES (:artifact_id, :name, :kind, :run_id, :task, :data, :description, :now, :now)
ON CONFLICT (artifact_id) DO UPDATE SET data = excluded.data, description = excluded.description,
    updated_at = excluded.updated_at;

-- name: select_artifacts
-- Safe: reads.
SELECT * FROM artifacts
WHERE (:run_id IS NULL OR run_id = :run_id) AND (:name IS NULL OR name = :name)
  AND (:artifact_id IS NULL OR artifact_id = :artifact_id)
ORDER BY created_at, artifact_id;

-- name: upsert_limit!
-- Safe: one statement.
INSERT INTO limits (name, slots, decay) VALUES (:name, :slots, :decay)
ON CONFLICT (name) DO UPDATE SET slots = excluded.slots, decay = excluded.decay;

-- name: delete_limit!
-- Safe: one statement.
DELETE FROM limits WHERE name = :name;

-- name: select_limits
-- Safe: reads.
SELECT * FROM limits ORDER BY name;

-- name: delete_slots_gone!
-- Safe: runs in the transaction that counts what is left.  A slot is gone when it has expired, or its run is not owned.
DELETE FROM slots WHERE (expires_at IS NOT NULL AND expires_at <= :now)
    OR (run_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM runs WHERE runs.run_id = slots.run_id AND runs.owner IS NOT NULL AND runs.lease_expires_at > :now
    ));

-- name: select_slots_held^
-- Safe: reads, in the transaction that takes some.
SELECT coalesce(sum(count), 0) AS held, max(expires_at) AS last_expires_at FROM slots WHERE name = :name;

-- name: insert_slot!
-- Safe: runs in the transaction that has found room for it.
INSERT INTO slots (slot_id, name, count, run_id, expires_at) VALUES (:slot_id, :name, :count, :run_id, :expires_at);

-- name: delete_slots!
-- Safe: only who took a slot knows its id.
DELETE FROM slots WHERE slot_id = :slot_id;

-- name: select_runs_to_follow
-- Safe: reads; who arranges what follows is decided by follow_run.  A run is looked at once its owner has given it
-- back: by then its repetition, if its rule asks for one, has been made.
SELECT runs.*, EXISTS (SELECT 1 FROM runs AS again WHERE again.retry_of = runs.run_id) AS is_repeated
FROM runs
WHERE is_followed = 0 AND ended_at IS NOT NULL AND deployment IS NOT NULL AND owner IS NULL
ORDER BY ended_at LIMIT :limit;

-- name: follow_run!
-- Safe: of two workers one finds it not followed; what follows is inserted in the same transaction.
UPDATE runs SET is_followed = 1 WHERE run_id = :run_id AND is_followed = 0;

-- name: select_outcome_before^
-- Safe: reads.  The last run of a deployment before an instant that completed, or failed and was not repeated.
SELECT * FROM runs
WHERE deployment = :deployment AND run_id <> :run_id AND backfill IS NULL AND ended_at <= :before
  AND state_type IN ('COMPLETED', 'FAILED', 'CRASHED')
  AND NOT EXISTS (SELECT 1 FROM runs AS again WHERE again.retry_of = runs.run_id)
ORDER BY ended_at DESC LIMIT 1;

-- name: select_runs_going_on
-- Safe: reads.
SELECT * FROM runs WHERE owner IS NOT NULL AND deployment IS NOT NULL AND started_at IS NOT NULL AND ended_at IS NULL;

-- name: select_runs_late
-- Safe: reads.
SELECT * FROM runs WHERE state_type = 'SCHEDULED' AND state_name = 'Late' AND deployment IS NOT NULL
ORDER BY due_at LIMIT 1000;

-- name: count_begun$
-- Safe: reads.
SELECT count(*) FROM runs
WHERE deployment = :deployment AND backfill IS NULL AND started_at >= :begin AND started_at < :end;

-- name: insert_message!
-- Safe: the key is the fact and the address, so a fact is told once, whoever finds it.
INSERT INTO messages (key, deployment, run_id, fact, address, title, body, about, state, due_at, created_at)
VALUES (:key, :deployment, :run_id, :fact, :address, :title, :body, :about, 'waiting', :due_at, :created_at)
ON CONFLICT DO NOTHING;

-- name: has_message$
-- Safe: reads.
SELECT count(*) FROM messages WHERE key = :key;

-- name: select_messages_due
-- Safe: reads; who sends is decided by claim_message.
SELECT * FROM messages WHERE state = 'waiting' AND due_at <= :now ORDER BY due_at, key LIMIT :limit;

-- name: select_next_message_at$
-- Safe: reads.
SELECT min(due_at) FROM messages WHERE state = 'waiting';

-- name: claim_message!
-- Safe: the number of tries is compared and raised by one statement, so one of two gets 0 rows.  It is due again later:
-- if who claimed it dies before saying that it was sent, somebody tries again.
UPDATE messages SET attempts = attempts + 1, due_at = :until
WHERE key = :key AND state = 'waiting' AND attempts = :attempts;

-- name: settle_message!
-- Safe: only who claimed it knows the number of tries.
UPDATE messages SET state = :state, due_at = :due_at, sent_at = :sent_at, error = :error
WHERE key = :key AND state = 'waiting' AND attempts = :attempts;

-- name: select_messages
-- Safe: reads.
SELECT * FROM messages WHERE :deployment IS NULL OR deployment = :deployment ORDER BY created_at DESC, key LIMIT :limit;

-- name: select_backfills
-- Safe: reads.  A run that was repeated counts with its repetition.
SELECT backfill, deployment, state_type, count(*) AS count, min(created_at) AS created_at FROM runs
WHERE backfill IS NOT NULL AND (:backfill IS NULL OR backfill = :backfill)
  AND NOT EXISTS (SELECT 1 FROM runs AS again WHERE again.retry_of = runs.run_id)
GROUP BY backfill, deployment, state_type;

-- name: select_backfills_like
-- Safe: reads; the part holds only hexadecimal digits and dashes.
SELECT DISTINCT backfill FROM runs
WHERE backfill IS NOT NULL AND (backfill LIKE :part || '%' OR backfill LIKE '%' || :part) ORDER BY backfill LIMIT 2;

-- name: upsert_recorded!
-- Safe: one statement; the last value of a name stands.
INSERT INTO recorded (run_id, name, value, task, at) VALUES (:run_id, :name, :value, :task, :now)
ON CONFLICT (run_id, name) DO UPDATE SET value = excluded.value, task = excluded.task, at = excluded.at;

-- name: select_counts
-- Safe: reads.
SELECT 'runs' AS kind, count(*) AS count FROM runs
UNION ALL SELECT 'task runs', count(*) FROM task_runs
UNION ALL SELECT 'events', count(*) FROM events
UNION ALL SELECT 'log lines', count(*) FROM logs
UNION ALL SELECT 'deployments', count(*) FROM deployments
UNION ALL SELECT 'messages', count(*) FROM messages
UNION ALL SELECT 'artifacts', count(*) FROM artifacts;

-- name: select_recorded
-- Safe: reads.  What a run recorded, or each of a backfill's.
SELECT * FROM recorded
WHERE run_id = :run_id OR run_id IN (SELECT run_id FROM runs WHERE backfill IS NOT NULL AND backfill = :backfill)
ORDER BY at, name;

-- name: select_whole_runs
-- Safe: reads; delete_run decides again.
SELECT runs.*, CASE WHEN owner IS NULL AND ended_at IS NOT NULL AND (deployment IS NULL OR is_followed = 1)
    THEN 1 ELSE 0 END AS may_go
FROM runs WHERE parent_run_id IS NULL ORDER BY created_at DESC, run_id DESC;

-- name: select_run_ids
-- Safe: reads.
SELECT run_id FROM runs;

-- name: select_run_bytes$
-- Safe: reads.
SELECT sum(bytes) FROM (
    SELECT sum(200 + length(coalesce(data, '')) + length(coalesce(message, ''))) AS bytes FROM events
    WHERE run_id = :run_id OR run_id IN (SELECT run_id FROM runs WHERE parent_run_id = :run_id)
    UNION ALL
    SELECT sum(60 + length(text)) FROM logs
    WHERE run_id = :run_id OR run_id IN (SELECT run_id FROM runs WHERE parent_run_id = :run_id)
    UNION ALL SELECT sum(500 + length(parameters) + length(coalesce(plan, ''))) FROM runs
    WHERE run_id = :run_id OR parent_run_id = :run_id
) AS parts;

-- name: delete_run!
-- Safe: only a run that has ended and that nobody owns; whoever would own it again finds no row.
DELETE FROM runs WHERE run_id = :run_id AND owner IS NULL AND ended_at IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM runs AS part WHERE part.parent_run_id = :run_id AND part.owner IS NOT NULL);

-- name: select_parts
-- Safe: reads, in the transaction that has deleted the whole.
SELECT run_id FROM runs WHERE parent_run_id = :run_id;

-- name: delete_parts!
-- Safe: as select_parts.
DELETE FROM runs WHERE parent_run_id = :run_id;

-- name: delete_events_of!
-- Safe: as select_parts.
DELETE FROM events WHERE run_id = :run_id;

-- name: delete_task_runs_of!
-- Safe: as select_parts.
DELETE FROM task_runs WHERE run_id = :run_id;

-- name: delete_logs_of!
-- Safe: as select_parts.
DELETE FROM logs WHERE run_id = :run_id;

-- name: delete_requests_of!
-- Safe: as select_parts.
DELETE FROM requests WHERE run_id = :run_id;

-- name: delete_recorded_of!
-- Safe: as select_parts.
DELETE FROM recorded WHERE run_id = :run_id;

-- name: delete_materializations_of!
-- Safe: as select_parts.
DELETE FROM materializations WHERE run_id = :run_id;

-- name: delete_lineage_of!
-- Safe: as select_parts.
DELETE FROM lineage WHERE run_id = :run_id;

-- name: delete_artifacts_of!
-- Safe: as select_parts.
DELETE FROM artifacts WHERE run_id = :run_id;

-- name: delete_messages_of!
-- Safe: as select_parts; what waits to be sent is sent.
DELETE FROM messages WHERE run_id = :run_id AND state <> 'waiting';

-- name: select_plans
-- Safe: reads.
SELECT run_id, plan FROM runs WHERE plan IS NOT NULL
UNION ALL SELECT '' AS run_id, plan FROM deployments;

-- name: select_all_versions
-- Safe: reads.
SELECT data FROM deployment_versions;

-- name: ask!
-- Safe: one statement; what is answered stays so, and a repetition takes over what is not.
INSERT INTO pauses (line, key, run_id, kind, schema, expires_at, asked_at)
VALUES (:line, :key, :run_id, :kind, :schema, :expires_at, :now)
ON CONFLICT (line, key) DO UPDATE SET run_id = excluded.run_id, kind = excluded.kind, schema = excluded.schema,
    expires_at = CASE WHEN pauses.run_id = excluded.run_id THEN pauses.expires_at ELSE excluded.expires_at END;

-- name: select_pause^
-- Safe: reads.
SELECT * FROM pauses WHERE line = :line AND key = :key;

-- name: select_open_pause^
-- Safe: reads.
SELECT * FROM pauses WHERE run_id = :run_id AND answered_at IS NULL ORDER BY asked_at DESC, key DESC LIMIT 1;

-- name: select_pause_near^
-- Safe: reads.
WITH RECURSIVE family (run_id) AS (
    SELECT CAST(:run_id AS TEXT)
    UNION SELECT runs.run_id FROM runs JOIN family ON runs.parent_run_id = family.run_id
)
SELECT pauses.*, runs.flow FROM pauses JOIN runs ON runs.run_id = pauses.run_id
WHERE pauses.answered_at IS NULL AND runs.state_type = 'PAUSED'
    AND (runs.owner = :owner OR runs.run_id IN (SELECT run_id FROM family))
ORDER BY pauses.asked_at DESC, pauses.key DESC LIMIT 1;

-- name: answer!
-- Safe: the first answer stands until it is refused; of two that answer at once, one gets 0 rows.
UPDATE pauses SET answer = :answer, answered_at = :now WHERE line = :line AND key = :key AND answered_at IS NULL;

-- name: refuse_answer!
-- Safe: only the run that asked refuses.
UPDATE pauses SET answer = NULL, answered_at = NULL WHERE line = :line AND key = :key;

-- name: select_expired_pauses
-- Safe: reads; who ends the run is decided by claim_run.
SELECT pauses.run_id FROM pauses JOIN runs ON runs.run_id = pauses.run_id
WHERE pauses.answered_at IS NULL AND pauses.expires_at <= :now AND runs.state_name = 'Suspended' AND runs.owner IS NULL;

-- name: wake_run!
-- Safe: touches only a run that is suspended and that nobody owns; of two, one gets 0 rows.
UPDATE runs SET state_type = 'SCHEDULED', state_name = 'Scheduled', state_message = '', due_at = :now, ended_at = NULL
WHERE run_id = :run_id AND state_name = 'Suspended' AND owner IS NULL;

-- name: update_run_plan!
-- Safe: only the owner knows the token.
UPDATE runs SET plan = :plan WHERE run_id = :run_id AND lease_token = :token AND plan IS NULL;

-- name: insert_secret!
-- Safe: the primary key decides; one that is there stays.
INSERT INTO secrets (name, token, updated_at) VALUES (:name, :token, :now) ON CONFLICT DO NOTHING;

-- name: upsert_secret!
-- Safe: one statement.
INSERT INTO secrets (name, token, updated_at) VALUES (:name, :token, :now)
ON CONFLICT (name) DO UPDATE SET token = excluded.token, updated_at = excluded.updated_at;

-- name: select_secrets
-- Safe: reads.
SELECT name, token FROM secrets ORDER BY name;

-- name: delete_secret!
-- Safe: one statement.
DELETE FROM secrets WHERE name = :name;
