-- Supabase Queues: messages become workflows. Only pgmq's functions touch its tables, so that any version works.

-- name: consume
-- One statement, one commit: either the workflow's row is durable and its message is deleted, or neither happens.
with limited as materialized (
  -- For this transaction: a lock on one queue's table must not hold up other queues, or a connection for long.
  select set_config('lock_timeout', '300ms', true) as lock_timeout
), read as materialized (
  -- Messages may be large, so each is made a text only once. Before pgmq 1.5 a message has no headers: then the name
  -- `headers` is that of `older`.
  select
    'pgmq:' || %(queue)s::text as queue, r.msg_id, r.enqueued_at, r.read_ct, r.message::text as document,
    (select headers from (select r.*) as own) as headers
  -- Hidden for longer than any commit takes. What isn't deleted below comes again.
  from limited
  cross join (select null::jsonb as headers) as older
  cross join lateral pgmq.read(
    %(queue)s, 30, case
      when limited.lock_timeout is null then 0
      when %(waits)s then least(%(room)s::integer, %(waiting_max)s - (
        select count(*)::integer from (
          select from outlast.workflow_status w
          where w.queue = 'pgmq:' || %(queue)s and w.owner is null and w.claimable_at is not null
          limit %(waiting_max)s
        ) as waiting))
      else %(room)s::integer end) as r
), numbered as (
  -- A queue that was dropped and created again counts from 1 again: the first id may be of another message, the
  -- second can't be.
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
        -- guard: another-message-taken-for-it
        and case when w.queue = m.queue then (w.attributes ->> 'enqueued_at')::timestamptz = m.enqueued_at end
    ) as done
  from numbered m
), new as (
  select
    n.workflow_id, %(function)s as function, document as input, null as request, null as idempotency_key,
    null as fingerprint, null as subject,
    '{"role":"service_role","outlast":{"mode":"queue","key":null}}' as claims, n.queue,
    -- With limits it waits for its turn. Messages without a key have turns together.
    case when %(key)s::text is not null then coalesce(left(outlast.key_of(document, %(key)s), 255), '') else '' end
      as queue_key,
    0 as priority, 0 as delay, null as tick,
    jsonb_strip_nulls(jsonb_build_object(
      'msg_id', n.msg_id, 'enqueued_at', n.enqueued_at, 'read_ct', n.read_ct, 'headers', n.headers)) as attributes,
    %(version)s as version, null as parent, now() + make_interval(secs => %(timeout)s) as deadline,
    null::bigint as nonce, case when not %(waits)s then %(instance)s end as owner, now() as at,
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
select s.* from deleted left join started s on true
