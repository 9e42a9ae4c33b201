-- Forks: run a workflow again as another one, from its beginning or from a step. Every statement may run
-- twice.

alter table outlast.workflow_status
  add column if not exists forked_from text,
  add column if not exists root_id text,
  add column if not exists born json;
comment on column outlast.workflow_status.forked_from is 'Of a fork: the workflow that it was made of.';
comment on column outlast.workflow_status.root_id is 'Of a fork: the first workflow of its line, which is no fork.';
comment on column outlast.workflow_status.born is
  'Of a fork with records of another: whose id its random draws follow from, and when that began. Of what was retried: when it went on. Of what SQL starts with a delay: when that is over. In Unix seconds.';

create index if not exists workflow_status_forks on outlast.workflow_status (forked_from) where forked_from is not null;
create index if not exists workflow_status_line on outlast.workflow_status (root_id) where root_id is not null;

create or replace function outlast.lock_workflow(verb text, workflow_id text)
returns outlast.workflow_status
language plpgsql
as $$
-- Locks and returns the row. Nobody writes to it until this transaction ends, because recording locks it for
-- share.
declare
  w outlast.workflow_status;
begin
  select * into w from outlast.workflow_status x where x.workflow_id = lock_workflow.workflow_id for no key update;
  -- A workflow that retention removes in several batches counts as gone.
  -- guard: what-is-removed-goes-on = if not found then
  if not found or (w.removing and verb <> 'delete_workflow') then
    raise exception 'outlast.%: there is no workflow %', verb, workflow_id using errcode = 'P0002';
  end if;
  return w;
end
$$;

create or replace function outlast.check_undoing(verb text, w outlast.workflow_status, kept text[])
returns void
language plpgsql
stable
as $$
-- While a workflow undoes, records that it will undo next must not be kept as done either.
declare
  step text;
begin
  if w.status not in ('ENQUEUED', 'PENDING') or (w.saga in ('stopping', 'undoing') or (
    select sum(case o.name
      when 'undoing' then (o.output ->> 'total')::integer
      when 'standing' then -coalesce((o.output ->> 'count')::integer, 0)
      else -1 end) > 0
    from outlast.operation_outputs o
    where o.workflow_id = w.workflow_id and o.kind = 'undo' and o.name in ('undoing', 'undone', 'standing')
  )) is not true then
    return;
  end if;
  select o.output ->> 'step' into step from outlast.operation_outputs o
  where o.workflow_id = w.workflow_id and o.step_id = any(kept) and o.kind = 'undo' and o.name = 'undo ' || (o.output ->> 'step')
  order by o.completion_order limit 1;
  -- guard: forks-keep-what-is-undone-next = if false then
  if step is not null then
    raise exception 'outlast.%: its sagas undo just now, and may undo % next', verb, step
      using errcode = '55000', hint = 'wait until it has ended, begin before that step, or fork it from start';
  end if;
end
$$;

create or replace function outlast.kept_by_fork(w outlast.workflow_status, place text, children text)
returns text[]
language plpgsql
stable
as $$
-- The step ids of the records that a fork from that place begins with.
declare
  verb constant text not null default 'fork_workflow';
  steps text[] := array[]::text[];
  -- The stop of the source doesn't stop its fork.
  stops text[] := array(
    select o.step_id from outlast.operation_outputs o where o.workflow_id = w.workflow_id and o.kind = 'stop');
  first integer;
begin
  if place = 'start' then
    return steps;
  elsif place = 'failed' then
    if w.status not in ('ERROR', 'CANCELLED', 'EXHAUSTED') then
      raise exception 'outlast.%: the workflow is %, and has not failed', verb, w.status
        using errcode = '55000', hint = 'fork it from start, or from one of its steps';
    end if;
    steps := outlast.with_undone(w.workflow_id, outlast.failed_steps(w.workflow_id) || stops);
  else
    steps := outlast.step_named(verb, 'from', w.workflow_id, place) || stops;
  end if;
  if children = 'new' then
    select min(o.completion_order) into first from outlast.operation_outputs o
    where o.workflow_id = w.workflow_id and o.kind in ('start', 'start_all', 'map');
  end if;
  return array(
    select o.step_id from outlast.operation_outputs o
    where o.workflow_id = w.workflow_id
      and o.step_id in (select outlast.records_kept(w.workflow_id, steps))
      -- With new children nothing stays that may depend on the first child.
      and (first is null or o.completion_order < first
        or (o.called_after < first and o.kind not in ('start', 'start_all', 'map'))));
