-- Which answers `patched` has given to what is open. Every statement may run twice.

create index if not exists operation_outputs_patches on outlast.operation_outputs (name, workflow_id) where kind = 'patch';

create or replace function outlast.count_patches(most integer, rollout interval)
returns table (
  name text, functions json, took_new bigint, took_old bigint, not_asked bigint, failed_old bigint, complete boolean,
  asked_at timestamptz
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- By change how many open workflows went the new way, how many the old one, and how many began before it was asked
  -- first (or within a `rollout` of that) and haven't come to it: they may have passed it. At most `most` answers and `most`
  -- workflows of each change are looked at; `complete` says whether that was all.
  with answers as materialized (
    select o.name, o.workflow_id, o.output::text = 'true' as new, o.completed_at
    from outlast.operation_outputs o where o.kind = 'patch' limit most + 1
  ), looked as (
    select count(*) <= most as whole from answers
  ), by_function as (
    select a.name, w.function, min(a.completed_at) as first_at,
      count(*) filter (where a.new and w.status in ('ENQUEUED', 'PENDING')) as took_new,
      count(*) filter (where not a.new and w.status in ('ENQUEUED', 'PENDING')) as took_old,
      count(*) filter (where not a.new and w.status in ('ERROR', 'CANCELLED', 'EXHAUSTED')) as failed_old
    from answers a join outlast.workflow_status w on w.workflow_id = a.workflow_id
    group by a.name, w.function
  ), counted as (
    select b.name, min(b.first_at) as first_at, array_agg(b.function order by b.function) as functions,
      sum(b.took_new)::bigint as took_new, sum(b.took_old)::bigint as took_old, sum(b.failed_old)::bigint as failed_old
    from by_function b group by b.name
  )
  select substr(c.name, 7), to_json(c.functions), c.took_new, c.took_old, n.not_asked, c.failed_old,
    l.whole and n.seen <= most, c.first_at
  from counted c
  cross join looked l
  cross join lateral (
    select count(*) as seen,
      -- guard: not-asked-is-new = count(*) filter (where false) as not_asked
      count(*) filter (where e.status in ('ENQUEUED', 'PENDING') and o.workflow_id is null) as not_asked
    from (
      select w.workflow_id, w.status from outlast.workflow_status w
      where w.function = any(c.functions) and w.created_at < c.first_at + rollout
      order by w.created_at desc limit most + 1
    ) as e
    left join outlast.operation_outputs o on e.status in ('ENQUEUED', 'PENDING')
      and o.workflow_id = e.workflow_id and o.step_id = 'patch:' || substr(c.name, 7)
  ) as n
$$;

do $$
declare
  role_name text;
  applied boolean := exists (select from outlast.schema_migrations where version = '20261129110000');
begin
  revoke all on function outlast.count_patches(integer, interval) from public;
  foreach role_name in array array['anon', 'authenticated', 'service_role'] loop
    -- Once only: what the project grants later is its own affair.
    if not applied and exists (select from pg_roles where rolname = role_name) then
      execute format('revoke all on function outlast.count_patches(integer, interval) from %I', role_name);
    end if;
  end loop;
end
$$;

insert into outlast.schema_migrations (version) values ('20261129110000') on conflict do nothing;
