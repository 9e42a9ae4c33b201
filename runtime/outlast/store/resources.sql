-- Resources other than workflows: a query for each, with the name that core/resources/ declares.

-- name: queues
-- Counts stop at a thousand, and read only indexes. A fault stays in the row until the queue decides again. It is shown while
-- there is something to decide.
select
  q.name, q.functions, q.base::text, q.override::text, outlast.queue_options(q.base, q.override)::text as limits,
  q.override_by, q.override_at, q.override_why, q.paused_at, q.paused_by, q.paused_why, k.paused_keys, f.fault, f.fault_at, c.*
from outlast.queues q
left join lateral (select q.fault, q.fault_at) as f on f.fault is not null and outlast.queue_busy(q, now())
cross join lateral (
  select coalesce(json_agg(json_build_object(
    'key', p.key, 'paused_at', p.paused_at, 'paused_by', p.paused_by, 'paused_why', p.paused_why)), '[]')::text as paused_keys
  from (
    select k.key, k.paused_at, k.paused_by, k.paused_why from outlast.queue_keys k
    where k.queue = q.name and k.paused_at is not null
    order by k.key limit 100
  ) as p
) as k
cross join lateral (
  select
    case when q.name like 'step:%%'
      then (select count(*) from (
        select from outlast.limit_uses u where u.name = substr(q.name, 6) and outlast.holds_limit(u) limit 1000
      ) as s)
      else outlast.running_in(q.name, 1000) end as running,
    (select count(*) from (
      select from outlast.workflow_status w
      where w.queue = q.name and w.owner is null and w.claimable_at <= now() and w.held is null limit 1000
    ) as s) as ready,
    case when q.name like 'step:%%'
      then (select count(*) from (
        select from outlast.limit_waits x
        join outlast.workflow_status w on w.workflow_id = x.workflow_id and w.status in ('ENQUEUED', 'PENDING')
        where x.name = substr(q.name, 6) limit 1000
      ) as s)
      else (select count(*) from (
        select from outlast.workflow_status w
        where w.queue = q.name and w.owner is null and w.claimable_at is not null limit 1000
      ) as s) end as waiting,
    (select w.claimable_at from outlast.workflow_status w
      where w.queue = q.name and w.owner is null and w.claimable_at <= now() and w.held is null
      order by w.claimable_at limit 1) as ready_since
) as c
where (%(name)s::text is null or q.name = %(name)s)
  and (%(paused)s::boolean is null or %(paused)s = (q.paused_at is not null))
  and (%(after_name)s::text is null or q.name > %(after_name)s)
order by q.name
limit %(limit)s

