-- What `outlast doctor` reads: a document for each group, small whatever the tables hold.

-- name: server
select json_build_object(
  'version_num', current_setting('server_version_num')::integer,
  'now_s', extract(epoch from clock_timestamp())::float8,
  'read_only', current_setting('transaction_read_only') = 'on',
  'user', current_user,
  'database', current_database(),
  'autovacuum', current_setting('autovacuum') = 'on',
  'max_connections', current_setting('max_connections')::integer,
  'connections', (select count(*) from pg_stat_activity where backend_type = 'client backend'),
  'age', (select age(d.datfrozenxid) from pg_database d where d.datname = current_database()),
  'sessions', (
    select coalesce(json_agg(json_build_object(
      'pid', a.pid, 'user', a.usename, 'application', a.application_name, 'state', a.state,
      'age_s', extract(epoch from clock_timestamp() - a.xact_start)::float8) order by a.xact_start), '[]')
    from (
      select * from pg_stat_activity a
      where a.datname = current_database() and a.xact_start is not null and a.pid <> pg_backend_pid()
        and a.backend_type = 'client backend'
      order by a.xact_start limit 20
    ) a),
  'blocked', (
    select coalesce(json_agg(json_build_object('pid', a.pid, 'by', to_json(pg_blocking_pids(a.pid)),
      'age_s', extract(epoch from clock_timestamp() - a.query_start)::float8)), '[]')
    from pg_stat_activity a
    where a.datname = current_database() and a.wait_event_type = 'Lock'
      and exists (
        select from pg_locks l join pg_class c on c.oid = l.relation
        where l.pid = a.pid and c.relnamespace = to_regnamespace('outlast'))),
  'hidden', exists (
    select from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.rolname = current_user
    where n.nspname = 'outlast' and c.relname = 'schema_migrations' and c.relrowsecurity
      and not (r.rolsuper or r.rolbypassrls or pg_has_role(current_user, c.relowner, 'usage')))
) as found

