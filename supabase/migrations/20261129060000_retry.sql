-- Acts of people on workflows, queues and schedules are recorded, and failed workflows go on. Every statement
-- may run twice.

alter table outlast.workflow_status
  add column if not exists generation integer not null default 1,
  add column if not exists retried_at timestamptz,
  add column if not exists last_place integer;
comment on column outlast.workflow_status.generation is 'How often it was let run to an end: each retry and each rewind raises it.';
comment on column outlast.workflow_status.retried_at is 'Since when it runs again: its timeout counts from then.';
comment on column outlast.workflow_status.last_place is
  'The last place in its order that was given out before it was retried, and the number of its result: later ones are later, for who reads its events.';

create table if not exists outlast.acts (
  act_id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  verb text not null,
  noun text not null check (noun in ('workflow', 'queue', 'schedule')),
  name text not null,
  workflow_id text references outlast.workflow_status on delete cascade deferrable initially deferred,
  by text not null,
  why text,
  before json
);

comment on table outlast.acts is
  'What people did: kept as long as its workflow; of a queue or a schedule, and of workflows that are gone, the newest.';
comment on column outlast.acts.name is 'The id of the workflow, or the name of the queue or the schedule.';
comment on column outlast.acts.workflow_id is 'The same of a workflow, unless its row was gone by then.';
comment on column outlast.acts.by is 'Who: a key, a user, a workflow, or a role of the database.';
comment on column outlast.acts.before is 'What stood before.';

create index if not exists acts_of on outlast.acts (noun, name, act_id);
create index if not exists acts_of_workflow on outlast.acts (workflow_id) where workflow_id is not null;
create index if not exists acts_of_gone on outlast.acts (act_id) where noun = 'workflow' and workflow_id is null;

create or replace function outlast.note_act(noun text, name text, verb text, by text, why text, before json)
returns void
language plpgsql
as $$
-- Runs in the transaction of the act. Of each queue and each schedule the newest 1,000 acts are kept, of
-- workflows that are gone the newest 10,000.
declare
  owned text := case when note_act.noun = 'workflow' then (
    select w.workflow_id from outlast.workflow_status w where w.workflow_id = note_act.name) end;