-- name: schedules
select s.*
from (
  select
    t.name, t.function,
    case
      when t.fault is not null then 'unusable' when t.orphaned_at is not null then 'orphaned'
      when t.paused_at is not null then 'paused' when t.ended_at is not null then 'ended' else 'active'
    end as state,
    case when num_nonnulls(t.fault, t.orphaned_at, t.paused_at, t.ended_at) = 0 then t.next_at end as next_at,
    case when num_nonnulls(t.fault, t.orphaned_at, t.paused_at, t.ended_at) > 0 then '[]' else to_json(array(
      select to_char(u at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') from unnest(t.upcoming) as u))::text
    end as upcoming,
    t.last_at, t.cron, t.tz, t.every_s, t.at, t.input::text, t.catchup, t.overlap, t.until, t.times, t.jitter_s,
    t.pause_after, t.waiting_at, t.started, t.skipped, t.missed, t.owner, t.version, t.paused_at, t.paused_by,
    t.paused_why, t.orphaned_at, t.ended_at, t.fault, t.backfill_after, t.backfill_until, t.created_at, t.created_by
  from outlast.schedules t
) s
where (%(name)s::text is null or s.name = %(name)s)
  and (%(function)s::text is null or s.function = %(function)s)
  and (%(state)s::text is null or s.state = %(state)s)
  and (%(after_name)s::text is null or s.name > %(after_name)s)
order by s.name
limit %(limit)s

-- name: acts
select a.act_id as number, a.at, a.verb, a.noun, a.name, a.by, a.why, a.before::text
from outlast.acts a
where (%(workflow)s::text is null or (a.noun = 'workflow' and a.name = %(workflow)s))
  and (%(queue)s::text is null or (a.noun = 'queue' and a.name = %(queue)s))
  and (%(schedule)s::text is null or (a.noun = 'schedule' and a.name = %(schedule)s))
  and (%(verb)s::text is null or a.verb = %(verb)s)
  and (%(since)s::timestamptz is null or a.at >= %(since)s)
  and (%(until)s::timestamptz is null or a.at < %(until)s)
  and (%(after_number)s::bigint is null or a.act_id < %(after_number)s)
order by a.act_id desc
limit %(limit)s

-- name: ticks
select t.tick_id as number, t.nominal_at, t.outcome, t.reason, t.count, t.workflow_id, t.at
from outlast.ticks t
where t.schedule = %(name)s
  and (%(outcome)s::text is null or t.outcome = %(outcome)s)
  and (%(after_number)s::bigint is null or t.tick_id > %(after_number)s)
order by t.tick_id
limit %(limit)s

-- name: bulks
select
  b.bulk_id, b.verb, w.status, b.total, b.fixed, b.done, b.refused, b.failed, b.rate, b.expect, b.filter::text,
  b.arguments::text, b.by, b.why, w.created_at, w.completed_at
from outlast.bulks b
join outlast.workflow_status w on w.workflow_id = b.bulk_id
where (%(bulk_id)s::text is null or b.bulk_id = %(bulk_id)s)
  and (%(verb)s::text is null or b.verb = %(verb)s)
  and (%(status)s::text[] is null or w.status = any(%(status)s::text[]))
  and (%(after_bulk_id)s::text is null or b.bulk_id < %(after_bulk_id)s)
order by b.bulk_id desc
limit %(limit)s

-- name: items
select i.place, i.workflow_id, i.outcome, i.reason, i.answer::text, i.at
from outlast.bulk_items i
where i.bulk_id = %(bulk_id)s
  and (%(outcome)s::text is null or i.outcome = %(outcome)s)
  and (%(after_place)s::int is null or i.place > %(after_place)s)
order by i.place
limit %(limit)s

-- name: messages
select m.message_id, m.topic, m.number, m.message::text, m.idempotency_key, m.created_at as sent_at
from outlast.messages m
where m.workflow_id = %(workflow_id)s
  and (%(topic)s::text is null or m.topic = %(topic)s)
  and (%(after_message_id)s::bigint is null or m.message_id > %(after_message_id)s)
order by m.message_id
limit %(limit)s

-- name: errors
select e.error_group, e.function, e.code, e.type, e.place, e.message, e.count, e.first_at, e.last_at, e.workflow_id
from outlast.error_groups(
  %(since)s, %(until)s, %(function)s, %(after_last_at)s, %(after_error_group)s, %(limit)s) as e

-- name: patches
-- For each change the newest 100,000 answers, and up to a million workflows that may have taken the old branch.
select p.*
from (
  select c.name, c.functions, c.took_new, c.took_old, c.not_asked, c.failed_old, c.asked_at,
    c.complete and c.took_old = 0 and c.not_asked = 0 as safe,
    case
      when c.took_old > 0 then c.took_old || ' open ones took the old branch: wait until they have ended'
      when c.not_asked > 0 then c.not_asked || ' open ones are older than it, and may take the old branch: wait until they have ended'
      when not c.complete then 'there are too many to be looked at: see that none of its functions is open from before it'
      when c.failed_old > 0 then 'safe to delete; ' || c.failed_old || ' failed ones took the old branch, or may: retry them before, or not at all'
      else 'safe to delete'
    end as advice
  from outlast.count_patches(100000, 1000000, interval '1 hour') as c
) as p
where (%(safe)s::boolean is null or p.safe = %(safe)s)
  and (%(after_name)s::text is null or p.name > %(after_name)s)
order by p.name
limit %(limit)s

-- name: catalog
-- Functions that an instance serves, and those that have workflows: for each it reads one row, and then finds the next name.
-- Open workflows are counted over partial indexes, for all functions at once, and up to a limit.
with recursive named as (
  (select w.function from outlast.workflow_status w order by w.function limit 1)
  union all
  select (select w.function from outlast.workflow_status w where w.function > n.function order by w.function limit 1)
  from named n where n.function is not null
), serving as (
  select v.key as function, jsonb_agg(distinct v.value) as versions
  from outlast.instances i, jsonb_each(i.versions) as v
  where i.lease_until > now()
  group by v.key
), page as (
  select f.function, s.versions from (
    select n.function from named n where n.function is not null union select s.function from serving s
  ) f left join serving s on s.function = f.function
  where (%(function)s::text is null or f.function = %(function)s)
    and (%(served)s::boolean is null or %(served)s = (s.function is not null))
    and (%(after_function)s::text is null or f.function > %(after_function)s)
  order by f.function
  limit %(limit)s
), running as (
  select r.function, count(*) as n from (
    select w.function from outlast.workflow_status w where w.owner is not null limit 5000) as r
  group by 1
), waiting as (
  select d.function, count(*) as n from (
    (select w.function from outlast.workflow_status w
      where w.owner is null and w.claimable_at is not null and w.queue is null and w.held is null limit 5000)
    union all
    (select w.function from outlast.workflow_status w
      where w.owner is null and w.claimable_at is not null and w.queue is not null limit 5000)
    union all
        -- Members of a batch that has begun wait for it.
    select m.function from outlast.open_members(5000) as m (function)
  ) as d
  group by 1
), holds as (
  select h.function, count(*) as n from (
    select w.function from outlast.workflow_status w where w.held is not null limit 5000) as h
  group by 1
)
select
  p.function, p.versions is not null as served, coalesce(p.versions, '[]') as versions, coalesce(r.n, 0) as running,
  coalesce(w.n, 0) as waiting, coalesce(h.n, 0) as held, s.started_hour, e.ended, e.failed, e.p50_s, e.p95_s, e.last_at
from page p
left join running r on r.function = p.function
left join waiting w on w.function = p.function
left join holds h on h.function = p.function
cross join lateral (
  select count(*) as started_hour from (
    select from outlast.workflow_status w
    where w.function = p.function and w.created_at > now() - interval '1 hour' limit 1000) as x
) as s
cross join lateral (
  select
    count(n.completed_at) as ended, count(*) filter (where n.status in ('ERROR', 'CANCELLED', 'EXHAUSTED')) as failed,
    percentile_cont(0.5) within group (order by n.took_s) as p50_s,
    percentile_cont(0.95) within group (order by n.took_s) as p95_s,
    max(n.created_at) as last_at
  from (
    select w.status, w.created_at, w.completed_at, extract(epoch from w.completed_at - w.started_at)::float8 as took_s
    from outlast.workflow_status w where w.function = p.function
    order by w.created_at desc, w.workflow_id desc limit 200
  ) as n
) as e
order by p.function

-- name: instances
select
  i.instance_id, i.host, i.version, i.started_at, i.versions::text,
  case when i.lease_until > now() then 'alive' when i.lease_until = '-infinity' then 'left' else 'lost' end as state,
  case when i.lease_until > '-infinity' then i.lease_until end as lease_until,
  (select count(*) from (
    select from outlast.workflow_status w where w.owner = i.instance_id limit 1000) as o) as workflows,
  coalesce(json_array_length(i.running), 0) as steps
from outlast.instances i
where (%(instance_id)s::text is null or i.instance_id = %(instance_id)s)
  and (%(alive)s::boolean is null or %(alive)s = (i.lease_until > now()))
  and (%(after_instance_id)s::text is null or i.instance_id > %(after_instance_id)s)
order by i.instance_id
limit %(limit)s

-- name: held
select
  g.function, g.reason, g.count, g.since, g.workflow_id, g.held ->> 'step' as step, (g.held -> 'recorded')::text as recorded,
  (g.held -> 'called')::text as called, g.held ->> 'at' as at, g.held ->> 'remedy' as remedy
from (
  select
    h.function, coalesce(h.held ->> 'reason', 'unknown') as reason, count(*) as count,
    min((h.held ->> 'since')::timestamptz) as since,
    (array_agg(h.workflow_id order by h.held ->> 'since', h.workflow_id))[1] as workflow_id,
    (array_agg(h.held order by h.held ->> 'since', h.workflow_id))[1] as held
  from (
    select w.workflow_id, w.function, w.held from outlast.workflow_status w
    where w.held is not null and (%(function)s::text is null or w.function = %(function)s)
    limit 5000
  ) h
  group by 1, 2
) g
where (%(reason)s::text is null or g.reason = %(reason)s)
  and (%(after_function)s::text is null or (g.function, g.reason) > (%(after_function)s, %(after_reason)s))
order by g.function, g.reason
limit %(limit)s
