-- Which answers `patched` has given to open workflows. Every statement may run twice.

create index if not exists operation_outputs_patches on outlast.operation_outputs (name, (output::text), completed_at)
  where kind = 'patch';

create or replace function outlast.count_patches(newest integer, most integer, rollout interval)
returns table (
  name text, functions json, took_new bigint, took_old bigint, not_asked bigint, failed_old bigint, complete boolean,
  asked_at timestamptz
)
language sql
stable
as $$
  -- By change: how many of the `newest` open workflows that asked went the new way, and how many the old one.
  -- Also how many began before it was first asked (or within a `rollout` of that) and haven't asked: they may
  -- have passed it. Failed ones of either sort are counted together. At most `most` of those that may have
  -- gone the old way are looked at; `complete` says whether these were all.
  with recursive names as (
    (select o.name from outlast.operation_outputs o where o.kind = 'patch' order by o.name limit 1)
    union all
    select (select o.name from outlast.operation_outputs o where o.kind = 'patch' and o.name > n.name order by o.name limit 1)
    from names n where n.name is not null
  )
  select substr(c.name, 7), to_json(f.functions), a.took_new, b.took_old, n.not_asked, b.failed_old + n.failed_not_asked,
    b.seen <= most and n.seen <= most, first.at
  from names c
  cross join lateral (
    select min(e.at) as at from (values ('true'), ('false')) as v (answer) cross join lateral (
      select min(o.completed_at) as at from outlast.operation_outputs o
      where o.kind = 'patch' and o.name = c.name and o.output::text = v.answer
    ) as e
  ) as first
  cross join lateral (
    select count(*) filter (where e.new and w.status in ('ENQUEUED', 'PENDING')) as took_new, array_agg(distinct w.function) as functions
    from (
      select n.workflow_id, v.answer = 'true' as new from (values ('true'), ('false')) as v (answer) cross join lateral (
        select o.workflow_id, o.completed_at from outlast.operation_outputs o
        where o.kind = 'patch' and o.name = c.name and o.output::text = v.answer order by o.completed_at desc limit newest
      ) as n order by n.completed_at desc limit newest
    ) as e join outlast.workflow_status w on w.workflow_id = e.workflow_id
  ) as a
  cross join lateral (
    select count(*) as seen, count(*) filter (where w.status in ('ENQUEUED', 'PENDING')) as took_old,
      count(*) filter (where w.status in ('ERROR', 'CANCELLED', 'EXHAUSTED')) as failed_old, array_agg(distinct w.function) as functions
    from (
      select o.workflow_id from outlast.operation_outputs o
      where o.kind = 'patch' and o.output::text = 'false' and o.name = c.name limit most + 1
    ) as e join outlast.workflow_status w on w.workflow_id = e.workflow_id
  ) as b
  cross join lateral (
    select array(select distinct unnest(a.functions || b.functions) order by 1) as functions
  ) as f
  cross join lateral (
    select count(*) as seen,
      -- guard: not-asked-is-new = count(*) filter (where false) as not_asked,
      count(*) filter (where e.status in ('ENQUEUED', 'PENDING') and o.workflow_id is null) as not_asked,
      -- guard: failed-ones-never-asked = count(*) filter (where false) as failed_not_asked
      count(*) filter (where e.status in ('ERROR', 'CANCELLED', 'EXHAUSTED') and o.workflow_id is null) as failed_not_asked
    from (
      (
        select w.workflow_id, w.status from outlast.workflow_status w
        where w.function = any(f.functions) and w.created_at < first.at + rollout limit most + 1
      ) union all (
        -- A fork with records is as old as they are.
        -- guard: forks-are-new-to-changes = select w.workflow_id, w.status from outlast.workflow_status w where false and (true
        select w.workflow_id, w.status from outlast.workflow_status w where (w.forked_from is not null
          and w.function = any(f.functions) and w.created_at >= first.at + rollout
          and (w.born ->> 'at_s')::float8 < extract(epoch from first.at + rollout)) limit most + 1
      )
    ) as e
    left join outlast.operation_outputs o on (e.status in ('ENQUEUED', 'PENDING') or e.status in ('ERROR', 'CANCELLED', 'EXHAUSTED'))
      and o.workflow_id = e.workflow_id and o.step_id = 'patch:' || substr(c.name, 7)
  ) as n
  where c.name is not null and cardinality(f.functions) > 0
$$;

select outlast.take_rights('20261129110000', functions => array['count_patches']);

insert into outlast.schema_migrations (version) values ('20261129110000') on conflict do nothing;
