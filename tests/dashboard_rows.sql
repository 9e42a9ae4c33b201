-- Rows for every view of the dashboard: see dashboard_rows.py. `$n` is how many there are.

-- Ended ones. The first one has started the next ones, and has steps, events, messages and acts.
insert into outlast.workflow_status (workflow_id, function, status, input, output, attributes, parent,
  created_at, started_at, completed_at, untold)
select 'w' || i, 'f' || 1 + i % 100, 'SUCCESS', '{"n": 1}', '"done"', '{"customer": "42"}',
  case when i between 2 and 200 then 'w1' end, now() - i * interval '1 s', now() - i * interval '1 s', now(),
  false
from generate_series(1, $n) i;

-- Failed ones, of a hundred causes.
insert into outlast.workflow_status (workflow_id, function, status, error, created_at, started_at,
  completed_at, untold)
select 'e' || i, 'f' || 1 + i % 100, 'ERROR', json_build_object('code', 'workflow_error', 'message', 'no',
    'failure', json_build_object('type', 'Declined', 'message', 'no ' || i, 'traceback', 'Traceback')),
  now() - i * interval '1 s', now() - i * interval '1 s', now() - i * interval '1 s', false
from generate_series(1, least($n, 100 + $n / 50)) i;

-- Held ones.
insert into outlast.workflow_status (workflow_id, function, status, held, claimable_at, created_at, started_at)
select 'h' || i, 'f' || 1 + i % 100, 'PENDING', json_build_object('reason', 'non_determinism', 'since', now(),
    'step', '1', 'recorded', json_build_object('name', 'old'), 'called', json_build_object('name', 'new'),
    'at', 'functions/f.py:3', 'remedy', 'Deploy the code that it was recorded with.'),
  now(), now() - i * interval '1 s', now() - i * interval '1 s'
from generate_series(1, least($n, 100 + $n / 50)) i;

insert into outlast.queues (name, base, functions, paused_at, paused_by, declared_at)
select 'q' || i, '{"concurrency": 2}', array['f' || i], now(), 'the tests', now() from generate_series(1, least($n, 100)) i;

-- Those that wait in a queue.
insert into outlast.workflow_status (workflow_id, function, status, queue, claimable_at, created_at)
select 'q' || i, 'f' || 1 + i % 100, 'ENQUEUED', 'q1', now() + interval '1 d', now() - i * interval '1 s'
from generate_series(1, least($n, 100 + $n / 50)) i;

insert into outlast.schedules (name, owner, function, cron, next_at, upcoming)
select 's' || i, 'dynamic', 'f' || i, '0 3 * * *', now() + interval '1 d', array[now() + interval '1 d']
from generate_series(1, least($n, 100)) i;

insert into outlast.ticks (schedule, nominal_at, outcome, reason)
select 's1', now() - i * interval '1 h', 'skipped', 'an earlier one ran' from generate_series(1, least($n, 100)) i;

insert into outlast.instances (instance_id, host, version, lease_until, versions)
select 'i' || i, 'elsewhere', '0.1', now() + interval '1 d', jsonb_build_object('f' || i, 'v1')
from generate_series(1, least($n, 100)) i;

-- Steps, of one of them many; and events.
insert into outlast.operation_outputs (workflow_id, step_id, name, output, kind, completion_order, started_at, at)
select 'w1', i::text, 'charge', '"done"'::json, 'step', i, now(), now() from generate_series(1, least($n, 40000)) i
union all
select 'w' || i, '1', 'charge', '"done"', 'step', 1, now(), now() from generate_series(2, $n) i
union all
select 'w1', 'p' || i, 'progress', '{"packed": true}', 'publish', 40000 + i, now(), now()
from generate_series(1, least($n, 100)) i;

insert into outlast.messages (workflow_id, topic, message, number)
select 'w1', 'approval', '"yes"'::json, i from generate_series(1, least($n, 100)) i
union all
select 'w' || i, 'approval', '"yes"', 1 from generate_series(2, $n / 10) i;

insert into outlast.acts (verb, noun, name, workflow_id, by, why, before)
select 'pause', 'workflow', 'w' || i, 'w' || i, 'the tests', 'to see it', '{"held": null}'::json
from generate_series(1, least($n, 100 + $n / 50)) i
union all
select 'pause', 'workflow', 'w1', 'w1', 'the tests', 'again', null from generate_series(2, least($n, 100)) i;

insert into outlast.workflow_status (workflow_id, function, status, created_at, started_at, completed_at, untold)
select 'outlast.bulk:b' || i, 'outlast.bulk', 'SUCCESS', now(), now(), now(), false from generate_series(1, least($n, 100)) i;

insert into outlast.bulks (bulk_id, verb, arguments, filter, rate, by, fixed, total, done, over)
select 'outlast.bulk:b' || i, 'set', '{"attributes": {"season": "winter"}}', '{"function": "f1"}', 50, 'the tests',
  true, 1, 1, true
from generate_series(1, least($n, 100)) i;

insert into outlast.bulk_items (bulk_id, place, workflow_id, outcome, at)
select 'outlast.bulk:b1', i, 'w' || i, 'done', now() from generate_series(1, $n) i;