begin
  insert into outlast.acts (verb, noun, name, workflow_id, by, why, before)
  values (note_act.verb, note_act.noun, note_act.name, owned, outlast.actor(note_act.by), note_act.why, note_act.before);
  if note_act.noun <> 'workflow' then
    -- guard: acts-without-bound = delete from outlast.acts a where a.noun = note_act.noun and false and a.act_id <= (
    delete from outlast.acts a where a.noun = note_act.noun and a.name = note_act.name and a.act_id <= (
      select k.act_id from outlast.acts k where k.noun = note_act.noun and k.name = note_act.name
      order by k.act_id desc offset 1000 limit 1);
  elsif owned is null then
    delete from outlast.acts a where a.noun = 'workflow' and a.workflow_id is null and a.act_id <= (
      select k.act_id from outlast.acts k where k.noun = 'workflow' and k.workflow_id is null
      order by k.act_id desc offset 10000 limit 1);
  end if;
end
$$;

create or replace function outlast.workflow_stands(w outlast.workflow_status, dropped text[] default null)
returns json
language sql
immutable
as $$
  -- The state of a workflow that is recorded before an act, and the records that the act drops. Never as
  -- jsonb: an error may hold text that only json can.
  select json_strip_nulls(json_build_object(
    'status', w.status, 'error', outlast.readable(w.error), 'dropped', to_json(dropped[1:1000]), 'epoch', w.epoch, 'generation', w.generation, 'owner', w.owner,
    'claimable_at', w.claimable_at, 'deadline', w.deadline, 'completed_at', w.completed_at))
$$;

create or replace function outlast.goes_on(born json, at timestamptz)
returns json
language sql
immutable
as $$
  -- What `born` of a retried workflow holds once it is claimed for the first time since.
  select (coalesce(born::jsonb, '{}') || jsonb_build_object('goes_on_s', extract(epoch from at)::float8))::json
$$;

create or replace function outlast.deadline_anew(w outlast.workflow_status)
returns timestamptz
language sql
stable
as $$
  -- The deadline of a retried workflow: its own timeout, counted from now, and not beyond its parent's
  -- deadline. A workflow started from SQL doesn't know its timeout; a child that only this timeout limits
  -- tells how long it was. If nothing is known, as for rows of older versions, the former time is kept. An
  -- item of a map may wait for others, so its own timeout counts from when it begins.
  select least(
    -- guard: delays-outlast-a-retry = now() + (w.deadline - coalesce(w.retried_at, w.created_at)),
    -- guard: retried-items-wait-in-their-time = now() + make_interval(secs => w.timeout_s),
    case when w.queue = w.parent then null else now() + make_interval(secs => w.timeout_s) end,
    coalesce((
      select p.deadline from outlast.workflow_status p
      -- guard: retried-children-end-before-their-parent = where false
      where p.workflow_id = w.parent and p.status in ('ENQUEUED', 'PENDING') and not w.detached),
      case when w.timeout_s is null then coalesce((
        select p.retried_at + (w.deadline - coalesce((
          select max(a.at) from outlast.acts a
          where a.workflow_id = p.workflow_id and a.verb in ('retry', 'rewind') and a.at <= coalesce(w.retried_at, w.created_at)),
          p.created_at))
        from outlast.workflow_status p
        -- guard: children-of-what-sql-started-end-before-it = where false
        where p.workflow_id = w.parent and p.status in ('ENQUEUED', 'PENDING') and not w.detached),
        now() + (w.deadline - coalesce(w.retried_at, w.created_at))) end))
$$;

create or replace function outlast.bound_rows(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
-- Sets the deadline that `given` has for each of these.
begin
  update outlast.workflow_status w set deadline = (given ->> w.workflow_id)::timestamptz where w.workflow_id = any(ids);
  return jsonb_build_array();
end
$$;

create or replace function outlast.bound_anew(ids text[], formers timestamptz[])
returns void
language plpgsql
as $$
-- Gives the live children of these retried workflows the new deadline, generation after generation. Some had
-- the former deadline, and wait, for example for their turn. Others were retried before their parents or with
-- them, without a limit. A running workflow learns of it when it is claimed again. A row that is locked, or
-- refuses, keeps its former deadline.
declare
  times jsonb;
begin
  with recursive line (id, former, ends_by) as (
    select p.workflow_id, r.former, p.deadline
    from unnest(ids, formers) as r (id, former)
    join outlast.workflow_status p on p.workflow_id = r.id
    where p.deadline is not null
    union all
    select c.workflow_id, l.former, c.ends_by
    from line l cross join lateral (
      -- Its own deadline stays, if that was the later one.
      select c.workflow_id, least(l.ends_by, case when c.timeout_s is not null and c.queue is distinct from c.parent
        then greatest(l.former, coalesce(c.retried_at, c.created_at) + make_interval(secs => c.timeout_s)) end) as ends_by
      from outlast.workflow_status c
      -- guard: children-keep-the-time-of-before = where false
      where c.parent = l.id and c.parent is not null and c.status in ('ENQUEUED', 'PENDING') and not c.detached
        -- The same time: an instance gives seconds, which are rounded.
        and (c.deadline between l.former - interval '1 ms' and l.former + interval '1 ms'
          -- guard: retried-children-outlast-their-parents = )
          or (c.deadline > l.ends_by) is not false)
      order by c.status offset 0) as c
  )
  select jsonb_object_agg(c.id, c.ends_by) into times
  from (select l.id, min(l.ends_by) as ends_by from line l group by l.id) as c
  join outlast.workflow_status w on w.workflow_id = c.id
  where w.deadline is distinct from c.ends_by;
  if times is not null then
    -- guard: refusing-children-fail-their-parents-retry = perform outlast.bound_rows(array(
    perform outlast.one_by_one('bound_rows', array(
      select w.workflow_id from outlast.workflow_status w
      where w.workflow_id = any(array(select jsonb_object_keys(times)))
      for no key update skip locked
    ), times);
  end if;
end
$$;

create or replace function outlast.ended_by_stop(w outlast.workflow_status)
returns boolean
language sql
immutable
as $$
  -- Whether it ended by its cancel or its timeout. Any other end of a stopped workflow has interrupted that.
  -- guard: stops-forgotten = select true
  select w.status = 'CANCELLED' or (w.status = 'ERROR' and outlast.readable(w.error) ->> 'code' = 'workflow_timeout')
$$;

create or replace function outlast.end_came_at(w outlast.workflow_status)
returns integer
language sql
stable
as $$
  -- The place of the first record that caused its end: a failure, or the stop. Null if there is none.
  select min(o.completion_order)
  from (select outlast.readable(w.error) as error offset 0) as e
  join outlast.operation_outputs o on o.workflow_id = w.workflow_id and (
    o.step_id in (select json_array_elements_text(coalesce(e.error -> 'steps', '[]')))
    or (o.kind = 'stop' and outlast.ended_by_stop(w)))
$$;

create or replace function outlast.undone_steps(workflow_id text)
returns text[]
language sql
stable
as $$
  -- The records that its end invalidates: notes of steps that its sagas have undone because of it, and the
  -- stop. Empty while something still stands, because that is undone first.
  select case when w.error is null or e.error ->> 'code' = 'compensation_failed' then '{}'::text[]
    -- guard: undone-counts-as-done = else array[]::text[]
    else array(select json_array_elements_text(coalesce(e.error -> 'undone', '[]')))
      || array(
        select o.step_id from outlast.operation_outputs o
        where o.workflow_id = w.workflow_id and o.kind = 'stop' and outlast.ended_by_stop(w))
  end
  from outlast.workflow_status w
  cross join lateral (select outlast.readable(w.error) as error offset 0) as e
  where w.workflow_id = undone_steps.workflow_id
$$;

create or replace function outlast.failed_steps(workflow_id text)
returns text[]
language sql
stable
as $$
  -- The records that caused its end: failures, notes of steps that its sagas have undone, the stop. Empty if
  -- its function failed by itself. Rows of older versions don't name them: then it is the last failure.
  select case
    when e.error -> 'steps' is null and w.status = 'ERROR'
      and coalesce(e.error ->> 'code', 'workflow_error') in ('workflow_error', 'http_exception')
      then array_remove(array[outlast.failed_step(w.workflow_id)], null)
    else array(
      select o.step_id from json_array_elements_text(coalesce(e.error -> 'steps', '[]')) as s (id)
      join outlast.operation_outputs o on o.workflow_id = w.workflow_id and o.step_id = s.id
        -- A step settled by hand since the end, even as a failure, is what somebody wants it to be.
        -- guard: settled-failure-is-dropped
        and (o.settled is null or o.completed_at <= w.completed_at)
      -- guard: settled-counts-as-failed = where true)
      where o.error is not null or o.kind in ('timer', 'receive', 'event', 'wait_any'))
  end || outlast.undone_steps(w.workflow_id)
  from outlast.workflow_status w
  cross join lateral (select outlast.readable(w.error) as error offset 0) as e
  where w.workflow_id = failed_steps.workflow_id
$$;

create or replace function outlast.undoes_still(workflow_id text)
returns text
language sql
stable
as $$
  -- A workflow that was stopped with this one, in any generation below, and still undoes; null if there is
  -- none.
  with recursive line (id) as (
    select undoes_still.workflow_id
    union all
    select c.workflow_id from line l
    join outlast.workflow_status c on c.parent = l.id and not c.detached
    where c.status in ('ERROR', 'CANCELLED', 'EXHAUSTED') and outlast.ended_by_stop(c)
  )
  select c.workflow_id from line l
  join outlast.workflow_status c on c.parent = l.id and not c.detached
  where c.status in ('ENQUEUED', 'PENDING') and c.saga in ('stopping', 'undoing')
  limit 1
$$;

create or replace function outlast.is_batch(w outlast.workflow_status)
returns boolean
language sql
immutable
as $$
  -- An item of a map may have the key `batch`, but it has a parent.
  -- guard: items-taken-for-batches = select right(w.workflow_id, 6) = '/batch'
  select right(w.workflow_id, 6) = '/batch' and w.parent is null
$$;

create or replace function outlast.why_not_retried(
  verb text, w outlast.workflow_status, out reason text, out hint text
)
language plpgsql
stable
as $$
-- Why a workflow, whose row is locked, can't be retried or rewound; null if it can.
declare
  still text;
begin
  -- guard: success-is-retried = if w.status in ('ENQUEUED', 'PENDING') then
  if w.status not in ('ERROR', 'CANCELLED', 'EXHAUSTED') then
    reason := 'the workflow is ' || w.status || '; only one that is ERROR, CANCELLED or EXHAUSTED can be '
      || case verb when 'retry' then 'retried' else 'rewound' end;
    hint := case when w.status = 'SUCCESS'
      then 'a success never changes: fork it'
      when w.held ->> 'reason' = 'paused' then 'it is paused: resume it, or cancel it first'
      when w.held is not null then 'it is held: resume it to try again now, or cancel it first'
      else 'it has not ended: cancel it first, or wait' end;
  elsif w.function = 'outlast.bulk' then
    reason := 'this is a bulk';
    hint := 'what it has done stays done: begin another with the same filter';
  elsif w.map is not null then
    reason := 'this is a map';
    hint := 'retry ' || w.parent || ': it runs the failed items again';
  elsif outlast.is_batch(w) then
    reason := 'this is a batch, whose members have ended with it';
    hint := 'retry those: they come into another batch';
  elsif w.queue = w.parent and not exists (
    select from outlast.workflow_status m
    -- guard: items-of-failed-maps-retried = where m.workflow_id = w.parent and m.status = 'PENDING') then
    where m.workflow_id = w.parent and m.status = 'PENDING' and not (m.map ->> 'stopped')::boolean) then
    reason := 'this is an item of a map that is over, or has failed and begins nothing more';
    hint := 'retry the workflow that the map belongs to: it runs the failed items again';
  elsif outlast.ended_by_stop(w) then
    still := outlast.undoes_still(w.workflow_id);
    -- That child's end would come after the retry, and fail the retried workflow.
    -- guard: retried-while-children-undo = if false then
    if still is not null then
      reason := still || ', which was stopped with it, still undoes';
      hint := 'wait until that has ended, or kill it';
    end if;
  end if;
end
$$;

create or replace function outlast.lock_maps_of(items text[])
returns void
language sql
volatile
as $$
  -- Locks the maps of these items, whose rows are locked, so that no map ends before its items wait to go on
  -- again.
  select from outlast.workflow_status m
  where m.workflow_id = any(array(
    select w.parent from outlast.workflow_status w where w.workflow_id = any(items) and w.queue = w.parent))
  order by m.workflow_id
  for share
$$;

create or replace function outlast.lock_failed(verb text, workflow_id text)
returns outlast.workflow_status
language plpgsql
as $$
-- Locks and returns a failed workflow; refuses any other.
#variable_conflict use_column
declare
  w outlast.workflow_status;
  refused record;
begin
  w := outlast.lock_workflow(verb || '_workflow', lock_failed.workflow_id);
  -- guard: maps-end-beside-a-retry
  perform outlast.lock_maps_of(array[w.workflow_id]);
  refused := outlast.why_not_retried(verb, w);
  if refused.reason is not null then
    raise exception 'outlast.%_workflow: %', verb, refused.reason using errcode = '55000', hint = refused.hint;
  end if;
  return w;
end
$$;

create or replace function outlast.go_on(ids text[], verb text, by text, why text, steps text[] default null)
returns table (workflow_id text, status text, generation integer, dropped json)
language plpgsql
as $$
-- Lets failed workflows, whose rows are locked, go on in place. It drops the records of these steps (by
-- default those that caused each end), records that may depend on them or were undone, and later failures.
-- Returns for each the ids of the dropped records, the first thousand. `by` null: its retried parent does it.
-- If something interrupted the undoing after a stop, the stop stays, and undoing goes on.
#variable_conflict use_column
declare
  undoing text[];
  standing text[];
  bounded text[];
  formers timestamptz[];
begin
  select array_agg(w.workflow_id), array_agg(w.deadline) into bounded, formers
  from outlast.workflow_status w where w.workflow_id = any(ids) and w.deadline is not null;
  select array_agg(o.workflow_id), array_agg(o.step_id) into undoing, standing
  from outlast.workflow_status w
  cross join lateral (select outlast.readable(w.error) as error offset 0) as e
  join outlast.operation_outputs o on o.workflow_id = w.workflow_id and o.kind = 'undo' and o.name = 'standing'
  where w.workflow_id = any(ids) and e.error ->> 'code' = 'compensation_failed'
    and o.step_id in (select json_array_elements_text(coalesce(e.error -> 'steps', '[]')));
  return query
  with failed as materialized (
    select w.workflow_id, w as stood, r.last, r.undos, r.stops, r.records,
      case when r.undos > 0 then outlast.with_undone(w.workflow_id, s.steps) else s.steps end as steps
    from unnest(ids) as i (id)
    join outlast.workflow_status w on w.workflow_id = i.id
    cross join lateral (select coalesce(go_on.steps, outlast.failed_steps(w.workflow_id)) as steps offset 0) as s
    cross join lateral (
      select max(o.completion_order) as last, count(*) filter (where o.kind = 'undo') as undos,
        count(*) filter (where o.kind = 'stop') as stops, count(*) as records
      from outlast.operation_outputs o where o.workflow_id = w.workflow_id
    ) as r
  ), first as (
    select f.workflow_id, f.steps, (f.stood).completed_at as ended, (
      select min(o.completion_order) from outlast.operation_outputs o
      where o.workflow_id = f.workflow_id and o.step_id = any(f.steps)) as place
    from failed f where cardinality(f.steps) > 0
  ), kept as (
    select o.workflow_id, o.step_id
    from first f
    cross join lateral outlast.records_kept(f.workflow_id, f.steps) as k (step_id)
    join outlast.operation_outputs o on o.workflow_id = f.workflow_id and o.step_id = k.step_id
    -- guard: later-failures-stay = where true
    where (o.error is not null and o.completion_order > f.place and (o.settled is null or o.completed_at <= f.ended)) is not true
  ), gone as (
    delete from outlast.operation_outputs o using first f
    where o.workflow_id = f.workflow_id
      and not exists (select from kept k where k.workflow_id = o.workflow_id and k.step_id = o.step_id)
    returning o.workflow_id, o.step_id, o.completion_order, o.kind
  ), received as (
    select o.workflow_id, substr(o.name, 9) as topic, (o.output ->> 'number')::bigint as number, k.step_id is not null as stays
    from first f
    join outlast.operation_outputs o on o.workflow_id = f.workflow_id and o.kind = 'receive' and o.completion_order is not null
      and o.error is null and json_typeof(o.output) = 'object'
    left join kept k on k.workflow_id = o.workflow_id and k.step_id = o.step_id
  ), passed as (
    -- Topics with a message that comes again while a later one stays received. The workflow reads on after
    -- the last one.
    select r.workflow_id, r.topic, max(r.number) filter (where r.stays) as last
    from received r group by r.workflow_id, r.topic
    having min(r.number) filter (where not r.stays) < max(r.number) filter (where r.stays)
  ), again as (
    select m.message_id, m.workflow_id, row_number() over (partition by m.workflow_id order by m.number) as place
    from passed p join outlast.messages m on m.workflow_id = p.workflow_id and m.topic = p.topic
    where m.number > p.last or m.number in (
      select r.number from received r where r.workflow_id = m.workflow_id and not r.stays)
  ), numbered as (
    -- guard: messages-lost-below-others = update outlast.messages m set number = m.number
    update outlast.messages m set number = x.mail + a.place
    from again a join outlast.workflow_status x on x.workflow_id = a.workflow_id
    where m.message_id = a.message_id
  ), went as (
    -- The stop is no step that a reader has seen.
    select g.workflow_id, array_agg(g.step_id order by g.completion_order) filter (where g.kind is distinct from 'stop') as step_ids,
      count(*) filter (where g.kind = 'undo') as undos, count(*) filter (where g.kind = 'stop') as stops, count(*) as records
    from gone g group by g.workflow_id
  ), stays as (
    -- The stop stays if its record does. A cancel that the body had not heard of stays if the workflow was
    -- lost, or held.
    select f.workflow_id, case
        when f.stops > coalesce(g.stops, 0) then 'undoing'
        when f.stops = 0 and go_on.steps is null and (f.stood).stop is not null and (
          (f.stood).status = 'EXHAUSTED' or outlast.readable((f.stood).error) -> 'held' is not null) then 'stopping'
      end as saga
    from failed f left join went g on g.workflow_id = f.workflow_id
  ), noted as (
    -- At the same time as `retried_at`: see outlast.deadline_anew.
    insert into outlast.acts (at, verb, noun, name, workflow_id, by, why, before)
    select now(), go_on.verb, 'workflow', f.workflow_id, f.workflow_id,
      outlast.actor(coalesce(go_on.by, 'workflow ' || (f.stood).parent)), go_on.why,
      outlast.workflow_stands(f.stood, coalesce(g.step_ids, '{}'))
    from failed f left join went g on g.workflow_id = f.workflow_id
  )
  update outlast.workflow_status x
  set status = 'ENQUEUED', owner = null,
      -- guard: retry-keeps-epoch
      epoch = x.epoch + 1,
      -- guard: retry-keeps-generation
      generation = x.generation + 1,
      claimable_at = now(), rank = null, batch = null, batch_place = null, awaits = null, held = null, misfits = null,
      error = null, output = null, response = null, completed_at = null, recovery_attempts = 0,
      -- Its records belong to its version; without records it begins with the newest.
      -- guard: retry-leaves-its-version = version = null,
      version = case when f.records > coalesce(g.records, 0) then x.version end,
      stop = case when s.saga is not null then x.stop end,
      saga = coalesce(s.saga, case when f.undos > coalesce(g.undos, 0) then 'open' end),
      -- guard: retried-past-its-deadline = deadline = x.deadline,
      deadline = outlast.deadline_anew(x),
      retried_at = now(),
      -- Streams have given the number after the last one to the result.
      -- guard: retry-gives-the-results-number-again = last_place = greatest(x.last_place, f.last),
      last_place = coalesce(greatest(x.last_place, f.last), 0) + 1,
      mail = x.mail + (select count(*) from again a where a.workflow_id = f.workflow_id),
      -- guard: second-end-untold = untold = x.untold,
      untold = true,
      nonce = floor(random() * 9007199254740992)::bigint, updated_at = now()
  from failed f join stays s on s.workflow_id = f.workflow_id left join went g on g.workflow_id = f.workflow_id
  where x.workflow_id = f.workflow_id
  returning x.workflow_id, x.status, x.generation, coalesce(to_json(g.step_ids[1:1000]), '[]');
  if bounded is not null then
    perform outlast.bound_anew(bounded, formers);
  end if;
  -- What still stands, as the error names it, is undone again, with the same time as at first. If its body
  -- has called something since, perhaps because of that error, it goes the same way again, and this comes
  -- after its end.
  update outlast.operation_outputs o
  set output = json_build_object('again', case when exists (
      select from outlast.operation_outputs l
      where l.workflow_id = o.workflow_id
        -- guard: standing-undone-in-between = and false
        and l.called_after >= o.completion_order
    ) then '"after"'::json else 'true'::json end)
  from unnest(undoing, standing) as s (workflow_id, step_id)
  where o.workflow_id = s.workflow_id and o.step_id = s.step_id;
end
$$;

create or replace function outlast.retry_cancelled_children(parents text[])
returns void
language plpgsql
as $$
-- Children that were cancelled because of their parent go on with it, generation after generation. Items of
-- maps go on when the parent asks for their map again.
declare
  done integer := 0;
begin
  while cardinality(parents) > 0 loop
    parents := array(
      select x.workflow_id from outlast.workflow_status x
      where x.parent = any(parents) and x.status in ('ERROR', 'CANCELLED', 'EXHAUSTED') and x.map is null
        and x.queue is distinct from x.parent
        and outlast.readable(x.error) ->> 'message' = 'the workflow that started it was cancelled'
      order by x.workflow_id collate "C" limit 100001 - done
      for no key update);
    done := done + cardinality(parents);
    if done > 100000 then
      raise exception 'outlast.retry_workflow: more than 100,000 workflows were cancelled with it'
        using errcode = '55000', hint = 'retry those first, as many at once as you like';
    end if;
    perform from outlast.go_on(parents, 'retry', null, 'the workflow that started it was retried');
  end loop;
end
$$;

create or replace function outlast.retry_workflow(workflow_id text, why text default null, by text default null)
returns table (status text, generation integer, dropped json)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  w outlast.workflow_status;
begin
  perform outlast.check_text('retry_workflow', 'why', why, 1000);
  w := outlast.lock_failed('retry', retry_workflow.workflow_id);
  return query
  select g.status, g.generation, g.dropped
  from outlast.go_on(array[w.workflow_id], 'retry', outlast.actor(by), why) as g;
  if w.status = 'CANCELLED' then
    -- guard: children-stay-cancelled = perform null;
    perform outlast.retry_cancelled_children(array[w.workflow_id]);
  end if;
  perform outlast.tell_due();
end
$$;

create or replace function outlast.retry_many(ids text[], why text, by text)
returns table (workflow_id text, answer json)
language plpgsql
as $$
-- As retry_workflow, for as many of these as can be retried and aren't locked; the others stay as they are.
#variable_conflict use_column
declare
  found text[];
  cancelled text[];
begin
  found := array(
    select w.workflow_id from outlast.workflow_status w
    where w.workflow_id = any(ids) and w.status in ('ERROR', 'CANCELLED', 'EXHAUSTED') and w.removing is not true
    for no key update skip locked);
  -- guard: maps-end-beside-many-retries
  perform outlast.lock_maps_of(found);
  -- Read again, under their locks.
  select coalesce(array_agg(w.workflow_id), '{}'), coalesce(array_agg(w.workflow_id) filter (where w.status = 'CANCELLED'), '{}')
  into found, cancelled
  from outlast.workflow_status w
  where w.workflow_id = any(found)
    -- guard: many-retried-unchecked
    and (outlast.why_not_retried('retry', w)).reason is null;
  return query
  select g.workflow_id, json_build_object('status', g.status, 'generation', g.generation, 'dropped', g.dropped)
  from outlast.go_on(found, 'retry', outlast.actor(by), why) as g;
  -- guard: children-of-many-stay-cancelled
  perform outlast.retry_cancelled_children(cancelled);
  perform outlast.tell_due();
end
$$;

create or replace function outlast.rewind_workflow(
  workflow_id text, "to" text, why text default null, by text default null
)
returns table (status text, generation integer, dropped json)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  w outlast.workflow_status;
  steps text[];
begin
  perform outlast.check_text('rewind_workflow', 'why', why, 1000);
  if "to" is null or length("to") not between 1 and 1000 then
    perform outlast.refuse_argument('rewind_workflow', 'to', 'must be a text of 1 to 1,000 characters');
  end if;
  w := outlast.lock_failed('rewind', rewind_workflow.workflow_id);
  steps := array[outlast.step_named('rewind_workflow', 'to', w.workflow_id, "to")] || outlast.undone_steps(w.workflow_id);
  return query
  select g.status, g.generation, g.dropped
  from outlast.go_on(array[w.workflow_id], 'rewind', outlast.actor(by), why, steps) as g;
  if w.status = 'CANCELLED' then
    perform outlast.retry_cancelled_children(array[w.workflow_id]);
  end if;
  perform outlast.tell_due();
end
$$;

create or replace function outlast.retry(workflow_id text, why text default null)
returns text
language sql
as $$ select r.status from outlast.retry_workflow(workflow_id, why) as r $$;

comment on function outlast.retry(text, text) is
  'Let a failed workflow go on in place, without its last failure; its status then. What has succeeded stays.';

create or replace function outlast.rewind(workflow_id text, "to" text, why text default null)
returns text
language sql
as $$ select r.status from outlast.rewind_workflow(workflow_id, "to", why) as r $$;

comment on function outlast.rewind(text, text, text) is
  'Let a failed workflow go on in place from an earlier step, which runs again with all that came of it; its status then.';

create or replace function outlast.retry_child(child text, parent text, parent_epoch bigint, me text)
returns boolean
language plpgsql
as $$
-- The retried parent asks for this child's result: if the child failed before the retry, it is retried. Runs
-- under the fence of the parent; returns whether the child was retried.
#variable_conflict use_column
declare
  p outlast.workflow_status;
  c outlast.workflow_status;
begin
  select * into p from outlast.workflow_status x
  -- guard: child-retried-without-fence = where x.workflow_id = retry_child.parent
  where x.workflow_id = retry_child.parent and x.epoch = parent_epoch and x.owner = me
  for share;
  if not found then
    return false;
  end if;
  select * into c from outlast.workflow_status x
  where x.workflow_id = retry_child.child and x.parent = p.workflow_id
    and x.status in ('ERROR', 'CANCELLED', 'EXHAUSTED') and x.map is null
    -- guard: childs-new-failure-forgotten
    and x.completed_at <= p.retried_at
  for no key update;
  if not found then
    return false;
  end if;
  perform from outlast.go_on(array[c.workflow_id], 'retry', null, 'the workflow that started it was retried');
  if c.status = 'CANCELLED' then
    perform outlast.retry_cancelled_children(array[c.workflow_id]);
  end if;
  return true;
-- guard: refusing-child-fails-its-parent = exception when assert_failure then
exception when others then
  -- The parent waits for a row that refuses as for a locked row.
  if not outlast.is_of_rows(sqlstate) then raise; end if;
  raise exception '%', sqlerrm using errcode = 'lock_not_available';
end
$$;

create or replace function outlast.map_at(
  map_ids text[], parent text, me text, parent_epoch bigint, functions text[], fingerprint text
)
returns text
language plpgsql
as $$
-- The retried parent maps at a place where earlier generations may have mapped, the first one under the first
-- of these ids. Returns the id that counts now: a map that this generation has begun or let go on; otherwise
-- one of the same function and items; otherwise a new one. The other maps begin nothing more. Null if another
-- instance runs the parent.
#variable_conflict use_column
declare
  p outlast.workflow_status;
  found text;
  there boolean;
begin
  select * into p from outlast.workflow_status x
  -- guard: map-found-without-fence = where x.workflow_id = map_at.parent
  where x.workflow_id = map_at.parent and x.epoch = parent_epoch and x.owner = me
  for share;
  if p.workflow_id is null then
    return null;
  end if;
  select count(*) > 0, (array_agg(x.workflow_id order by coalesce((x.map ->> 'generation')::integer, 1) desc)
      filter (where coalesce((x.map ->> 'generation')::integer, 1) = p.generation
        -- guard: maps-of-before-hinder = or true))[1]
        or x.function = any(functions) and coalesce(x.fingerprint = map_at.fingerprint, true)))[1]
  into there, found
  from outlast.workflow_status x where x.workflow_id = any(map_ids) and x.map is not null;
  found := coalesce(found, map_ids[case when there then cardinality(map_ids) else 1 end]);
  update outlast.workflow_status x set map = x.map::jsonb || '{"stopped": true}'
  where x.workflow_id = any(array(
    select o.workflow_id from outlast.workflow_status o
    -- guard: maps-of-before-go-on = where false
    where o.workflow_id = any(map_ids) and o.workflow_id <> found and o.status = 'PENDING'
      and not (o.map ->> 'stopped')::boolean
    order by o.workflow_id
    for no key update));
  return found;