-- name: tables
select json_build_object(
  'tables', (
    select coalesce(json_agg(json_build_object(
      'name', c.relname,
      'rows', s.n_live_tup, 'dead', s.n_dead_tup,
      'protected', c.relrowsecurity,
      'owner', pg_has_role(current_user, c.relowner, 'usage'),
      'autovacuum', coalesce((
        select o.option_value::boolean from pg_options_to_table(c.reloptions) o where o.option_name = 'autovacuum_enabled'), true),
      'lacking', (
        select coalesce(json_agg(p.name), '[]') from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as p (name)
        where not has_table_privilege(c.oid, p.name)),
      'open_to', (
        select coalesce(json_agg(r.rolname order by r.rolname), '[]') from pg_roles r
        where r.rolname in ('anon', 'authenticated')
          and has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE'))
    ) order by c.relname), '[]')
    from pg_class c left join pg_stat_user_tables s on s.relid = c.oid
    where c.relnamespace = 'outlast'::regnamespace and c.relkind = 'r'),
  'indexes', (
    select coalesce(json_object_agg(c.relname, i.indisvalid), '{}')
    from pg_class c join pg_index i on i.indexrelid = c.oid
    where c.relnamespace = 'outlast'::regnamespace and c.relkind = 'i')
) as found

-- name: work
with living as (
  select i.* from outlast.instances i where i.lease_until > clock_timestamp()
), due as (
  select w.workflow_id, w.function, w.recovery_attempts, w.queue,
    extract(epoch from clock_timestamp() - w.claimable_at)::float8 as late_s
  from outlast.workflow_status w
  where w.owner is null and w.claimable_at <= clock_timestamp() and w.held is null
  order by w.claimable_at
  limit 1000
), owned as (
  select w.workflow_id, w.owner, extract(epoch from clock_timestamp() - i.lease_until)::float8 as over_s
  from outlast.workflow_status w left join outlast.instances i on i.instance_id = w.owner
  where w.owner is not null and (i.instance_id is null or i.lease_until < clock_timestamp())
  limit 1000
)
select json_build_object(
  'instances', (select coalesce(json_agg(json_build_object(
    'id', l.instance_id, 'version', l.version, 'functions', to_json(l.functions))), '[]') from living l),
  'due', (select coalesce(json_agg(to_json(d)), '[]') from due d),
  'orphans', (select coalesce(json_agg(to_json(o)), '[]') from owned o),
  'held', (
    select coalesce(json_agg(json_build_object(
      'reason', h.reason, 'function', h.function, 'count', h.count, 'example', h.example, 'age_s', h.age_s)), '[]')
    from (
      select w.held ->> 'reason' as reason, w.function, count(*), min(w.workflow_id) as example,
        extract(epoch from clock_timestamp() - min((w.held ->> 'since')::timestamptz))::float8 as age_s
      from outlast.workflow_status w where w.held is not null
      group by 1, 2 order by 3 desc limit 20
    ) h),
  'exhausted', (
    select coalesce(json_agg(json_build_object('function', e.function, 'count', e.count, 'example', e.example)), '[]')
    from (
      select w.function, count(*), min(w.workflow_id) as example from outlast.workflow_status w
      where w.status in ('ERROR', 'CANCELLED', 'EXHAUSTED') and w.completed_at > now() - interval '1 day'
        and w.error ->> 'code' = 'recovery_exhausted'
      group by 1 order by 2 desc limit 20
    ) e),
  'suspects', (
    select coalesce(json_agg(json_build_object('id', s.workflow_id, 'attempts', s.recovery_attempts)), '[]')
    from (
      select w.workflow_id, w.recovery_attempts from outlast.workflow_status w
      where w.recovery_attempts >= 3 and (w.owner is not null or w.claimable_at is not null)
      order by w.recovery_attempts desc limit 20
    ) s),
  'undelivered_s', (
    select extract(epoch from clock_timestamp() - min(m.created_at))::float8 from outlast.messages m where m.number is null),
  'oldest_ended_s', (
    select extract(epoch from clock_timestamp() - min(w.completed_at))::float8 from outlast.workflow_status w
    where w.completed_at is not null)
) as found

-- name: plans
select json_build_object(
  'paused', (
    select coalesce(json_agg(json_build_object('queue', p.name, 'key', p.key, 'by', p.paused_by, 'why', p.paused_why)), '[]')
    from (
      select q.name, null::text as key, q.paused_by, q.paused_why from outlast.queues q where q.paused_at is not null
      union all
      select k.queue, k.key, k.paused_by, k.paused_why from outlast.queue_keys k where k.paused_at is not null
      limit 20
    ) p),
  'set', (
    select coalesce(json_agg(json_build_object('queue', s.name, 'by', s.override_by, 'base', s.base, 'set', s.override)), '[]')
    from (
      select q.name, q.override_by, q.base, q.override from outlast.queues q
      where json_typeof(q.override) = 'object' and json_typeof(q.base) = 'object'
      order by q.name limit 1000
    ) s),
  'unserved', (
    select coalesce(json_agg(distinct w.queue), '[]') from (
      select w.queue from outlast.workflow_status w
      where w.queue is not null and w.owner is null and w.claimable_at is not null and w.held is null
        and not exists (select from outlast.queues q where q.name = w.queue)
      limit 100
    ) w),
  'schedules', (
    select coalesce(json_agg(json_build_object(
      'name', s.name, 'owner', s.owner, 'fault', s.fault, 'paused', s.paused_at is not null,
      'orphaned', s.orphaned_at is not null, 'ended', s.ended_at is not null,
      'late_s', extract(epoch from clock_timestamp() - s.next_at)::float8) order by s.name), '[]')
    from (
      select * from outlast.schedules s
      where s.fault is not null or s.paused_at is not null or s.orphaned_at is not null
        or s.next_at < clock_timestamp() - interval '10 s'
      order by s.name limit 100
    ) s),
  'aside', (
    select coalesce(json_agg(json_build_object(
      'queue', a.queue, 'message_id', a.message_id, 'error', a.error, 'remedy', a.remedy,
      'recent', a.at > clock_timestamp() - interval '10 minutes') order by a.queue), '[]')
    from (select * from outlast.messages_aside a order by a.at desc limit 20) a)
) as found

-- name: aside
-- A Supabase Queue's messages that were read and are hidden, or were until a moment ago. Also whether the noted message is
-- still there, and another one to name.
with hidden as (
  select q.msg_id
  from (
    select q.msg_id, q.read_ct from {table} q where q.vt > clock_timestamp() - interval '10 s' limit 10000
  ) q
  where q.read_ct > 0
)
select json_build_object(
  'count', (select count(*) from hidden),
  'there', exists (select from {table} q where q.msg_id = %(message_id)s and q.read_ct > 0),
  'any', (select min(h.msg_id) from hidden h)
) as found
