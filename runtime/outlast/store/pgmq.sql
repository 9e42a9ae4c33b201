-- Supabase Queues: messages become workflows. Only pgmq's functions touch its tables, so that any version works.

-- name: consume
-- One statement, one commit: either the workflow's row is durable and its message is deleted, or neither happens.
with limited as materialized (
    -- For this transaction: a lock on one queue's table must not hold up other queues, or a connection for long.
  select set_config('lock_timeout', '300ms', true) as lock_timeout
), rules as materialized (
    -- As for every queue: the newest code's declaration and the operators' settings.
  select
    limited.lock_timeout, q.paused_at is not null as paused, o.options ->> 'key' as key,
    -- guard: operators-limits-passed-by-messages = q.base::jsonb <> '{}' as waits,
    o.options <> '{}' as waits,
        -- A small max_backlog is checked exactly, a large one against the last count, as at the queue's door.
    -- guard: messages-pass-a-small-bound = greatest(0, most - case when most > 0 then 0 else (
    greatest(0, most - case when most > 10000 then q.backlog else (
      select count(*) from (
        select from outlast.workflow_status w
        where w.queue = q.name and w.owner is null and w.claimable_at is not null
        limit most
      ) as waiting) end) as room
  from limited
  left join outlast.queues q on q.name = 'pgmq:' || %(queue)s::text
  cross join lateral (select coalesce(outlast.queue_options(q.base, q.override), '{}') as options) as o
  cross join lateral outlast.backlog_max(q.base, q.override) as most
), read as materialized (
    -- Messages may be large, so each is converted to text only once. Before pgmq 1.5 messages have no headers: then `headers`
    -- is that of `older`.
  select
    'pgmq:' || %(queue)s::text as queue, r.msg_id, r.enqueued_at, r.read_ct, r.message::text as document,
    (select headers from (select r.*) as own) as headers, rules.waits,
        -- Messages without a key share one turn.
    case when rules.key is null then '' else coalesce(left(outlast.key_of(r.message::text, rules.key), 255), '') end
      as queue_key
    -- Messages are hidden for longer than any commit takes. Those that aren't deleted below become visible again.
  from rules
  cross join (select null::jsonb as headers) as older
  cross join lateral (
    select case
      -- guard: messages-of-a-paused-queue-taken = when rules.lock_timeout is null then 0
      when rules.lock_timeout is null or rules.paused then 0
            -- With keys, all messages must be read to know whose turn it is. Otherwise those in front are enough.
      when rules.waits and rules.key is null then least(%(room)s::integer, rules.room::integer, %(waiting_max)s - (
        select count(*)::integer from (
          select from outlast.workflow_status w
          where w.queue = 'pgmq:' || %(queue)s and w.owner is null and w.held is null
            -- guard: sleepers-stop-a-message-queue = and w.claimable_at is not null
            and w.claimable_at <= now()
          limit %(waiting_max)s
        ) as waiting))
      when rules.waits then least(%(room)s::integer, rules.room::integer)
      else %(room)s::integer end as most
  ) as bound
  cross join lateral (
    select * from pgmq.read(%(queue)s, 30, bound.most) where %(message)s::bigint is null
    union all
        -- A given message, which this transaction has read.
    select * from pgmq.set_vt(%(queue)s, %(message)s::bigint, 30) where %(message)s::bigint is not null and bound.most > 0
  ) as r
), numbered as (
    -- A queue that was dropped and created again counts from 1 again. Then the first id may belong to another message, but
    -- not the second one.
  select
    r.*, r.queue || ':' || r.msg_id as plain_id,
    r.queue || ':' || r.msg_id || ':' || to_char(r.enqueued_at at time zone 'utc', 'YYYYMMDD"T"HH24MISSUS') as timed_id
  from read r
), named as (
  select
    m.*,
    case when exists (select from outlast.workflow_status w where w.workflow_id = m.plain_id) then m.timed_id
      else m.plain_id end as workflow_id,
    -- A backup of the queue's table may bring a message back. Its workflow exists already.
    exists (
      select from outlast.workflow_status w
      where w.workflow_id in (m.plain_id, m.timed_id)
                -- Bodies and operators set attributes, too: a value that isn't a time must not stop the queue.
        -- guard: another-message-taken-for-it
        -- guard: attributes-stop-a-message-queue = and case when w.queue = m.queue then (w.attributes ->> 'enqueued_at')::timestamptz = m.enqueued_at end
        and case when w.queue = m.queue then outlast.time_in(w.attributes ->> 'enqueued_at') = m.enqueued_at end
    ) as done
  from numbered m
), new as (
  select
    n.workflow_id, %(function)s as function, document as input, null as request, null as idempotency_key,
    null as fingerprint, null as subject,
    '{"role":"service_role","outlast":{"mode":"queue","key":null}}' as claims, n.queue,
    n.queue_key,
    0 as priority, 0 as delay, null as tick,
    jsonb_strip_nulls(jsonb_build_object(
      'msg_id', n.msg_id, 'enqueued_at', n.enqueued_at, 'read_ct', n.read_ct, 'headers', n.headers)) as attributes,
    %(version)s as version, null as parent, now() + make_interval(secs => %(timeout)s) as deadline,
    %(timeout)s::float8 as timeout_s, null::bigint as nonce, case when not n.waits then %(instance)s end as owner, now() as at,
    -- include: start.sql load_bytes
    as load_bytes
  from named n
  where not n.done
), started as (
  -- include: start.sql insert
  returning
    w.workflow_id, w.function, w.epoch, null::text as input, null::text as request, w.subject, w.claims::text, w.version,
    w.parent, w.recovery_attempts, extract(epoch from w.deadline)::float8 as deadline_s,
    extract(epoch from w.created_at)::float8 as created_s, w.load_bytes
), deleted as materialized (
  select count(d) as messages
  from (
    select array_agg(n.msg_id) as ids
    from named n
    where n.done or n.workflow_id in (select workflow_id from started)
  ) as over
  cross join lateral pgmq.delete(%(queue)s, over.ids) as d
  where over.ids is not null
)
select s.*, rules.waits from deleted cross join rules left join started s on true

-- name: front
-- The message in front. It then belongs to this transaction.
with limited as materialized (
  select set_config('lock_timeout', '300ms', true) as lock_timeout
)
select r.msg_id, r.read_ct
from limited
cross join lateral pgmq.read(%(queue)s, case when limited.lock_timeout is not null then 30 end, 1) as r

-- name: set_aside
select count(*) as messages from pgmq.set_vt(%(queue)s, %(message)s::bigint, %(pause)s::integer)

-- name: note_aside
-- For `outlast doctor`. A message that is still refused is noted again within minutes. This is the last statement of its
-- transaction, because all instances need this row.
insert into outlast.messages_aside as a (queue, message_id, read_count, error, remedy)
values (%(queue)s, %(message)s, %(read_count)s, left(%(error)s, 1000), %(remedy)s)
on conflict (queue) do update
set message_id = excluded.message_id, read_count = excluded.read_count, error = excluded.error, remedy = excluded.remedy,
    at = excluded.at
-- guard: last-refused-told-for-all
where a.message_id = excluded.message_id or a.read_count <= excluded.read_count or a.at < now() - interval '10 minutes'
returning a.message_id
