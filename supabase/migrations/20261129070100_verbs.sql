-- What operators do to a workflow: pause, resume, settle a step, cancel, delete. Every statement may run
-- twice. Each function is a verb of core/verbs.py: HTTP and the commands call the same one, and tests compare
-- them with that table.

-- To tell the instance that runs a paused workflow: see stops_of.
create index if not exists workflow_status_paused on outlast.workflow_status ((held ->> 'instance'))
  where held is not null and held ->> 'instance' is not null;

create or replace function outlast.refuse_ended(verb text, w outlast.workflow_status)
returns void
language plpgsql
immutable
as $$
begin
  if w.status not in ('ENQUEUED', 'PENDING') then
    raise exception 'outlast.%: the workflow is %', verb, w.status
      using errcode = '55000',
        hint = case w.status when 'SUCCESS' then 'fork it to run it again' else 'retry it to let it go on, or fork it' end;
  end if;
end
$$;

create or replace function outlast.pause_workflow(
  workflow_id text, why text default null, by text default null, out status text, out held json
)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  verb constant text not null default 'pause_workflow';
  w outlast.workflow_status;
  before json;
begin
  perform outlast.check_text(verb, 'why', why, 1000);
  w := outlast.lock_workflow(verb, pause_workflow.workflow_id);
  before := outlast.workflow_stands(w);
  perform outlast.refuse_ended(verb, w);
  if w.map is not null then
    raise exception 'outlast.%: a map runs nothing itself', verb
      using errcode = '55000', hint = 'pause the queue of its items, which has its id';
  elsif w.batch is not null then
    raise exception 'outlast.%: the workflow runs within its batch', verb
      using errcode = '55000', hint = 'pause ' || w.batch;
  end if;
  if coalesce(w.held ->> 'reason', '') <> 'paused' then
    -- The raised epoch fences off all later writes of the instance that runs it: what isn't recorded is done
    -- again.
    update outlast.workflow_status x
    set held = json_build_object(
          'reason', 'paused', 'since', outlast.utc_text(now()), 'by', outlast.actor(by), 'why', why,
          'instance', w.owner, 'over', w.held, 'running', (
            -- The running steps by the last beat of that instance: they may be settled by their id alone.
            select json_object_agg(r.step_id, r.name)
            from outlast.instances i
            cross join lateral json_to_recordset(i.running) as r (workflow_id text, epoch bigint, step_id text, name text)
            where i.instance_id = w.owner and r.workflow_id = w.workflow_id and r.epoch = w.epoch)),
        -- guard: pause-keeps-owner
        owner = null,
        -- guard: pause-keeps-epoch
        epoch = x.epoch + 1,
        claimable_at = case when w.owner is null then x.claimable_at else now() end,
        updated_at = now()
    where x.workflow_id = w.workflow_id
    returning x.held into w.held;
    perform outlast.note_act('workflow', w.workflow_id, 'pause', by, why, before);
    perform outlast.tell_due();
  end if;
  status := w.status;
  held := w.held;
end
$$;

comment on function outlast.pause_workflow(text, text, text) is
  'Let a workflow do nothing until it is resumed. Messages and timers go on arriving.';

create or replace function outlast.resume_workflow(
  workflow_id text, why text default null, by text default null, out status text, out held json
)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  verb constant text not null default 'resume_workflow';
  w outlast.workflow_status;
begin
  perform outlast.check_text(verb, 'why', why, 1000);
  w := outlast.lock_workflow(verb, resume_workflow.workflow_id);
  perform outlast.refuse_ended(verb, w);
  if w.held is not null then
    update outlast.workflow_status x
    -- What held it before the pause holds it again. Otherwise it is tried again, with any code there is.
    set held = case when w.held ->> 'reason' = 'paused' then nullif(w.held ->> 'over', '')::json end,
        misfits = case when w.held ->> 'reason' = 'paused' then x.misfits end,
        updated_at = now()
    where x.workflow_id = w.workflow_id
    returning x.held into held;
    perform outlast.note_act('workflow', w.workflow_id, 'resume', by, why, outlast.workflow_stands(w));
    perform outlast.tell_due();
  end if;
  status := w.status;
end
$$;

comment on function outlast.resume_workflow(text, text, text) is 'Let a workflow go on that was paused, or is held.';

create or replace function outlast.settle_workflow(
  workflow_id text, step text, output jsonb default null, error text default null, name text default null,
  why text default null, by text default null, out step_id text, out status text
)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  verb constant text not null default 'settle_workflow';
  w outlast.workflow_status;
  o outlast.operation_outputs;
