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
  ), counted as (
    select a.name, min(a.completed_at) as first_at, array_agg(distinct w.function) as functions,
      count(*) filter (where a.new and w.status in ('ENQUEUED', 'PENDING')) as took_new,
      count(*) filter (where not a.new and w.status in ('ENQUEUED', 'PENDING')) as took_old,
      count(*) filter (where not a.new and w.status in ('ERROR', 'CANCELLED', 'EXHAUSTED')) as failed_old
    from answers a join outlast.workflow_status w on w.workflow_id = a.workflow_id
    group by a.name
  )
  select substr(c.name, 7), to_json(c.functions), c.took_new, c.took_old, n.not_asked, c.failed_old,
    l.whole and n.seen <= most, c.first_at
  from counted c
  cross join looked l
  cross join lateral (
    select count(*) as seen,
      -- guard: not-asked-is-new = count(*) filter (where false) as not_asked
      count(*) filter (where e.status in ('ENQUEUED', 'PENDING') and not e.asked) as not_asked
    from (
      select w.status, exists (
        select from outlast.operation_outputs o where o.workflow_id = w.workflow_id and o.kind = 'patch' and o.name = c.name
      ) as asked
      from outlast.workflow_status w
      where w.function = any(c.functions) and w.created_at < c.first_at + rollout
      order by w.created_at desc limit most + 1
    ) as e
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
