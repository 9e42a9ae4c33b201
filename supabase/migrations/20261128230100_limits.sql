-- Named limits of steps: how many run at once, how many begin in a time. Every statement may run twice.

create table if not exists outlast.limit_uses (
  name text not null,
  workflow_id text not null,
  epoch bigint not null,
  step_id text not null,
  at timestamptz not null,
  primary key (name, workflow_id, step_id, epoch)
);

comment on table outlast.limit_uses is
  'Which steps have begun under a limit. One holds its place until it is recorded, or its workflow is claimed anew.';

create index if not exists limit_uses_at on outlast.limit_uses (name, at);
create or replace function outlast.take_limit(
  name text, options json, workflow_id text, epoch bigint, step_id text
)
returns float8
language plpgsql
as $$
-- Whether a step may begin now: null; else in how many seconds to ask again. Asked again after a lost answer it is told
-- the same. Limits stand among the queues, as step:NAME, where operators find them.
#variable_conflict use_column
declare
  full_name constant text not null default 'step:' || name;
  q outlast.queues;
  o jsonb;
  t timestamptz;
  n integer;
  per interval;
  held_until timestamptz;
begin
  -- guard: limit-taken-by-two
  perform pg_advisory_xact_lock(hashtextextended('outlast_limit:' || take_limit.name, 0));
  select * into q from outlast.queues where queues.name = full_name;
  if not found or q.base::jsonb <> options::jsonb then
    insert into outlast.queues as u (name, base, declared_at) values (full_name, options, now())
    on conflict (name) do update set base = excluded.base, declared_at = excluded.declared_at
    returning u.* into q;
  end if;
  if q.paused_at is not null then
    return 1;
  end if;
  if exists (
    select from outlast.limit_uses u
    where u.name = take_limit.name and u.workflow_id = take_limit.workflow_id
      and u.step_id = take_limit.step_id and u.epoch = take_limit.epoch
  ) then
    return null;
  end if;
  o := outlast.queue_options(q.base, q.override);
  t := greatest(clock_timestamp(), q.decided_at);
  n := (o #>> '{rate,n}')::integer;
  per := make_interval(secs => coalesce((o #>> '{rate,per}')::float8, 0));
  -- What holds no place any more, and is out of the rate's sight.
  delete from outlast.limit_uses u
  where u.name = take_limit.name and u.at < t - per and not outlast.holds_limit(u);
  if (o ->> 'concurrency')::integer <= (
    -- guard: limit-concurrency-passed = null
    select count(*) from outlast.limit_uses u where u.name = take_limit.name and outlast.holds_limit(u)
  ) then
    return 0.2;
  end if;
  if n is not null then
    if (o #>> '{rate,smooth}')::boolean then
      per := per / n;
      n := 1;
    end if;
    select u.at + per into held_until from outlast.limit_uses u
    where u.name = take_limit.name order by u.at desc offset n - 1 limit 1;
    -- guard: limit-rate-passed = if false then
    if held_until >= t then
      return extract(epoch from held_until - t);
    end if;
  end if;
  insert into outlast.limit_uses (name, workflow_id, epoch, step_id, at)
  values (take_limit.name, take_limit.workflow_id, take_limit.epoch, take_limit.step_id, t);
  update outlast.queues set decided_at = t where queues.name = full_name;
  return null;
end
$$;

create or replace function outlast.holds_limit(use outlast.limit_uses)
returns boolean
language sql
stable
as $$
  select exists (
    select from outlast.workflow_status w
    where w.workflow_id = use.workflow_id and w.epoch = use.epoch and w.owner is not null
  ) and not exists (
    select from outlast.operation_outputs o
    where o.workflow_id = use.workflow_id and o.step_id = use.step_id
  )
$$;

select outlast.take_rights(
  '20261128230100',
  functions => array['take_limit', 'holds_limit'],
  tables => array['limit_uses']);

insert into outlast.schema_migrations (version) values ('20261128230100') on conflict do nothing;