end
$$;

create or replace function outlast.reopen_map(
  map_id text, parent text, me text, parent_epoch bigint, concurrency integer, tolerate integer, on_fail text,
  most integer default 5000
)
returns boolean
language plpgsql
as $$
-- The retried parent asks for this map: unless it has succeeded, it goes on, once for each retry. Its failed
-- items wait in its queue again, `most` of them with each call, and items removed before they began are
-- started again. The map isn't over before all of them wait. False if another instance runs the parent.
#variable_conflict use_column
declare
  p outlast.workflow_status;
  m outlast.workflow_status;
  failed text[];
begin
  select * into p from outlast.workflow_status x
  -- guard: map-reopened-without-fence = where x.workflow_id = reopen_map.parent
  where x.workflow_id = reopen_map.parent and x.epoch = parent_epoch and x.owner = me
  for share;
  if not found then
    return false;
  end if;
  select * into m from outlast.workflow_status x where x.workflow_id = reopen_map.map_id for no key update;
  if not found or m.status = 'SUCCESS' or m.map is null then
    return true;
  elsif coalesce((m.map ->> 'generation')::integer, 1) < p.generation then
    update outlast.workflow_status x
    set status = 'PENDING', error = null, output = null, completed_at = null, claimable_at = null, epoch = x.epoch + 1,
        deadline = p.deadline, untold = true, updated_at = now(),
        map = x.map::jsonb || jsonb_build_object(
          'generation', p.generation, 'reopening', true, 'reopened_at', now(), 'stopped', false, 'dropped', 0, 'tell_at', 0,
          'on_fail', reopen_map.on_fail,
          -- guard: retried-maps-tolerate-as-before = 'tolerate', m.map -> 'tolerate',
          'tolerate', reopen_map.tolerate,
          -- guard: withdrawn-items-stay-away = 'started', m.map -> 'started')
          'started', case when coalesce((m.map ->> 'dropped')::integer, 0) > 0 then 0 else (m.map ->> 'started')::integer end)
    where x.workflow_id = m.workflow_id
    returning x.* into m;
    delete from outlast.queue_starts s where s.queue = m.workflow_id;
    insert into outlast.queues as q (name, base, declared_at)
    values (m.workflow_id, json_build_object('concurrency', concurrency), now())
    on conflict (name) do update set base = excluded.base, override = null;
  elsif m.status <> 'PENDING' or not coalesce((m.map ->> 'reopening')::boolean, false) then
    return true;
  end if;
  failed := array(
    select x.workflow_id from outlast.workflow_status x
    where x.parent = m.workflow_id and x.status in ('ERROR', 'CANCELLED', 'EXHAUSTED')
      -- An item that has failed again since is over.
      -- guard: items-reopened-twice
      and coalesce(x.retried_at < (m.map ->> 'reopened_at')::timestamptz, true)
    order by x.workflow_id collate "C" limit most
    for no key update);
  perform from outlast.go_on(failed, 'retry', 'workflow ' || p.workflow_id, 'the workflow of its map was retried');
  -- They must end by their map's deadline. An own timeout counts from when they go on.
  -- guard: items-retried-until-long-ago = update outlast.workflow_status x set deadline = x.deadline
  update outlast.workflow_status x set deadline = p.deadline
  where x.workflow_id = any(failed) and x.deadline is distinct from p.deadline;
  if cardinality(failed) < most then
    update outlast.workflow_status x set map = x.map::jsonb - 'reopening' where x.workflow_id = m.workflow_id;
    -- The other items may all have ended by now.
    if outlast.look_at_map(m.workflow_id) then
      perform outlast.tell_ends(array[m.workflow_id]);
    end if;
  end if;
  return true;