end
$$;

create or replace function outlast.copy_records(source text, target text, kept text[])
returns bigint
language plpgsql
as $$
-- Copies the records as they are, with the messages that they received; returns the number of the last
-- message.
declare
  last bigint;
begin
  insert into outlast.operation_outputs (
    workflow_id, step_id, name, output, error, attempts, completion_order, nonce, started_at, completed_at, kind, at,
    arguments, called_after, settled
  )
  select target, o.step_id, o.name, o.output, o.error, o.attempts, o.completion_order, o.nonce, o.started_at,
    o.completed_at, o.kind, o.at, o.arguments, o.called_after, o.settled
  from outlast.operation_outputs o
  where o.workflow_id = source and o.step_id = any(kept);
  with received as (
    insert into outlast.messages (workflow_id, topic, message, idempotency_key, number, created_at)
    select target, m.topic, m.message, m.idempotency_key, m.number, m.created_at
    from outlast.messages m
    where m.workflow_id = source and m.number in (
      select (o.output ->> 'number')::bigint from outlast.operation_outputs o
      where o.workflow_id = source and o.step_id = any(kept) and o.kind = 'receive'
        and o.completion_order is not null and o.error is null and json_typeof(o.output) = 'object')
    returning number
  )
  select max(number) into last from received;
  return coalesce(last, 0);
end
$$;

create or replace function outlast.fork_workflow(
  workflow_id text, "from" text default 'start', input jsonb default null, children text default 'reuse',
  idempotency_key text default null, why text default null, by text default null,
  out fork text, out kept integer, out again json
)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  verb constant text not null default 'fork_workflow';
  w outlast.workflow_status;
  root text;
  number integer;
  stay text[];
  place text := coalesce("from", 'start');
  path json;
  own_key text;
  asked text;
  former text;
