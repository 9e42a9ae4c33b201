-- Supabase Queues: messages become workflows. pgmq's own functions do to its tables what is done to them, so that
-- any version of it will do.

-- name: consume
-- One statement, one commit: the row of a workflow is durable and its message gone, or neither.
with limited as materialized (
  -- Till this commit: whoever has locked a queue's table holds up neither other queues nor a connection for long.
  select set_config('lock_timeout', '300ms', true) as lock_timeout
), read as materialized (
  -- Messages may be large: each is made a text once. Before 1.5 there are no headers; the name is the outer one then.
  select
    r.msg_id, r.enqueued_at, r.read_ct, r.message::text as message, (select headers from (select r.*) as own) as headers
  -- Longer hidden than any commit takes: what isn't deleted below is for later.
  from limited
  cross join (select null::jsonb as headers) as older
  cross join lateral pgmq.read(
    %(queue)s, 30, case when limited.lock_timeout is null then 0 else %(room)s::integer end) as r
), told as (
  select
    r.*, 'pgmq:' || %(queue)s::text || ':' || r.msg_id as plain_id,
    encode(sha256(convert_to(
      extract(epoch from r.enqueued_at)::text || ':' || coalesce(r.message, ''), 'UTF8')), 'hex') as fingerprint
  from read r
), named as (
  -- A queue that was dropped and made again counts from 1 again: an id may be another message's.
  select
    t.*,
    case when w.workflow_id is null or w.fingerprint = t.fingerprint then t.plain_id
      else t.plain_id || ':' || to_char(t.enqueued_at at time zone 'utc', 'YYYYMMDD"T"HH24MISSUS') end as workflow_id
  from told t
  left join outlast.workflow_status w on w.workflow_id = t.plain_id
), known as (
  -- One that a backup of the queue's table brought back: its workflow is there.
  select n.*, exists (
    select from outlast.workflow_status w
    where w.workflow_id = n.workflow_id and w.fingerprint = n.fingerprint
  ) as done
  from named n
), started as (
  insert into outlast.workflow_status as w (
    workflow_id, function, status, input, fingerprint, claims, queue, attributes, owner, epoch, started_at, load_bytes
  )
  select
    n.workflow_id, %(function)s, 'PENDING', n.message::json, n.fingerprint,
    '{"role":"service_role","outlast":{"mode":"queue","key":null}}', 'pgmq:' || %(queue)s::text,
    jsonb_strip_nulls(jsonb_build_object(
      'msg_id', n.msg_id, 'enqueued_at', n.enqueued_at, 'read_ct', n.read_ct, 'headers', n.headers))::json,
    %(instance)s, 1, now(),
    -- As outlast.load_bytes_of, which a role that only consumes may not execute.
    case when octet_length(n.message) = char_length(n.message) then 1 else 4 end * char_length(n.message)::bigint
      + 25 * (char_length(n.message) - char_length(translate(n.message, '[{,:', '')))::bigint
  from known n
  where not n.done
  on conflict (workflow_id) do nothing
  returning
    w.workflow_id, w.function, w.epoch, null::text as input, null::text as request, w.subject, w.claims::text, w.version,
    w.parent, w.recovery_attempts, extract(epoch from w.deadline)::float8 as deadline_s,
    extract(epoch from w.created_at)::float8 as created_s, w.load_bytes
), deleted as materialized (
  select count(d) as messages
  from (
    select array_agg(n.msg_id) as ids
    from known n
    where n.done or n.workflow_id in (select workflow_id from started)
  ) as over
  cross join lateral pgmq.delete(%(queue)s, over.ids) as d
  where over.ids is not null
)
select s.* from deleted left join started s on true