begin
  if step is null then
    perform outlast.refuse_argument(verb, 'step', 'is missing: give a step''s id or name');
  end if;
  perform outlast.check_text(verb, 'step', step, 255);
  perform outlast.check_text(verb, 'error', settle_workflow.error, 10000);
  perform outlast.check_text(verb, 'name', settle_workflow.name, 255);
  perform outlast.check_text(verb, 'why', why, 1000);
  if (settle_workflow.output is null) = (settle_workflow.error is null) then
    perform outlast.refuse_argument(verb, 'output', 'or error must be given, and not both');
  end if;
  w := outlast.lock_workflow(verb, settle_workflow.workflow_id);
  if w.status = 'SUCCESS' then
    raise exception 'outlast.%: the workflow is SUCCESS, which never changes', verb
      using errcode = '55000', hint = 'fork it to run it again';
  -- guard: settled-while-it-runs = elsif false then
  elsif w.status in ('ENQUEUED', 'PENDING') and w.held is null then
    raise exception 'outlast.%: the workflow is %, and may run that step now', verb, w.status
      using errcode = '55000', hint = 'pause it first';
  end if;
  o := outlast.step_to_settle(w.workflow_id, step, coalesce(settle_workflow.name, w.held -> 'running' ->> step));
  step_id := o.step_id;
  insert into outlast.operation_outputs as x (
    workflow_id, step_id, name, output, error, attempts, completion_order, nonce, completed_at, at, settled, called_after
  )
  select w.workflow_id, o.step_id, o.name, settle_workflow.output::json,
    case when settle_workflow.error is not null then json_build_object(
      'type', 'Settled', 'module', 'outlast', 'message', settle_workflow.error, 'args', '[]'::json,
      'attributes', '{}'::json, 'dropped', '[]'::json, 'traceback', '') end,
    0, coalesce(max(r.completion_order), 0) + 1, floor(random() * 9007199254740992)::bigint, now(),
    greatest(max(r.at), now()),
    json_build_object('by', outlast.actor(by), 'at', outlast.utc_text(now()), 'why', why),
    -- A step that ran when its workflow failed had been called before the failure.
    -- guard: settled-depends-on-the-end = null
    outlast.end_came_at(w) - 1
  from outlast.operation_outputs r where r.workflow_id = w.workflow_id
  on conflict (workflow_id, step_id) do update
  set name = excluded.name, output = excluded.output, error = excluded.error, settled = excluded.settled,
      nonce = excluded.nonce, completed_at = excluded.completed_at,
      completion_order = coalesce(x.completion_order, excluded.completion_order), at = coalesce(x.at, excluded.at);
  update outlast.workflow_status x set updated_at = now(), misfits = null where x.workflow_id = w.workflow_id;
  perform outlast.note_act('workflow', w.workflow_id, 'settle', by, why, outlast.workflow_stands(w));
  status := w.status;
end
$$;

comment on function outlast.settle_workflow(text, text, jsonb, text, text, text, text) is
  'Record the result of a step by hand, of a workflow that is paused, held or has failed.';

create or replace function outlast.step_to_settle(workflow_id text, step text, called text)
returns outlast.operation_outputs
language plpgsql
stable
as $$
-- The record to settle, given by its id, or by a name that no other unfinished or failed one has. For a step
-- that isn't recorded only its future name is known.
declare
  verb constant text not null default 'settle_workflow';
  o outlast.operation_outputs;
  found integer;
  ahead_of text;
