-- Which records of a workflow stay when it goes on from an earlier one. Every statement may run twice.

alter table outlast.operation_outputs add column if not exists called_after integer;
comment on column outlast.operation_outputs.called_after is
  'The place of the last completion that the body had been handed when it made this call; null where it isn''t known.';

alter table outlast.operation_outputs add column if not exists settled json;
comment on column outlast.operation_outputs.settled is 'Of a result that somebody gave by hand: by, at, why.';

create or replace function outlast.records_kept(workflow_id text, steps text[])
returns setof text
language sql
stable
as $$
  -- The step ids of the records that can't depend on these steps. They came before the first of these. Or
  -- they were called before its completion was handed over, and the body did not give them up. Nothing
  -- depends on a wait that isn't over. The steps themselves don't stay.
  select o.step_id
  from outlast.operation_outputs o
  cross join (
    select min(d.completion_order) as place from outlast.operation_outputs d
    where d.workflow_id = records_kept.workflow_id and d.step_id = any(steps)
  ) as first
  -- `<> all` would search all of these for each record, and a large saga has thousands.
  where o.workflow_id = records_kept.workflow_id and not exists (select from unnest(steps) as s (id) where s.id = o.step_id)
    and (first.place is null
      or o.completion_order < first.place
      -- guard: kept-what-depends = or true)
      or (o.called_after < first.place and o.error ->> 'code' is distinct from 'cancelled'))
$$;

create or replace function outlast.failed_step(workflow_id text)
returns text
language sql
stable
as $$
  -- The last step with a recorded failure. A transaction that the body gave up has not failed. Nor has a step
  -- that was settled by hand since the workflow ended.
  select o.step_id from outlast.operation_outputs o
  join outlast.workflow_status w using (workflow_id)
  where o.workflow_id = failed_step.workflow_id and o.error is not null and o.completion_order is not null
    and o.error ->> 'code' is distinct from 'cancelled' and (o.settled is null or o.completed_at <= w.completed_at)
  order by o.completion_order desc limit 1
$$;

create or replace function outlast.step_named(verb text, argument text, workflow_id text, step text)
returns text
language plpgsql
stable
as $$
-- The id of a recorded step, given by its id, or by a name that no other step has.
declare
  found text[];
begin
  if exists (
    select from outlast.operation_outputs o
    where o.workflow_id = step_named.workflow_id and o.step_id = step
  ) then
    return step;
  end if;
  found := array(
    select o.step_id from outlast.operation_outputs o
    where o.workflow_id = step_named.workflow_id and o.name = step
    order by coalesce(o.completion_order, 2147483647) limit 6);
  if cardinality(found) = 0 then
    perform outlast.refuse_argument(verb, argument, 'names no recorded step of this workflow: see its steps');
  elsif cardinality(found) > 1 then
    perform outlast.refuse_argument(
      verb, argument, 'is the name of several steps: give the id of one, such as ' || array_to_string(found[1:5], ', '));
  end if;
  return found[1];
end
$$;

create or replace function outlast.undos_begun(workflow_id text)
returns table (step_id text, since text)
language sql
stable
as $$
  -- What sagas have undone, or may have: the note before each step whose undo has begun, and the record from
  -- which on its saga undid. Before an undo begins, a record names it as the next one. So this is right
  -- however the workflow ended.
  select distinct o.output ->> 'next', coalesce(o.output ->> 'since', o.step_id)
  from outlast.operation_outputs o
  where o.workflow_id = undos_begun.workflow_id and o.kind = 'undo' and o.output ->> 'next' is not null
$$;

create or replace function outlast.with_undone(workflow_id text, steps text[])
returns text[]
language plpgsql
stable
as $$
-- These steps, and the notes of steps that can't count as done if these are dropped: a saga has undone them,
-- or may have, but the record of that is dropped. Those notes may add more, perhaps of other sagas.
declare
  kept text[];
  more text[];
begin
  loop
    kept := array(select outlast.records_kept(with_undone.workflow_id, steps));
    more := array(
      select distinct u.step_id from outlast.undos_begun(with_undone.workflow_id) u
      where u.since <> all(kept)
        -- guard: undone-stays-done = and false
        and u.step_id = any(kept)
    );
    exit when cardinality(more) = 0;
    steps := steps || more;
  end loop;
  return steps;
end
$$;

create or replace function outlast.check_undone(verb text, workflow_id text, kept text[])
returns void
language plpgsql
stable
as $$
-- Refuses records as done that a saga has undone, or may have.
declare
  undone text;
begin
  select n.output ->> 'step' into undone
  from outlast.undos_begun(check_undone.workflow_id) u
  join outlast.operation_outputs n on n.workflow_id = check_undone.workflow_id and n.step_id = u.step_id
  -- guard: undone-kept-as-done = where false
  where u.since <> all(kept) and u.step_id = any(kept)
  order by n.completion_order limit 1;
  if undone is not null then
    raise exception 'outlast.%: its saga has undone %, or has begun to', verb, undone
      using errcode = '55000', hint = 'begin before that step, or fork it from start';
  end if;
end
$$;

select outlast.take_rights(
  '20261129055000',
  functions => array['records_kept', 'failed_step', 'step_named', 'undos_begun', 'with_undone', 'check_undone']);

insert into outlast.schema_migrations (version) values ('20261129055000') on conflict do nothing;