-- guard: refusing-map-fails-its-retry = exception when assert_failure then
exception when others then
  -- The parent waits for a row that refuses as for a locked row.
  if not outlast.is_of_rows(sqlstate) then raise; end if;
  raise exception '%', sqlerrm using errcode = 'lock_not_available';
end
$$;

create or replace function outlast.send_again(
  workflow_id text, message json, topic text, key text, sender text, epoch bigint, generation integer
)
returns bigint
language plpgsql
as $$
-- A retried workflow sends at a place where it may have sent before. An equal message is sent once over all
-- generations; a different one is another message. Null if another instance runs the sender.
#variable_conflict use_column
declare
  retried timestamptz;
  sent bigint;
begin
  select x.retried_at into retried from outlast.workflow_status x
  -- guard: sent-again-without-fence = where x.workflow_id = send_again.sender
  where x.workflow_id = send_again.sender and x.epoch = send_again.epoch
  for share;
  if not found then
    return null;
  end if;
  begin
    return outlast.send(send_again.workflow_id, message, topic, key);
  exception when unique_violation then
    select m.message_id into sent from outlast.messages m
    where m.workflow_id = send_again.workflow_id
      and m.idempotency_key = any(array(
        select send_again.key || '/again-' || n from generate_series(2, send_again.generation) as n))
      and m.topic = send_again.topic
      -- guard: sent-in-each-generation = and false
      and m.message::jsonb = send_again.message::jsonb
    limit 1;
    -- A message sent since the retry counts as this call's. A body that now sends another one isn't
    -- deterministic.
    -- guard: sent-twice-in-a-generation = if false and exists (
    if sent is null and exists (
      select from outlast.messages m
      where m.workflow_id = send_again.workflow_id and m.idempotency_key = send_again.key and m.created_at > retried
    ) then
      raise;
    end if;
  end;
  return coalesce(sent, outlast.send(send_again.workflow_id, message, topic, key || '/again-' || generation));
end
$$;

select outlast.take_rights(
  '20261129060000',
  functions => array[
    'note_act', 'workflow_stands', 'failed_steps', 'goes_on', 'deadline_anew', 'bound_rows', 'bound_anew', 'ended_by_stop', 'end_came_at', 'undoes_still', 'undone_steps',
    'is_batch', 'why_not_retried', 'lock_maps_of', 'lock_failed', 'go_on', 'retry_cancelled_children', 'retry_many', 'retry_child', 'map_at', 'reopen_map',
    'send_again'],
  tables => array['acts'],
  of_service => array['retry', 'rewind', 'retry_workflow', 'rewind_workflow']);

insert into outlast.schema_migrations (version) values ('20261129060000') on conflict do nothing;