begin
  select * into o from outlast.operation_outputs x where x.workflow_id = step_to_settle.workflow_id and x.step_id = step;
  if o.step_id is null then
    select count(*) into found from outlast.operation_outputs x
    where x.workflow_id = step_to_settle.workflow_id and x.name = step
      and (x.error is not null or x.completion_order is null or x.settled is not null);
    if found > 1 then
      perform outlast.refuse_argument(verb, 'step', 'is the name of several steps: give the id of one');
    elsif found = 1 then
      select * into o from outlast.operation_outputs x
      where x.workflow_id = step_to_settle.workflow_id and x.name = step
        and (x.error is not null or x.completion_order is null or x.settled is not null);
    elsif step !~ '^[1-9][0-9]*(\.[1-9][0-9]*)*$' then
      perform outlast.refuse_argument(verb, 'step', 'names no step that failed or isn''t over: see its steps');
    elsif called is null then
      perform outlast.refuse_argument(
        verb, 'name', 'is missing: the step is not recorded yet, so say what the code calls there');
    else
      -- Within a task, steps come one after the other: a step that waited or ran has kept the code from
      -- calling later ones.
      select x.step_id into ahead_of from (
        select w.step_id from outlast.operation_outputs w
        where w.workflow_id = step_to_settle.workflow_id and w.completion_order is null
        union all
        select r.step_id from outlast.workflow_status w
        cross join lateral json_object_keys(w.held -> 'running') as r (step_id)
        where w.workflow_id = step_to_settle.workflow_id and json_typeof(w.held -> 'running') = 'object'
          and not exists (
            select from outlast.operation_outputs d
            where d.workflow_id = w.workflow_id and d.step_id = r.step_id and d.completion_order is not null)
      ) as x
      where regexp_replace(x.step_id, '[0-9]+$', '') = regexp_replace(step, '[0-9]+$', '')
        and substring(x.step_id from '[0-9]+$')::numeric < substring(step from '[0-9]+$')::numeric
      order by 1 limit 1;
      -- guard: settled-ahead = if false then
      if ahead_of is not null then
        raise exception 'outlast.%: step % is not over, so the code has not come to step %', verb, ahead_of, step
          using errcode = '55000', hint = 'settle the step that the code is at: see its steps';
      end if;
      o.step_id := step;
      o.name := called;
      return o;
    end if;
  end if;
  if o.settled is not null and o.attempts = 0 then
    -- A wrongly settled step may be settled again, as long as nothing depends on it: see below.
    o.name := coalesce(called, o.name);
  end if;
  -- guard: success-is-settled = if false then
  if o.completion_order is not null and o.error is null and o.settled is null then
    raise exception 'outlast.%: step % has succeeded, and a success never changes', verb, o.step_id
      using errcode = '55000', hint = 'fork the workflow from that step';
  elsif coalesce(o.kind, 'step') not in ('step', 'transaction') then
    raise exception 'outlast.%: step % is no step or transaction, but a %', verb, o.step_id, o.kind
      using errcode = '55000', hint = case o.kind
        when 'receive' then 'send it a message' else 'fork or rewind the workflow to before it' end;
  elsif exists (
    select from outlast.operation_outputs x
    where x.workflow_id = o.workflow_id and x.step_id <> o.step_id
      and x.step_id not in (select outlast.records_kept(o.workflow_id, array[o.step_id]))
  ) then
    raise exception 'outlast.%: the workflow went on after step % had ended', verb, o.step_id
      using errcode = '55000', hint = 'fork or rewind it to that step';
  end if;
  return o;
end
$$;

create or replace function outlast.cancel_workflow(
  workflow_id text, mode text default 'undo', why text default null, by text default null, out status text
)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  verb constant text not null default 'cancel_workflow';
  w outlast.workflow_status;
begin
  perform outlast.check_text(verb, 'mode', mode, 10);
  perform outlast.check_text(verb, 'why', why, 1000);
  if coalesce(mode, 'undo') not in ('undo', 'kill') then
    perform outlast.refuse_argument(verb, 'mode', 'is undo or kill');
  end if;
  w := outlast.lock_workflow(verb, cancel_workflow.workflow_id);
  status := w.status;
  -- Workflows below a cancelled one may still undo.
  -- guard: cancelled-ones-not-killed-by-sql = if status = 'CANCELLED' then
  if status = 'CANCELLED' and mode is distinct from 'kill' then
    return;
  elsif status <> 'CANCELLED' then
    perform outlast.refuse_ended(verb, w);
  end if;
  select coalesce(max(c.status), cancel_workflow.status) into status from outlast.cancel_workflows(
    array[w.workflow_id], 'the workflow was cancelled', by => outlast.actor(by), why => why,
    kill => coalesce(mode, 'undo') = 'kill') c;
  -- A bulk tells all the ends of a block at once.
  if coalesce(current_setting('outlast.bulk', true), '') <> 'on' then
    perform outlast.tell_untold();
  end if;
end
$$;

create or replace function outlast.cancel_many(ids text[], why text, by text, mode text default 'undo')
returns table (workflow_id text, answer json)
language plpgsql
as $$
-- As cancel_workflow, for as many of these as are live and not locked; the others stay as they are. A bulk
-- has checked `mode` at its start.
#variable_conflict use_column
declare
  found text[];
begin
  found := array(
    select w.workflow_id from outlast.workflow_status w
    where w.workflow_id = any(ids) and w.status in ('ENQUEUED', 'PENDING') and w.removing is not true
    for no key update skip locked);
  return query
  select c.workflow_id, to_json(c.status) from outlast.cancel_workflows(
    found, 'the workflow was cancelled', by => outlast.actor(by), why => why, kill => coalesce(mode, 'undo') = 'kill') c;
end
$$;

comment on function outlast.cancel_workflow(text, text, text, text) is
  'Cancel a workflow: undo lets its sagas undo first, kill ends it and what it has started at once.';

