-- For a page of runs to filter and group by: similar errors, and what workflows wait for. Every statement may
-- run twice.

alter table outlast.operation_outputs add column if not exists instance text;
comment on column outlast.operation_outputs.instance is 'The instance that recorded it; null where that isn''t known.';

create or replace function outlast.error_place(error json)
returns text
language sql
immutable
as $$
  -- The innermost frame of the user's own code in an error's traceback: `demo.py ship`. In a chain of
  -- exceptions the first one counts, which is the cause. Without the line, because that changes with every
  -- edit.
  select r.frame[2] || ' ' || r.frame[3]
  from regexp_matches(
    split_part(left(error_place.error #>> '{failure,traceback}', 20000), E'\n\n', 1),
    'File "((?:[^"]*[/\\])?)([^"/\\]+)", line \d+, in (\S+)', 'g'
  ) with ordinality as r (frame, place)
  where r.frame[1] !~ 'site-packages|/lib/python3'
  order by r.place desc limit 1
$$;

create or replace function outlast.error_group(function text, error json)
returns text
language plpgsql
immutable
as $$
-- What errors of one cause have in common: function, code, class, own frame, and the answered status. Null
-- for a cancel, which is no failure. An index calls it, so it must never raise: otherwise the workflow could
-- not end.
declare
  told json;
begin
  told := outlast.readable(error_group.error);
  return case when told ->> 'code' <> 'workflow_cancelled' then
    left(md5(concat_ws('|', error_group.function, told ->> 'code', told #>> '{failure,type}', told ->> 'status',
      outlast.error_place(told))), 16) end;
exception when others then
  return left(md5(error_group.function), 16);
end
$$;

create index if not exists workflow_status_error_groups on outlast.workflow_status (outlast.error_group(function, error), completed_at)
  where status in ('ERROR', 'CANCELLED', 'EXHAUSTED');

create or replace function outlast.waits_on(w outlast.workflow_status)
returns text
language sql
stable
as $$
  -- The state that outlast.waiting_for describes, as one word for lists to filter by.
  select case
    when w.held ->> 'reason' = 'paused' then 'paused'
    when w.held is not null then 'held'
    when w.owner is not null or w.claimable_at is null then null
    when w.claimable_at <= now() then case when w.queue is null then 'instance' else 'queue' end
    when w.awaits -> 'ends' is not null then 'workflow'
    when w.awaits -> 'limits' is not null then 'limit'
    when w.awaits is not null then 'message'
    when w.status = 'ENQUEUED' then 'time'
    when w.recovery_attempts > 0 then 'recovery'
    else 'sleep'
  end
$$;

create or replace function outlast.error_groups(
  since timestamptz, until timestamptz, function text, after_last_at timestamptz, after_error_group text, most bigint
)
returns table (
  error_group text, function text, code text, type text, place text, message text, count bigint, first_at timestamptz,
  last_at timestamptz, workflow_id text
)
language sql
stable
rows 50
as $$
  -- Goes from one group to the next by the index, and counts up to a thousand of each: a million failures of
  -- ten kinds take ten looks. At most a thousand groups.
  with recursive groups as (
    (select outlast.error_group(w.function, w.error) as name, 1 as place
      from outlast.workflow_status w
      where w.status in ('ERROR', 'CANCELLED', 'EXHAUSTED') and outlast.error_group(w.function, w.error) > ''
      order by outlast.error_group(w.function, w.error) limit 1)
    union all
    select n.name, g.place + 1
    from groups g
    cross join lateral (
      select outlast.error_group(w.function, w.error) as name
      from outlast.workflow_status w
      where w.status in ('ERROR', 'CANCELLED', 'EXHAUSTED') and outlast.error_group(w.function, w.error) > g.name
      order by outlast.error_group(w.function, w.error) limit 1
    ) as n
    where g.place < 1000
  ), newest as (
    select g.name, n.*
    from groups g
    cross join lateral (
      select w.workflow_id, w.function, outlast.readable(w.error) as told, w.completed_at as last_at
      from outlast.workflow_status w
      where w.status in ('ERROR', 'CANCELLED', 'EXHAUSTED') and outlast.error_group(w.function, w.error) = g.name
        and w.completed_at >= coalesce(error_groups.since, '-infinity')
        and w.completed_at < coalesce(error_groups.until, 'infinity')
      order by w.completed_at desc limit 1
    ) as n
    where (error_groups.function is null or n.function = error_groups.function)
      and (error_groups.after_last_at is null
        or (n.last_at, g.name) < (error_groups.after_last_at, error_groups.after_error_group))
    order by n.last_at desc, g.name desc
    limit error_groups.most
  )
  select n.name, n.function, n.told ->> 'code', n.told #>> '{failure,type}', outlast.error_place(n.told),
    left((outlast.error_told(n.told, true)).message, 300), c.count, f.first_at, n.last_at, n.workflow_id
  from newest n
  cross join lateral (
    select count(*) from (
      select from outlast.workflow_status w
      where w.status in ('ERROR', 'CANCELLED', 'EXHAUSTED') and outlast.error_group(w.function, w.error) = n.name
        and w.completed_at >= coalesce(error_groups.since, '-infinity')
        and w.completed_at < coalesce(error_groups.until, 'infinity')
      limit 1000
    ) as s
  ) as c
  cross join lateral (
    select w.completed_at as first_at from outlast.workflow_status w
    where w.status in ('ERROR', 'CANCELLED', 'EXHAUSTED') and outlast.error_group(w.function, w.error) = n.name
      and w.completed_at >= coalesce(error_groups.since, '-infinity')
    order by w.completed_at limit 1
  ) as f
  order by n.last_at desc, n.name desc
$$;

select outlast.take_rights(
  '20261129101000',
  functions => array['error_place', 'error_group', 'waits_on', 'error_groups']);

insert into outlast.schema_migrations (version) values ('20261129101000') on conflict do nothing;
