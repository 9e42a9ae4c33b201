-- What stays of a workflow's records where it goes on from an earlier one. Every statement may run twice.

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
  -- The step ids of the records that can't depend on these: they came before the first of them, or their calls were made
  -- before its completion was handed over, and the body did not give them up. Of a wait that isn't over nothing depends.
  -- These themselves go.
  select o.step_id
  from outlast.operation_outputs o
  cross join (
    select min(d.completion_order) as place from outlast.operation_outputs d
    where d.workflow_id = records_kept.workflow_id and d.step_id = any(steps)
  ) as first
  where o.workflow_id = records_kept.workflow_id and o.step_id <> all(steps)
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
  -- The last one whose failure is recorded. A transaction that the body gave up has not failed, nor has what was settled
  -- by hand since the workflow ended.
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
-- The id of a recorded step that is named by its id, or by a name that no other one has.
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

create or replace function outlast.check_undone(verb text, workflow_id text, kept text[])
returns void
language plpgsql
stable
as $$
-- What a saga has undone must not be kept as done. Of a step of a saga there is a note before it, and one once it is undone.
declare
  undone text;
begin
  select u.output ->> 'step' into undone
  from outlast.operation_outputs u
  where u.workflow_id = check_undone.workflow_id and u.kind = 'undo' and u.name = 'undone' and u.step_id <> all(kept)
    -- guard: undone-kept-as-done = and false and (
    and (
      select count(*) filter (where n.name <> 'undone') > count(*) filter (where n.name = 'undone')
      from outlast.operation_outputs n
      where n.workflow_id = u.workflow_id and n.kind = 'undo' and n.step_id = any(kept)
        and (n.name = 'undo ' || (u.output ->> 'step') or (n.name = 'undone' and n.output ->> 'step' = u.output ->> 'step')))
  order by u.completion_order desc limit 1;
  if undone is not null then
    raise exception 'outlast.%: its saga has undone %', verb, undone
      using errcode = '55000', hint = 'begin before that step, or fork it from start';
  end if;
end
$$;

select outlast.take_rights(
  '20261129055000',
  functions => array['records_kept', 'failed_step', 'step_named', 'check_undone']);

insert into outlast.schema_migrations (version) values ('20261129055000') on conflict do nothing;