begin
  perform outlast.check_text(verb, 'from', "from", 255);
  perform outlast.check_text(verb, 'children', children, 10);
  perform outlast.check_text(verb, 'idempotency_key', fork_workflow.idempotency_key, 255);
  perform outlast.check_text(verb, 'why', why, 1000);
  if coalesce(children, 'reuse') not in ('reuse', 'new') then
    perform outlast.refuse_argument(verb, 'children', 'is reuse or new');
  elsif fork_workflow.input is not null and place <> 'start' then
    perform outlast.refuse_argument(verb, 'input', 'goes with from start only: records of another input don''t fit');
  end if;
  w := outlast.lock_workflow(verb, fork_workflow.workflow_id);
  if w.map is not null or outlast.is_batch(w) or w.function like 'outlast.%' then
    raise exception 'outlast.%: the workflow is a map, a batch or a bulk', verb
      using errcode = '55000', hint = 'fork the workflow that started the map, or those that are in the batch';
  end if;
  -- The same key returns the same fork, but only for the same arguments.
  if fork_workflow.idempotency_key is not null then
    asked := md5(jsonb_build_array(place, coalesce(children, 'reuse'), fork_workflow.input)::text);
    select x.workflow_id, x.fingerprint into fork, former from outlast.workflow_status x
    where x.forked_from = w.workflow_id and x.idempotency_key = fork_workflow.idempotency_key;
  end if;
  -- guard: fork-of-another-place-answered = if false then
  if former <> asked then
    perform outlast.refuse_argument(
      verb, 'idempotency_key', 'made ' || fork || ', which is another fork: give another key');
  end if;
  stay := outlast.kept_by_fork(w, place, children);
  perform outlast.check_undone(verb, w.workflow_id, stay);
  perform outlast.check_undoing(verb, w, stay);
  kept := cardinality(stay);
  select coalesce(json_agg(json_build_object('step_id', o.step_id, 'name', o.name) order by o.place, o.step_id), '[]')
  into again
  from (
    select x.step_id, x.name, coalesce(x.completion_order, 2147483647) as place from outlast.operation_outputs x
    where x.workflow_id = w.workflow_id and x.step_id <> all(stay)
    order by 3, 1 limit 1000
  ) as o;
  if fork is not null then
    return;
  end if;
  own_key := w.queue_key;
  select q.base::json -> 'key' into path from outlast.queues q where q.name = w.queue;
  -- guard: forks-under-the-key-of-another-input = if false then
  if fork_workflow.input is not null and json_typeof(path) = 'boolean' then
    perform outlast.refuse_argument(
      verb, 'input', 'goes with no queue whose key is a function in Python: start the function with it instead');
  elsif fork_workflow.input is not null and json_typeof(path) = 'string' then
    own_key := outlast.key_of(fork_workflow.input::text, path #>> '{}');
    if own_key is null or length(own_key) > 255 then
      perform outlast.refuse_argument(verb, 'input', 'has nothing where its queue finds its key');
    end if;
  end if;
  root := coalesce(w.root_id, w.workflow_id);
  select count(*) + 2 into number from outlast.workflow_status x where x.root_id = root;
  while fork is null loop
    insert into outlast.workflow_status (
      workflow_id, function, status, input, request, idempotency_key, fingerprint, subject, claims, queue, queue_key,
      priority, attributes, tick, saga, version, timeout_s, deadline, load_bytes, forked_from, root_id, born, nonce, claimable_at, rank, created_at, updated_at
    )
    select root || '~' || number, w.function, 'ENQUEUED', coalesce(fork_workflow.input::json, w.input), w.request,
      fork_workflow.idempotency_key, asked, w.subject, w.claims, q.name, case when q.name is null then '' else own_key end,
      w.priority, w.attributes, w.tick,
      case when exists (
        select from outlast.operation_outputs o
        where o.workflow_id = w.workflow_id and o.step_id = any(stay) and o.kind = 'undo') then 'open' end,
      -- guard: forks-leave-their-version = null,
      case when kept > 0 then w.version end,
      -- guard: forks-without-timeout = null, null,
      w.timeout_s, now() + make_interval(secs => w.timeout_s),
      case when fork_workflow.input is null then w.load_bytes end, w.workflow_id, root,
      case when kept > 0 then
        (jsonb_build_object('id', w.workflow_id, 'at_s', extract(epoch from coalesce(w.started_at, w.created_at))::float8)
          -- guard: forks-go-on-since-their-source = || coalesce(w.born::jsonb, '{}'))::json end,
          || (coalesce(w.born::jsonb, '{}') - array['goes_on_s', 'counts_from_s']))::json end,
      floor(random() * 9007199254740992)::bigint, now(),
      case when q.name is not null then clock_timestamp() - make_interval(secs => w.priority) end, now(), now()
    from (select) as one left join outlast.queues q on q.name = w.queue and w.queue is distinct from w.parent
    on conflict (workflow_id) do nothing
    returning workflow_id into fork;
    number := number + 1;
  end loop;
  update outlast.workflow_status x set mail = outlast.copy_records(w.workflow_id, fork, stay) where x.workflow_id = fork;
  perform outlast.note_act('workflow', w.workflow_id, 'fork', by, why, outlast.workflow_stands(w));
  perform outlast.tell_due();
end
$$;

comment on function outlast.fork_workflow(text, text, jsonb, text, text, text, text) is
  'Run a workflow again as another one, from start, failed or a step: its id, how many records it begins with, what it does again.';

select outlast.take_rights(
  '20261129070000',
  functions => array['lock_workflow', 'check_undoing', 'kept_by_fork', 'copy_records'],
  of_service => array['fork_workflow']);

insert into outlast.schema_migrations (version) values ('20261129070000') on conflict do nothing;