create or replace function outlast.reader_among(ids text[], own text[])
returns text
language sql
stable
as $$
  -- One of these workflows and of their forks (which read what children of their source returned) that is
  -- live, or may be retried and then read that; null if there is none. `own` are those that would be removed
  -- themselves.
  with recursive line (id) as (
    select i.id from unnest(ids) as i (id)
    union
    select f.workflow_id from outlast.workflow_status f join line l on f.forked_from = l.id
  )
  select w.workflow_id from line l join outlast.workflow_status w on w.workflow_id = l.id
  where w.status in ('ENQUEUED', 'PENDING')
    -- guard: removed-before-a-retry = or false and (
    -- Without `exists`: with many forks the planner would read all records once.
    or (w.status <> 'SUCCESS' and w.workflow_id <> all(own) and (
      select true from outlast.operation_outputs o
      where o.workflow_id = w.workflow_id and o.kind in ('start', 'start_all', 'map') limit 1))
  order by w.status in ('ENQUEUED', 'PENDING') desc
  limit 1
$$;

create or replace function outlast.delete_workflow(
  workflow_id text, why text default null, by text default null, out deleted integer
)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  verb constant text not null default 'delete_workflow';
  most constant integer not null default 10000;
  w outlast.workflow_status;
  family text[];
  reader text;
begin
  perform outlast.check_text(verb, 'why', why, 1000);
  w := outlast.lock_workflow(verb, delete_workflow.workflow_id);
  -- guard: live-ones-deleted = if false then
  if w.status in ('ENQUEUED', 'PENDING') then
    raise exception 'outlast.%: the workflow is %', verb, w.status using errcode = '55000', hint = 'cancel it first';
  end if;
  -- A member whose row refuses its end, or is locked, gets its result later.
  -- guard: batches-deleted-before-their-members = if false then
  if outlast.is_batch(w) and exists (
    select from outlast.workflow_status m where m.batch = w.workflow_id and m.status = 'PENDING'
  ) then
    raise exception 'outlast.%: a member of the batch has not got its result', verb
      using errcode = '55000', hint = 'try again in a moment, or see the log for what keeps it';
  end if;
  family := array(
    with recursive line as (
      select w.workflow_id
      union all
      select c.workflow_id from outlast.workflow_status c join line l on c.parent = l.workflow_id
      -- A workflow started under a key may also be another one's.
      -- guard: shared-ones-deleted = where true
      where c.idempotency_key is null
    )
    select l.workflow_id from line l limit most + 1);
  deleted := cardinality(family);
  if deleted > most then
    raise exception 'outlast.%: it has more than % descendants', verb, most
      using errcode = '55000', hint = 'delete those first: list workflows with parent=' || w.workflow_id;
  end if;
  -- Workflows that may still read what it returned. The parent of a map reads what items returned. A workflow
  -- reads what its call was attached to.
  reader := outlast.reader_among(family || w.parent || array(
    -- guard: deleted-under-the-attached = select null::text where false) || array(
    select a.parent from outlast.attached a where a.target = any(family) and a.parent is not null) || array(
    -- guard: items-deleted-under-the-living = select null::text where false), family);
    select m.parent from outlast.workflow_status m where m.workflow_id = w.parent and m.map is not null), family);
  -- guard: deleted-under-the-living = if false then
  if reader is not null then
    if exists (
      select from outlast.workflow_status x where x.workflow_id = reader and x.status in ('ENQUEUED', 'PENDING')
    ) then
      raise exception 'outlast.%: % is live, and belongs to it or may still read it', verb, reader
        using errcode = '55000', hint = 'cancel that first, or let it end';
    end if;
    raise exception 'outlast.%: % has failed, and reads it if it is retried', verb, reader
      using errcode = '55000', hint = 'delete that first, or let a retry of it succeed';
  end if;
  -- Acts on it stay: nobody can hide an act by deleting the workflow. Retention removes acts with the row.
  -- guard: acts-deleted-too
  update outlast.acts a set workflow_id = null where a.workflow_id = w.workflow_id;
  update outlast.workflow_status x set parent = null where x.parent = any(family) and x.idempotency_key is not null;
  delete from outlast.workflow_status x where x.workflow_id = w.workflow_id;
  perform outlast.note_act('workflow', w.workflow_id, 'delete', by, why, outlast.workflow_stands(w));
end
$$;

comment on function outlast.delete_workflow(text, text, text) is
  'Remove an ended workflow with its records, its messages and what it has started; how many workflows. Its key is new again.';

select outlast.take_rights(
  '20261129070100',
  functions => array['refuse_ended', 'step_to_settle', 'cancel_many', 'reader_among'],
  of_service => array[
    'pause_workflow', 'resume_workflow', 'settle_workflow', 'cancel_workflow', 'delete_workflow']);

insert into outlast.schema_migrations (version) values ('20261129070100') on conflict do nothing;
