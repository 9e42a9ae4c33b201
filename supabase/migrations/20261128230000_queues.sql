-- Queues: which workflows wait in them, in which order, and who decides which begins. Every statement may run
-- twice.

alter table outlast.workflow_status
  add column if not exists queue_key text collate "C" not null default '',
  add column if not exists rank timestamptz,
  add column if not exists tick json,
  add column if not exists batch text,
  add column if not exists batch_place integer,
  add column if not exists held json,
  add column if not exists misfits jsonb,
  add column if not exists timeout_s float8;

comment on column outlast.workflow_status.queue_key is 'Whose turn it is within its queue; empty where the queue has no key.';
comment on column outlast.workflow_status.rank is 'Its place among those that are ready in its queue; null while it is not ready.';
comment on column outlast.workflow_status.tick is 'Of a workflow that a schedule started: nominal and previous time.';
comment on column outlast.workflow_status.timeout_s is 'What its function bounds it to, in seconds: a retry counts it anew.';
comment on column outlast.workflow_status.batch is 'The workflow that runs for it and others; with it, it ends.';
comment on column outlast.workflow_status.batch_place is 'Which of its batch''s inputs, and of its results, is its own; from 1.';
comment on column outlast.workflow_status.held is
  'Why nobody claims it, whatever wakes it: reason, since, and what else is known of it; null while it is free.';
comment on column outlast.workflow_status.misfits is
  'The editions of its function that its records don''t fit, each with what it was: none of them claims it again.';

create table if not exists outlast.queues (
  name text primary key,
  base json not null default '{}',
  functions text[] not null default '{}',
  version text,
  declared_at timestamptz,
  editions text[] not null default '{}',
  override json,
  override_by text,
  override_at timestamptz,
  override_why text,
  paused_by text,
  paused_at timestamptz,
  paused_why text,
  round bigint not null default 0,
  last_key text collate "C",
  decided_at timestamptz not null default '-infinity',
  askers jsonb not null default '{}',
  left_at timestamptz,
  backlog bigint not null default 0,
  count_at timestamptz not null default '-infinity',
  fault text,
  fault_at timestamptz
);

comment on table outlast.queues is 'One row a queue: what code declares, what operators have changed, and whose turn it is.';
comment on column outlast.queues.base is 'The limits that code declares.';
comment on column outlast.queues.override is 'What operators have set in their place; it stays over deploys until it is reset.';
comment on column outlast.queues.editions is
  'The declarations that code has made of it, in the order in which they came: the last one that an instance with a lease makes holds.';
comment on column outlast.queues.functions is 'The functions whose workflows it takes by itself.';
comment on column outlast.queues.last_key is 'The key that had the last turn.';
comment on column outlast.queues.askers is
  'Which instances asked lately what may begin: `at`, and `short`, since when one has found no place though others hold more than their share.';
comment on column outlast.queues.left_at is 'Since when places are left to instances that hold less than their share.';
comment on column outlast.queues.backlog is 'How many wait, as counted last.';
comment on column outlast.queues.fault is 'Why it could not decide what begins, at `fault_at`; null if it could.';

alter table outlast.instances add column if not exists queue_editions jsonb not null default '{}';
comment on column outlast.instances.queue_editions is 'By queue, which declaration its code makes: see outlast.queues.editions.';

create table if not exists outlast.queue_keys (
  queue text not null,
  key text collate "C" not null,
  paused_by text,
  paused_at timestamptz,
  paused_why text,
  primary key (queue, key)
);

comment on table outlast.queue_keys is 'What operators have set for single keys of queues.';

-- Only for queues with a rate.
create table if not exists outlast.queue_starts (
  queue text not null,
  key text collate "C" not null,
  at timestamptz not null
);

comment on table outlast.queue_starts is 'When workflows of queues with a rate were started, for as long as the rate looks back.';

create table if not exists outlast.queue_doors (
  queue text primary key,
  passed bigint not null
);

comment on table outlast.queue_doors is 'Held by whoever comes in where calls come in one at a time.';

create table if not exists outlast.messages_aside (
  queue text primary key,
  message_id bigint not null,
  read_count integer not null,
  error text not null,
  remedy text not null,
  at timestamptz not null default clock_timestamp()
);

comment on table outlast.messages_aside is
  'Of each Supabase Queue the message that was refused most often of late, and by what: the messages themselves stay in pgmq.';

create index if not exists queue_starts_of_queue on outlast.queue_starts (queue, at);
create index if not exists queue_starts_of_key on outlast.queue_starts (queue, key, at);

-- A workflow in a queue is claimed only by the queue's own decision.
create index if not exists workflow_status_due on outlast.workflow_status (claimable_at)
  where owner is null and claimable_at is not null and queue is null and held is null;
create index if not exists workflow_status_queue_waiting on outlast.workflow_status (queue, claimable_at)
  where owner is null and claimable_at is not null and queue is not null;
create index if not exists workflow_status_queue_unready on outlast.workflow_status (queue, claimable_at)
  where owner is null and claimable_at is not null and queue is not null and rank is null and held is null;
create index if not exists workflow_status_queue_unready_key on outlast.workflow_status (queue, queue_key)
  where owner is null and claimable_at is not null and queue is not null and rank is null and held is null and status = 'ENQUEUED';
create index if not exists workflow_status_queue_ready on outlast.workflow_status (queue, status, queue_key, rank)
  where owner is null and claimable_at is not null and queue is not null and rank is not null and held is null;
-- Workflows that have begun, running or abandoned. One index, since each claim writes to all indexes that it
-- changes. Queries compare numbers: with `owner is not null`, and statistics that know of no such rows, the
-- planner would take the index of all running workflows.
create index if not exists workflow_status_queue_begun on outlast.workflow_status (queue, ((owner is not null)::integer), queue_key)
  where status = 'PENDING' and queue is not null;
create index if not exists workflow_status_members on outlast.workflow_status (batch, batch_place)
  where status = 'PENDING' and batch is not null;

insert into outlast.queues (name)
select distinct w.queue from outlast.workflow_status w
where w.queue is not null and w.status in ('ENQUEUED', 'PENDING')
on conflict do nothing;

create or replace function outlast.queue_options(base json, override json)
returns jsonb
language sql
immutable
as $$
  select jsonb_strip_nulls(base::jsonb || coalesce(override::jsonb, '{}'))
$$;

create or replace function outlast.newer_declared(q outlast.queues, edition text, me text)
returns boolean
language sql
stable
as $$
  -- Whether another instance makes a declaration of this queue that came after `edition`.
  select exists (
    select from outlast.instances i
    where i.instance_id <> me and i.lease_until > now()
      and array_position(q.editions, i.queue_editions ->> q.name) > array_position(q.editions, edition))
$$;

create or replace function outlast.declare_queues(me text, names text[], options text[], functions json, served text[])
returns boolean
language plpgsql
as $$
-- Records what an instance's code declares about queues; returns whether anything changed. In a rolling
-- deploy old instances don't change anything back; their declaration holds again once only they are left.
-- Settings of operators stay. The functions in `served` are taken out of all queues that the code doesn't
-- name. Only rows that change are written, as writing waits for whoever holds a row.
#variable_conflict use_column
declare
  d record;
  own jsonb not null default jsonb_build_object();
  changed boolean not null default false;
begin
  for d in
    select c.*, md5(jsonb_build_array(c.base, c.functions)::text) as edition
    from (
      select u.name, u.options::jsonb as base,
        array(select json_array_elements_text(declare_queues.functions -> (u.place - 1)::integer)) as functions
      from unnest(names, declare_queues.options) with ordinality as u (name, options, place)
    ) as c
    order by c.name  -- the same order everywhere
  loop
    own := own || jsonb_build_object(d.name, d.edition);
    continue when exists (
      select from outlast.queues q
      where q.name = d.name and q.declared_at is not null and d.edition = any(q.editions)
        -- guard: unchanged-queues-waited-for = and false);
        -- guard: older-code-declares = and q.base::jsonb = d.base and q.functions = d.functions);
        and ((q.base::jsonb = d.base and q.functions = d.functions) or outlast.newer_declared(q, d.edition, me)));
    insert into outlast.queues as q (name, base, functions, declared_at, editions)
    values (d.name, d.base::json, d.functions, now(), array[d.edition])
    on conflict (name) do update
    set base = excluded.base, functions = excluded.functions, declared_at = excluded.declared_at,
        editions = case when d.edition = any(q.editions) then q.editions
          -- The editions of a hundred deploys are enough.
          else q.editions[greatest(1, cardinality(q.editions) - 98):] || d.edition end;
    changed := changed or found;
  end loop;
  update outlast.queues q set functions = array(select f from unnest(q.functions) as f where f <> all(served))
  where q.functions && served and q.name <> all(names)
    -- Another instance with this queue may have other code.
    -- guard: older-code-leaves-no-queue = and (true or not exists (
    and (not exists (
      select from outlast.instances i
      where i.instance_id <> me and i.lease_until > now() and i.queue_editions ? q.name));
  -- Last, so that a session that holds a queue's row doesn't hold up the lease.
  update outlast.instances i set queue_editions = i.queue_editions || own
  where i.instance_id = me and not i.queue_editions @> own;
  return changed;
end
$$;

create or replace function outlast.queue_of(function text)
returns text
language sql
stable
as $$
  -- The queue in which a function's workflows wait. During a deploy there may be two: then the newest code
  -- decides.
  select q.name from outlast.queues q where queue_of.function = any(q.functions) order by q.declared_at desc nulls last limit 1
$$;

create or replace function outlast.backlog_max(base json, override json)
returns bigint
language sql
immutable
as $$
  -- A value that isn't a number must not make this fail: claims of all kinds call it.
  select case when jsonb_typeof(o -> 'max_backlog') = 'number'
    then least(greatest((o ->> 'max_backlog')::numeric, 0), 1e9)::bigint else 1000000 end
  from outlast.queue_options(base, override) as o
$$;

create or replace function outlast.is_late(q outlast.queues, at timestamptz)
returns boolean
language plpgsql
stable
as $$
-- Whether a workflow in it is too late to begin. Such workflows are cancelled in a pause, too.
declare
  within constant jsonb default outlast.queue_options(q.base, q.override) -> 'start_within';
begin
  -- A value that isn't a number must not make this fail: claims of all queues call it.
  return jsonb_typeof(within) = 'number' and (
    select true from outlast.workflow_status w
    where w.queue = q.name and w.owner is null and w.status = 'ENQUEUED' and w.held is null
      and w.generation = 1 and w.forked_from is null
      and w.claimable_at < at - make_interval(secs => least(within::numeric, 1e9)::float8)
    order by w.claimable_at limit 1
  ) is not null;
end
$$;

create or replace function outlast.queue_busy(q outlast.queues, at timestamptz)
returns boolean
language sql
stable
as $$
  -- Whether there is anything to decide. Here and elsewhere `exists` is avoided. With many matching rows the
  -- planner would read the table from its beginning, where all of the queue's workflows have ended. An order
  -- makes it use the index.
  select case when q.paused_at is null then (
    select true from outlast.workflow_status w
    where w.queue = q.name and w.owner is null and w.claimable_at is not null and w.rank is not null and w.held is null
    order by w.status limit 1
  ) is not null or (
    select true from outlast.workflow_status w
    where w.queue = q.name and w.owner is null and w.claimable_at <= at and w.rank is null and w.held is null
    order by w.claimable_at limit 1
  ) is not null
  -- guard: paused-queue-keeps-what-is-late = else false end
  else outlast.is_late(q, at) end
$$;

create or replace function outlast.time_in(said text)
returns timestamptz
language plpgsql
stable
as $$
-- The time that a text says; null if it says none.
begin
  return said::timestamptz;
exception when others then
  return null;
end
$$;

create or replace function outlast.count_due(q outlast.queues)
returns boolean
language sql
stable
as $$
  -- Whether its waiting workflows must be counted. A `count_at` that no count could set comes from a clock
  -- that was set back.
  -- guard: counted-by-the-old-clock = select q.count_at <= now() and (q.backlog
  select q.count_at not between now() and now() + interval '1 hour' and (q.backlog > 0 or (
    select true from outlast.workflow_status w
    where w.queue = q.name and w.owner is null and w.claimable_at is not null
    order by w.claimable_at limit 1
  ) is not null)
$$;

create or replace function outlast.queues_busy()
returns boolean
language sql
stable
as $$
  -- Whether any queue has something to decide, or to count.
  select exists (
    select from outlast.queues q
    where outlast.queue_busy(q, now()) or outlast.count_due(q))
$$;

create or replace function outlast.full_queues()
returns json
language sql
stable
as $$
  -- The names of the queues that were full when they were last counted.
  select coalesce(json_agg(q.name), '[]') from outlast.queues q
  where q.backlog >= outlast.backlog_max(q.base, q.override)
$$;

create or replace function outlast.count_queue(name text)
returns void
language plpgsql
as $$
#variable_conflict use_column
declare
  q outlast.queues;
  began constant timestamptz not null default clock_timestamp();
begin
  select * into q from outlast.queues where queues.name = count_queue.name for no key update skip locked;
  if found then
    select count(*) into q.backlog from (
      select from outlast.workflow_status w
      where w.queue = count_queue.name and w.owner is null and w.claimable_at is not null
      limit outlast.backlog_max(q.base, q.override)
    ) as waiting;
    update outlast.queues
    -- Long queues are counted less often, so that counting takes a hundredth of the time.
    set backlog = q.backlog, count_at = clock_timestamp() + interval '0.5 s' + 100 * (clock_timestamp() - began)
    where queues.name = count_queue.name;
  end if;
end
$$;

create or replace function outlast.join_batch(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
-- Adds these workflows to the batch `given`, after its other members. They wait for its end.
begin
  update outlast.workflow_status w
  set status = 'PENDING', owner = null, claimable_at = null, rank = null, batch = given ->> 'batch',
      batch_place = m.place + (
        select count(*) from outlast.workflow_status x where x.batch = given ->> 'batch' and x.status = 'PENDING'),
      epoch = w.epoch + 1, started_at = (given ->> 'at')::timestamptz, updated_at = now()
  from unnest(ids) with ordinality as m (workflow_id, place)
  where w.workflow_id = m.workflow_id;
  return jsonb_build_array();
end
$$;

create or replace function outlast.begin_batch(
  first_id text, me text, n integer, t timestamptz, passed text[], careful boolean, out claim json, out refused text[]
)
language plpgsql
as $$
-- Makes a batch, which is a workflow of `me`, from a claimed workflow and those that follow it: the same
-- function, queue and key, `n` in all and 16 MB at most. The members wait for its end. The batch has no
-- owner, so callers see only their own workflow. It leaves out those in `passed` and, if `careful`, those
-- whose row refuses.
#variable_conflict use_column
declare
  w outlast.workflow_status;
  id text not null default first_id || '/batch';
  again integer not null default 1;
  others text[];
  given jsonb;
begin
  refused := '{}';
  select * into w from outlast.workflow_status x where x.workflow_id = first_id;
  -- An earlier batch of this name may exist, if the workflow was retried since, or removed and called again.
  -- guard: batches-of-one-name = while false loop
  while exists (select from outlast.workflow_status x where x.workflow_id = id) loop
    again := again + 1;
    id := first_id || '/again-' || again || '/batch';
  end loop;
  with following as (
    select x.workflow_id, x.rank, x.load_bytes from outlast.workflow_status x
    where x.queue = w.queue and x.status = 'ENQUEUED' and x.queue_key = w.queue_key
      and x.owner is null and x.claimable_at is not null and x.rank is not null and x.held is null
      and x.function = w.function
      -- guard: refused-ones-in-each-batch
      and x.workflow_id <> all(passed)
    order by x.rank limit n - 1
    for no key update skip locked
  ), summed as (
    select f.*, coalesce(w.load_bytes, 0) + sum(f.load_bytes) over (order by f.rank, f.workflow_id) as in_all
    from following f
  )
  select array_agg(s.workflow_id order by s.rank, s.workflow_id) into others
  from summed s where s.in_all <= 16777216;
  given := jsonb_build_object('batch', id, 'at', t);
  perform outlast.join_batch(array[first_id], given);
  -- guard: one-follower-stops-its-batch = if false then
  if careful then
    select o.refused into refused from outlast.one_by_one('join_batch', others, given) as o;
  elsif others is not null then
    perform outlast.join_batch(others, given);
  end if;
  with members as (
    select x.* from outlast.workflow_status x where x.batch = id and x.status = 'PENDING'
  ), made as (
    insert into outlast.workflow_status as b (
      workflow_id, function, input, claims, queue, queue_key, priority, deadline, load_bytes, nonce, owner, epoch, status,
      started_at, created_at, updated_at
    )
    select
      id, w.function, json_agg(coalesce(m.input, '{}') order by m.batch_place),
      '{"role":"service_role","outlast":{"mode":"queue","key":null}}', w.queue, w.queue_key, w.priority,
      -- As late as the last deadline of its members.
      case when count(*) = count(m.deadline) then max(m.deadline) end,
      sum(m.load_bytes), floor(random() * 9007199254740992)::bigint, me, 1, 'PENDING', t, t, now()
    from members m
    returning b.*
  )
  select json_build_object(
    'workflow_id', b.workflow_id, 'function', b.function, 'epoch', b.epoch, 'subject', b.subject,
    'claims', b.claims::text, 'deadline_s', extract(epoch from b.deadline)::float8,
    'created_s', extract(epoch from b.created_at)::float8, 'load_bytes', coalesce(b.load_bytes, 0),
    'queue', b.queue, 'members', (select json_agg(m.workflow_id order by m.batch_place) from members m))
  into claim from made b;
end
$$;

create or replace function outlast.open_members(most integer)
returns setof text
language sql
stable
as $$
  -- The functions of members of batches that have begun, which no instance owns and nothing else will wake:
  -- `most` of them.
  select w.function from outlast.workflow_status w
  -- guard: members-of-batches-uncounted = where false
  where w.status = 'PENDING' and w.batch is not null and w.owner is null and w.claimable_at is null and w.held is null
  order by w.batch limit most
$$;

create or replace function outlast.ended_batches()
returns text[]
language sql
stable
as $$
  -- Batches that have ended, or are gone, while workflows still wait for their end; null if there are none.
  -- The search goes from batch to batch, not from member to member.
  with recursive batches (id) as (
    (select m.batch from outlast.workflow_status m
    where m.status = 'PENDING' and m.batch is not null order by m.batch limit 1)
    union all
    select (
      select m.batch from outlast.workflow_status m
      where m.status = 'PENDING' and m.batch > b.id order by m.batch limit 1
    )
    from batches b where b.id is not null
  )
  select array_agg(b.id) from batches b
  where b.id is not null and not exists (
    select from outlast.workflow_status w where w.workflow_id = b.id and w.status = 'PENDING')
$$;

create or replace function outlast.end_member_rows(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
-- Ends members whose batches have ended, or are gone: each gets its element of the results, or ends as its
-- batch did.
begin
  with results as (
    select b.batch, r.place, r.result
    from (select distinct m.batch from outlast.workflow_status m where m.workflow_id = any(ids)) as b
    join outlast.workflow_status e on e.workflow_id = b.batch
    cross join lateral json_array_elements(
      case when e.status = 'SUCCESS' and json_typeof(e.output) = 'array' then e.output end
    ) with ordinality as r (result, place)
  ), members as (
    select m.workflow_id, coalesce(e.status, 'CANCELLED') as status, r.result,
      case when e.status is null
        then json_build_object('code', 'workflow_cancelled', 'message', 'its batch ' || m.batch || ' was removed')
        else e.error end as error
    from outlast.workflow_status m
    left join outlast.workflow_status e on e.workflow_id = m.batch
    -- guard: results-in-any-order = left join results r on r.batch = m.batch and r.place = 1
    left join results r on r.batch = m.batch and r.place = m.batch_place
    where m.workflow_id = any(ids)
  )
  update outlast.workflow_status w
  set status = m.status, output = m.result, error = m.error, epoch = w.epoch + 1, completed_at = now(), updated_at = now()
  from members m
  where w.workflow_id = m.workflow_id
    -- It may have been cancelled meanwhile.
    and w.status = 'PENDING';
  return jsonb_build_array();
end
$$;

create or replace function outlast.end_members(batches text[])
returns void
language plpgsql
as $$
-- Ends the members that still wait for batches that have ended or are gone. A member that another session
-- holds, or whose row refuses, is ended later.
begin
  -- guard: one-member-stops-all = perform outlast.end_member_rows(array(
  perform outlast.one_by_one('end_member_rows', array(
    select m.workflow_id
    from unnest(batches) as e (id)
    join outlast.workflow_status m on m.batch = e.id and m.status = 'PENDING'
    left join outlast.workflow_status w on w.workflow_id = e.id
    -- guard: members-end-before-their-batch
    where (w.status = 'PENDING') is not true
    -- guard: held-member-holds-up-all = for no key update of m
    for no key update of m skip locked
  ), '{}');
end
$$;

create or replace function outlast.leave_places(
  q outlast.queues,
  me text,
  functions text[],
  most integer,
  free integer,
  out askers jsonb,
  out left_at timestamptz,
  out kept integer,
  out again_s float8
)
language plpgsql
as $$
-- How many of `free` places `me` leaves to other instances, so that all work at once and not one after the
-- other. An instance that asks may have an equal share of the `most` places. Places are left only for a
-- moment, since no workflow may wait while there is room, and the other instance may be gone. Times in the
-- future are ignored, because the clock may jump.
declare
  clock constant timestamptz not null default clock_timestamp();
  clock_s constant float8 not null default extract(epoch from clock);
  moment_s constant float8 not null default 0.03;
  left_s constant float8 default extract(epoch from clock - q.left_at);
  others integer;
  mine integer;
  share integer;
  serves boolean;
  short_s float8;
begin
  kept := 0;
  -- An instance that is gone, is full, or doesn't have the functions, doesn't ask.
  select coalesce(jsonb_object_agg(a.key, a.value), '{}'), count(*) into askers, others
  from jsonb_each(q.askers) a
  where a.key <> me and (a.value ->> 'at')::float8 between clock_s - 1.5 and clock_s;
  select count(*) into mine from outlast.workflow_status w where w.queue = q.name and w.owner = me;
  share := ceil(most::float8 / (others + 1));
  serves := free > 0 or mine > 0 or (
    select w.function = any(functions) from outlast.workflow_status w
    where w.queue = q.name and w.owner is null and w.claimable_at is not null and w.rank is not null and w.held is null
    order by w.status limit 1);
  if free <= 0 then
    left_at := q.left_at;
    if serves and mine < share and most - free - mine > others * share then
      -- Others hold more than their shares. They will leave places for a moment, so at first it must look
      -- often.
      short_s := least(clock_s, coalesce((q.askers #>> array[me, 'short'])::float8, clock_s));
      again_s := clock_s - short_s;
    end if;
  -- guard: places-left-for-ever = elsif true then
  elsif (left_s between moment_s and 1) is not true then
    kept := greatest(0, free - greatest(0, share - mine));
    if kept > 0 then
      left_at := case when left_s between 0 and 1 then q.left_at else clock end;
      again_s := moment_s - extract(epoch from clock - left_at);
    end if;
  end if;
  if serves then
    askers := askers || jsonb_build_object(me, jsonb_build_object('at', clock_s, 'short', short_s));
  end if;
end
$$;

create or replace function outlast.rank_rows(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
-- Gives ready workflows their rank: they wait for their turn.
begin
  update outlast.workflow_status w
  set rank = w.claimable_at - make_interval(secs => w.priority)
  where w.workflow_id = any(ids);
  return jsonb_build_array();
end
$$;

create or replace function outlast.expire_rows(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
-- Cancels workflows that could not begin within the time that the queue in `given` sets.
begin
  update outlast.workflow_status w
  set status = 'CANCELLED', epoch = w.epoch + 1, claimable_at = null, completed_at = now(), updated_at = now(),
      nonce = floor(random() * 9007199254740992)::bigint,
      error = json_build_object('code', 'expired', 'message',
        'it could not begin within ' || (given ->> 'within') || ' s (start_within of queue ' || (given ->> 'queue') || ')')
  where w.workflow_id = any(ids);
  return jsonb_build_array();
end
$$;

create or replace function outlast.begin_chosen(
  queue text,
  me text,
  t timestamptz,
  noted boolean,
  batch_n integer,
  passed text[],
  careful boolean,
  ids text[],
  sizes bigint[],
  due timestamptz[],
  out claimed json[],
  out refused text[]
)
language plpgsql
as $$
-- Claims for `me` the workflows that its queue has chosen, and makes batches if the queue has them. If
-- `careful`, followers that refuse to join a batch are returned in `refused`.
#variable_conflict use_column
declare
  made record;
begin
  refused := '{}';
  with begun as (
    update outlast.workflow_status w
    set owner = me,
        -- guard: queue-claim-keeps-epoch
        epoch = w.epoch + 1,
        status = 'PENDING', claimable_at = null, rank = null, awaits = null,
        -- guard: time-passes-before-a-queued-retry-begins
        born = case when w.retried_at is not null and w.status = 'ENQUEUED' then outlast.goes_on(w.born, t) else w.born end,
        started_at = coalesce(w.started_at, t), updated_at = now()
    from unnest(ids, sizes, due) with ordinality as c (workflow_id, load_bytes, due, place)
    where w.workflow_id = c.workflow_id
    returning c.place, w.queue_key, json_build_object(
      'workflow_id', w.workflow_id, 'function', w.function, 'epoch', w.epoch, 'subject', w.subject,
      'claims', w.claims::text, 'version', w.version, 'parent', w.parent, 'recovery_attempts', w.recovery_attempts,
      'deadline_s', date_part('epoch', w.deadline), 'created_s', date_part('epoch', w.created_at),
      'began_s', date_part('epoch', w.started_at),
      'load_bytes', c.load_bytes, 'due_s', date_part('epoch', c.due), 'queue', begin_chosen.queue,
      'tick', w.tick::text) as claim
  ), written as (
    insert into outlast.queue_starts (queue, key, at)
    select begin_chosen.queue, b.queue_key, t from begun b where noted
  )
  select coalesce(array_agg(b.claim order by b.place), '{}') into claimed from begun b;
  if batch_n is null then return; end if;
  for place in 1 .. cardinality(ids) loop
    select * into made from outlast.begin_batch(ids[place], me, batch_n, t, passed || refused, careful);
    claimed[place] := made.claim;
    refused := refused || made.refused;
  end loop;
end
$$;

create or replace function outlast.begin_apart(
  queue text,
  me text,
  t timestamptz,
  noted boolean,
  batch_n integer,
  passed text[],
  ids text[],
  sizes bigint[],
  due timestamptz[],
  out claimed json[],
  out begun integer[],
  out refused text[]
)
language plpgsql
as $$
-- As outlast.begin_chosen, but one by one: a workflow that refuses stays as it is. `begun`: the places of the
-- others.
declare
  one record;
begin
  claimed := '{}';
  begun := '{}';
  refused := '{}';
  for place in 1 .. cardinality(ids) loop
    -- It may have refused to join an earlier batch.
    continue when ids[place] = any(refused);
    begin
      select * into one from outlast.begin_chosen(
        queue, me, t, noted, batch_n, passed || refused, true, ids[place:place], sizes[place:place], due[place:place]);
      claimed := claimed || one.claimed;
      begun := begun || place;
      refused := refused || one.refused;
    exception when others then
      -- guard: conflicts-taken-for-refusals-by-queues = if false then raise; end if;
      if not outlast.is_of_rows(sqlstate) then raise; end if;
      refused := refused || ids[place];
      raise warning 'outlast.begin_chosen: % stays as it is: %', ids[place], sqlerrm;
    end;
  end loop;
end
$$;

create or replace function outlast.running_in(queue text, most integer)
returns bigint
language sql
stable
as $$
  -- How many of a queue are running, up to `most`.
  select count(*) from (
    select from outlast.workflow_status w
    where w.queue = running_in.queue and w.status = 'PENDING' and (w.owner is not null)::integer = 1 limit most) as r
$$;

create or replace function outlast.claim_queue(
  name text,
  me text,
  functions text[],
  room integer,
  suspects integer,
  suspect_after integer,
  bytes_left bigint,
  alone boolean,
  small bigint,
  large_bytes_left bigint,
  large_alone boolean,
  passed text[] default '{}',
  careful boolean default false,
  out claimed json[],
  out taken boolean,
  out more boolean,
  out again_s float8,
  out refused text[]
)
language plpgsql
-- Everything that is read in an order has an index for it. With statistics from when few workflows waited,
-- the planner would take another index, read all that wait, and sort.
-- guard: decisions-read-all-that-waits
set enable_sort = off
-- One plan for all decisions of a session: planning these statements takes longer than a small decision.
set plan_cache_mode = force_generic_plan
-- Such a plan doesn't know the queue. If all rows were in one queue when it was made, it would read the whole
-- table.
set enable_seqscan = off
as $$
-- Decides which workflows of one queue begin, and claims them for `me`: `claimed`. It locks the queue's row,
-- so that one instance at a time decides; if the row is locked, it returns `taken`. Each statement sees what
-- was committed before it began, so the counts below hold until the commit. It skips workflows in `passed`,
-- whose row refused a moment ago. A row that refuses now makes the decision fail. If `careful`, it stays as
-- it is and is returned in `refused`.
#variable_conflict use_column
declare
  q outlast.queues;
  o jsonb;
  t timestamptz;
  slots integer;
  places record;
  fresh integer;
  passes integer;
  keys text[];
  ranks timestamptz[];
  last_turn text;
  stage text;
  cursor_key text;
  wrapped boolean;
  weighs boolean;
  due text[];
  ids text[];
  turns integer[];
  large boolean[];
  suspect boolean[];
  sizes bigint[];
  due_at timestamptz[];
  begun integer[];
  refusing text[];
  got json[];
  got_count integer;
  in_circle integer;
  per_key integer;
  key_rate integer;
  key_rate_s float8;
  exclusive boolean;
  batch_n integer;
  batch_wait interval;
begin
  claimed := '{}';
  taken := false;
  more := false;
  refused := '{}';
  -- guard: queue-decided-by-two = select * into q from outlast.queues where queues.name = claim_queue.name;
  select * into q from outlast.queues where queues.name = claim_queue.name for no key update skip locked;
  if not found then
    taken := true;
    return;
  end if;
  o := outlast.queue_options(q.base, q.override);
  -- Never earlier than the last decision, unless the clock was set back by more than a moment. Then starts of
  -- the old clock count as now.
  t := clock_timestamp();
  -- guard: clock-set-back = if false then
  if q.decided_at > t + interval '1 s' then
    update outlast.queue_starts s set at = t where s.queue = claim_queue.name and s.at > t;
  else
    t := greatest(t, q.decided_at);
  end if;

  due := array(
    select w.workflow_id from outlast.workflow_status w
    -- guard: queue-begins-what-is-not-ready = where w.queue = claim_queue.name and w.owner is null and w.claimable_at is not null and w.rank is null and w.held is null
    where w.queue = claim_queue.name and w.owner is null and w.claimable_at <= t and w.rank is null and w.held is null
      and w.workflow_id <> all(passed)
    order by w.claimable_at limit 1000
    for no key update skip locked
  );
  -- guard: one-that-refuses-a-rank-stops-its-queue = if false then
  if careful then
    select o.refused into refused from outlast.one_by_one('rank_rows', due) as o;
  elsif cardinality(due) > 0 then
    perform outlast.rank_rows(due, '{}');
  end if;

  if o ? 'start_within' then
    due := array(
      select w.workflow_id from outlast.workflow_status w
      where w.queue = claim_queue.name and w.owner is null and w.status = 'ENQUEUED'
        and w.claimable_at < t - make_interval(secs => (o ->> 'start_within')::float8) and w.held is null
        -- A workflow that was retried, or has another one's records, has begun before.
        -- guard: expired-though-begun
        and w.generation = 1 and w.forked_from is null
        and w.workflow_id <> all(passed || refused)
      order by w.claimable_at limit 1000
      for no key update skip locked
    );
    -- guard: one-that-refuses-to-expire-stops-its-queue = if false then
    if careful then
      select claim_queue.refused || o.refused into refused
      from outlast.one_by_one('expire_rows', due, jsonb_build_object('within', o ->> 'start_within', 'queue', q.name)) as o;
    elsif cardinality(due) > 0 then
      perform outlast.expire_rows(due, jsonb_build_object('within', o ->> 'start_within', 'queue', q.name));
    end if;
  end if;
  passed := passed || refused;
  -- guard: paused-queue-goes-on
  if q.paused_at is not null then return; end if;

  slots := room;
  if o ? 'concurrency' then
    -- guard: concurrency-passed = slots := least(slots, 100000 - (
    slots := least(slots, (o ->> 'concurrency')::integer - (
      select count(*) from outlast.workflow_status w
      where w.queue = claim_queue.name and w.status = 'PENDING' and (w.owner is not null)::integer = 1));
    select * into places from outlast.leave_places(q, me, functions, (o ->> 'concurrency')::integer, slots);
    q.askers := places.askers;
    q.left_at := places.left_at;
    again_s := places.again_s;
    -- guard: one-takes-all-places
    slots := slots - places.kept;
  end if;
  if o ? 'per_instance' then
    -- guard: instance-share-passed = slots := least(slots, 100000 - (
    slots := least(slots, (o ->> 'per_instance')::integer - (
      select count(*) from outlast.workflow_status w where w.queue = claim_queue.name and w.owner = me));
  end if;

  fresh := slots;
  if o ? 'rate' then
    declare
      n integer := (o #>> '{rate,n}')::integer;
      per interval := make_interval(secs => (o #>> '{rate,per}')::float8);
      held_until timestamptz;
    begin
      if (o #>> '{rate,smooth}')::boolean then
        -- One at a time, evenly spread.
        per := per / n;
        n := 1;
      end if;
      select s.at + per into held_until from outlast.queue_starts s
      where s.queue = claim_queue.name order by s.at desc offset n - 1 limit 1;
      -- guard: rate-passed = if false then
      if held_until >= t then
        fresh := 0;
        again_s := extract(epoch from held_until - t);
      elsif n < fresh or fresh > 1 then
        fresh := least(fresh, n - (
          select count(*) from outlast.queue_starts s where s.queue = claim_queue.name and s.at >= t - per));
      end if;
    end;
  end if;
  per_key := (o ->> 'per_key')::integer;
  exclusive := coalesce((o ->> 'exclusive')::boolean, false);
  key_rate := (o #>> '{rate_per_key,n}')::integer;
  key_rate_s := (o #>> '{rate_per_key,per}')::float8;
  if (o #>> '{rate_per_key,smooth}')::boolean then
    key_rate_s := key_rate_s / key_rate;
    key_rate := 1;
  end if;
  batch_n := (o #>> '{batch,n}')::integer;
  batch_wait := make_interval(secs => (o #>> '{batch,wait}')::float8);

  -- Workflows that have begun come before new ones; the rate is only for new ones.
  foreach stage in array array['PENDING', 'ENQUEUED'] loop
    cursor_key := q.last_key;
    wrapped := cursor_key is null;
    weighs := true;
    if stage = 'ENQUEUED' then
      slots := least(slots, fresh);
    end if;
    in_circle := 0;
    passes := 0;
    while slots > 0 and passes < 50 loop
      if cardinality(refused) >= 100 then
        more := true;  -- enough for one look: the next look skips these
        exit;
      end if;
      passes := passes + 1;
      -- The next keys, each with its first rank. No text sorts between a key and that key with the least
      -- character at its end.
      with recursive circle (key, rank, n) as (
        select cursor_key collate "C", null::timestamptz, 0
        union all
        select x.queue_key, x.rank, c.n + 1
        from circle c
        cross join lateral (
          select w.queue_key, w.rank from outlast.workflow_status w
          where w.queue = claim_queue.name and w.status = stage and w.queue_key >= coalesce(c.key || e'\x01', '')
            and w.owner is null and w.claimable_at is not null and w.rank is not null and w.held is null
          order by w.queue_key, w.rank limit 1
        ) as x
        where c.n < greatest(slots, 16)
      )
      select array_agg(c.key order by c.n), array_agg(c.rank order by c.n) into keys, ranks
      from circle c where c.n > 0;
      if keys is null then
        -- The end of the circle. If a whole circle started nothing, the rest must wait.
        if wrapped and in_circle = 0 then
          exit when not weighs;
          weighs := false;  -- no key had a turn by its weight: now all have one
        end if;
        wrapped := true;
        in_circle := 0;
        cursor_key := null;
        q.round := q.round + 1;
        continue;
      end if;

      with turns as materialized (
        select k.key, k.rank, k.n, k.ripe, k.load_bytes,
          least(
            slots,
            -- Only the first workflow of a batch is claimed; it brings the others.
            case when batch_n is not null and stage = 'ENQUEUED' then 1 end,
            -- How many it may take in this round: 1, or by its weight. If there are few keys, each takes
            -- several turns at once.
            case when exclusive then 1 when weighs then
              (floor((q.round + 1) * k.weight) - floor(q.round * k.weight))
                * ceil(slots::float8 / array_length(keys, 1))
              else 1 end,
            -- guard: key-concurrency-passed = 100000 - (
            per_key - (
              select count(*) from outlast.workflow_status w
              where w.queue = claim_queue.name and w.queue_key = k.key and w.status = 'PENDING'
                and (w.owner is not null)::integer = 1),
            -- guard: key-rate-passed = case when false then key_rate - (
            case when stage = 'ENQUEUED' then key_rate - (
              select count(*) from outlast.queue_starts s
              where s.queue = claim_queue.name and s.key = k.key and s.at >= t - make_interval(secs => key_rate_s)) end
          )::bigint as free
        from (
          select u.key, u.rank, u.n, coalesce((o #>> array['weight', u.key])::float8, 1) as weight, r.ripe, r.load_bytes
          from unnest(keys, ranks) with ordinality as u (key, rank, n)
          left join outlast.queue_keys s on s.queue = claim_queue.name and s.key = u.key
          cross join lateral (
            -- A batch begins when it is full, or when one of its members has waited long enough.
            -- guard: batch-full-unseen = select t - batch_wait as ripe,
            select case when count(*) >= batch_n then t else t - batch_wait end as ripe,
              case when count(*) > 0 then least(sum(w.load_bytes), 16777216)::bigint end as load_bytes
            from (
              select w.load_bytes from outlast.workflow_status w
              where w.queue = claim_queue.name and w.status = 'ENQUEUED' and w.queue_key = u.key
                and w.owner is null and w.claimable_at is not null and w.rank is not null and w.held is null
                and w.function = any(functions)
                -- guard: refused-ones-fill-batches
                and w.workflow_id <> all(passed)
              order by w.rank
              limit case when stage = 'ENQUEUED' then coalesce(batch_n, 0) else 0 end
            ) as w
          ) as r
          -- guard: paused-key-goes-on
          where s.paused_at is null
        ) as k
      ), found as (
        select u.n, h.*
        from turns u
        cross join lateral (
          select f.*
          -- The first one separately: an index scan reads all matching rows of a page, and mostly one is
          -- needed.
          -- guard: first-of-a-key-or-none = from (values (null::timestamptz, u.rank)) as part (after, until)
          from (values (null, u.rank), (u.rank, 'infinity')) as part (after, until)
          cross join lateral (
            select w.workflow_id, w.queue_key, w.rank, w.claimable_at,
              greatest(coalesce(w.load_bytes, 0), u.load_bytes) as load_bytes,
              w.parent is null and w.load_bytes > small as large, w.recovery_attempts >= suspect_after as suspect
            from outlast.workflow_status w
            where w.queue = claim_queue.name and w.status = stage and w.queue_key = u.key
              -- guard: held-in-queues-begin = and w.owner is null and w.claimable_at is not null and w.rank is not null
              and w.owner is null and w.claimable_at is not null and w.rank is not null and w.held is null
              and w.rank <= part.until and (w.rank > part.after) is not false
              and w.function = any(functions)
              -- guard: queued-claimed-by-what-does-not-fit
              and (w.misfits is null or outlast.fits(w.function, w.misfits, me))
              and (w.recovery_attempts < suspect_after or suspects > 0)
              -- guard: refused-ones-asked-at-each-decision
              and w.workflow_id <> all(passed)
              -- guard: batch-before-its-time
              and (batch_n is null or stage = 'PENDING' or w.claimable_at <= u.ripe)
              -- One after the other: only the first of the key, even if it can't be claimed now.
              and (not exclusive or stage = 'PENDING' or w.workflow_id = (
                select x.workflow_id from outlast.workflow_status x
                where x.queue = claim_queue.name and x.status = stage and x.queue_key = u.key
                  and x.owner is null and x.claimable_at is not null and x.rank is not null and x.held is null
                order by x.rank limit 1))
              -- A workflow that refuses its rank comes before those with a rank.
              -- guard: exclusive-order-lost-by-refusals = and (true or not exists (
              and (not exclusive or stage = 'PENDING' or not exists (
                select from outlast.workflow_status x
                where x.workflow_id = any(passed) and x.queue = claim_queue.name and x.status = stage and x.queue_key = u.key
                  and x.owner is null and x.claimable_at <= t and x.rank is null and x.held is null))
              -- guard: exclusive-shared = and (true or not exists (
              and (not exclusive or stage = 'PENDING' or not exists (
                select from outlast.workflow_status x
                where x.queue = claim_queue.name and x.queue_key = u.key and x.status = 'PENDING'
                  and (x.owner is not null)::integer = any('{0,1}')))
            order by w.rank
            limit greatest(u.free, 0)
            for no key update skip locked
          ) as f
          limit greatest(u.free, 0)
        ) as h
      ), weighed as (
        select f.*,
          row_number() over w as place,
          count(*) filter (where f.suspect) over w as suspects_before,
          count(*) filter (where f.large) over w as large_before,
          sum(f.load_bytes) filter (where f.large) over w as large_bytes,
          sum(f.load_bytes) filter (where f.large is not true) over w as bytes
        from found f
        window w as (order by f.n, f.rank rows unbounded preceding)
      ), chosen as (
        select * from weighed f
        where (not f.suspect or f.suspects_before <= suspects)
          and case when f.large
            then f.large_bytes <= large_bytes_left or (f.large_before = 1 and large_alone)
            else f.bytes <= bytes_left or (f.place - f.large_before = 1 and alone) end
        order by f.n, f.rank
        limit slots
      )
      select
        array_agg(c.workflow_id order by c.n, c.rank), array_agg(c.n order by c.n, c.rank),
        array_agg(coalesce(c.large, false) order by c.n, c.rank), array_agg(c.suspect order by c.n, c.rank),
        array_agg(c.load_bytes order by c.n, c.rank), array_agg(c.claimable_at order by c.n, c.rank)
      into ids, turns, large, suspect, sizes, due_at
      from chosen c;

      got_count := 0;
      refusing := '{}';
      if ids is not null then
        -- guard: one-row-stops-its-queue = if false then
        if careful then
          select a.claimed, a.begun, a.refused into got, begun, refusing
          from outlast.begin_apart(
            claim_queue.name, me, t, stage = 'ENQUEUED' and (o ? 'rate' or o ? 'rate_per_key'),
            case when stage = 'ENQUEUED' then batch_n end, passed, ids, sizes, due_at) as a;
          passed := passed || refusing;
          refused := refused || refusing;
        else
          select c.claimed, array(select generate_subscripts(ids, 1)) into got, begun
          from outlast.begin_chosen(
            claim_queue.name, me, t, stage = 'ENQUEUED' and (o ? 'rate' or o ? 'rate_per_key'),
            case when stage = 'ENQUEUED' then batch_n end, passed, false, ids, sizes, due_at) as c;
        end if;
        claimed := claimed || got;
        got_count := cardinality(begun);
        select
          bytes_left - coalesce(sum(sizes[b.place]) filter (where not large[b.place]), 0),
          large_bytes_left - coalesce(sum(sizes[b.place]) filter (where large[b.place]), 0),
          suspects - count(*) filter (where suspect[b.place]),
          keys[max(turns[b.place])]
        into bytes_left, large_bytes_left, suspects, last_turn
        from unnest(begun) as b (place);
      end if;

      slots := slots - got_count;
      -- A workflow that refused may have kept out others of its key.
      in_circle := in_circle + got_count + cardinality(refusing);
      if got_count > 0 then
        alone := false;
        large_alone := false;
      end if;
      -- The key that took the last slot had the last turn; otherwise the circle goes on after these keys.
      cursor_key := case when slots = 0 then last_turn else keys[array_length(keys, 1)] end;
      if stage = 'ENQUEUED' then
        -- guard: begun-starve-behind-many-keys = if true then
        if not more then
          q.last_key := cursor_key;
        end if;
        fresh := fresh - got_count;
      end if;
    end loop;
    if passes >= 50 and not more then
      -- There are too many keys for one look. The next look goes on from here, and begins with workflows that
      -- have begun.
      more := true;
      q.last_key := cursor_key;
    end if;
    exit when slots <= 0 and stage = 'PENDING';
  end loop;
  -- If the rate held back starts, the next look finds out until when.
  more := more or (o ? 'rate' and fresh <= 0 and again_s is null and cardinality(claimed) > 0);

  if key_rate is not null and slots > 0 and not more then
    -- When the first workflow that its key's rate holds back may begin.
    select greatest(0.05, extract(epoch from min(s.at) + make_interval(secs => key_rate_s) - t)) into key_rate_s
    from outlast.queue_starts s
    where s.queue = claim_queue.name and s.at >= t - make_interval(secs => key_rate_s);
    again_s := least(again_s, key_rate_s);
  end if;
  if batch_n is not null then
    -- When the next one will have waited long enough.
    select least(again_s, extract(epoch from min(w.claimable_at) + batch_wait - t)) into again_s
    from (
      select w.claimable_at from outlast.workflow_status w
      where w.queue = claim_queue.name and w.owner is null and w.status = 'ENQUEUED'
        and w.claimable_at > t - batch_wait and w.claimable_at <= t and w.held is null
      order by w.claimable_at limit 1
    ) as w;
  end if;
  if slots > 0 and cardinality(claimed) = 0 then
    -- Nothing here fits this instance, so no place is left to it.
    q.askers := q.askers - me;
  end if;
  if o ? 'rate' or o ? 'rate_per_key' then
    delete from outlast.queue_starts s
    where s.queue = claim_queue.name and s.at < t - make_interval(secs => 1 + greatest(
      (o #>> '{rate,per}')::float8, (o #>> '{rate_per_key,per}')::float8));
  end if;
  update outlast.queues
  set round = q.round, last_key = q.last_key, decided_at = t, askers = q.askers, left_at = q.left_at,
      fault = null, fault_at = null
  where queues.name = claim_queue.name;
end
$$;

create or replace function outlast.is_of_rows(state text)
returns boolean
language sql
immutable
as $$
  -- Whether an error with this code comes from some rows, or from the project's own tables and triggers: then
  -- others may still succeed. Otherwise it comes from the database: a conflict, a lock, a full disk, a
  -- shutdown. What a trigger calls may raise 55000, as functions of Outlast do, so that isn't taken for a
  -- lock.
  -- guard: states-taken-for-locks = select left(state, 2) not in ('40', '53', '55', '57', '58')
  select left(state, 2) not in ('40', '53', '57', '58') and state <> '55P03'
$$;

create or replace function outlast.claim_queued(
  me text,
  functions text[],
  room integer,
  suspects integer,
  suspect_after integer,
  bytes_left bigint,
  alone boolean,
  small bigint,
  large_bytes_left bigint,
  large_alone boolean,
  apart boolean default false,
  passed text[] default '{}',
  out claimed json[],
  out more boolean,
  out again_s float8,
  out faults jsonb,
  out refused text[]
)
language plpgsql
as $$
-- Claims for `me` what may begin in all queues, except workflows in `passed`. `more`: it should look again
-- soon. `again_s`: in so many seconds the next one may begin. If a queue can't decide, or a row refuses to
-- begin, the whole call fails. It is called again with each queue `apart`: then `faults`, and the queue's
-- row, hold a queue's error, `refused` holds those rows, and all other queues have decided. A queue with an
-- error is asked again after a while.
declare
  ended text[] := outlast.ended_batches();
  queue text;
  found record;
  looks integer not null default 0;
begin
  claimed := '{}';
  more := false;
  faults := '{}';
  refused := '{}';
  -- guard: members-outlive-their-batch = if false then
  if ended is not null then
    perform outlast.end_members(ended);
  end if;
  -- One in each look, because counting a long queue takes a while.
  for queue in select q.name from outlast.queues q where outlast.count_due(q) order by q.count_at limit 1 loop
    perform outlast.count_queue(queue);
  end loop;
  -- The queue that decided longest ago comes first, since the first may leave no room to later ones.
  <<queues>>
  for queue in
    select q.name from outlast.queues q
    where outlast.queue_busy(q, clock_timestamp())
      -- guard: faulty-queues-asked-at-once
      and (q.fault_at between clock_timestamp() - interval '10 s' and clock_timestamp()) is not true
    order by q.decided_at
  loop
    exit when room <= 0;
    loop
      if apart then
        begin
          select * into found from outlast.claim_queue(
            queue, me, functions, room, suspects, suspect_after, bytes_left, alone, small, large_bytes_left, large_alone,
            passed, true);
          refused := refused || found.refused;
        exception when others then
          if not outlast.is_of_rows(sqlstate) then raise; end if;
          faults := faults || jsonb_build_object(queue, left(sqlerrm, 1000));
          update outlast.queues q set fault = left(sqlerrm, 1000), fault_at = clock_timestamp() where q.name = queue;
          again_s := least(again_s, 10);
          continue queues;
        end;
      else
        select * into found from outlast.claim_queue(
          queue, me, functions, room, suspects, suspect_after, bytes_left, alone, small, large_bytes_left, large_alone, passed);
      end if;
      -- Another instance decides, which takes a moment.
      exit when not found.taken or looks >= 10;
      looks := looks + 1;
      perform pg_sleep(0.001);
    end loop;
    claimed := claimed || found.claimed;
    more := more or found.taken or found.more;
    again_s := least(again_s, found.again_s);
    room := room - cardinality(found.claimed);
    if cardinality(found.claimed) > 0 then
      bytes_left := bytes_left - (select sum((each ->> 'load_bytes')::bigint) from unnest(found.claimed) each);
      alone := false;
      large_alone := false;
      large_bytes_left := least(large_bytes_left, bytes_left);
      suspects := 0;
    end if;
  end loop;
end
$$;

-- Calls that another workflow absorbed: of the same key within a time (debounce), or while the key was busy
-- (attach).
create table if not exists outlast.attached (
  workflow_id text primary key,
  target text not null references outlast.workflow_status on delete cascade,
  fingerprint text,
  payload text,
  created_at timestamptz not null default now(),
  parent text
);

comment on table outlast.attached is 'Calls that have no workflow of their own: each has the result of its target.';
comment on column outlast.attached.parent is 'The workflow that made the call, and may read its result.';

create index if not exists attached_of_target on outlast.attached (target);
create or replace function outlast.key_of(input text, path text)
returns text
language sql
immutable
as $$
  -- As in core/queues.py: texts, whole numbers and booleans; null for other values.
  select case
    when jsonb_typeof(found) in ('string', 'boolean') then nullif(found #>> '{}', '')
    when jsonb_typeof(found) = 'number' and found #>> '{}' ~ '^-?\d+$' then found #>> '{}'
  end
  from (select input::jsonb #> string_to_array(path, '.')) as at_path (found)
$$;

create or replace function outlast.is_of_caller(w outlast.workflow_status, subject text, claims text)
returns boolean
language sql
immutable
as $$
  -- Whether a workflow belongs to that caller. Without a user the role decides: a holder of a secret key and
  -- one of the publishable key are different callers.
  select w.subject is not distinct from is_of_caller.subject
    -- guard: strangers-taken-for-the-service
    and coalesce(w.claims::jsonb ->> 'role', 'anon') = coalesce(is_of_caller.claims::jsonb ->> 'role', 'anon')
$$;

create or replace function outlast.enqueue(
  workflow_id text,
  function text,
  input text,
  request text,
  idempotency_key text,
  fingerprint text,
  subject text,
  claims text,
  queue text,
  queue_key text,
  priority integer,
  delay_s float8,
  version text,
  parent text,
  deadline_s float8,
  nonce bigint,
  tick text,
  attributes text default null,
  timeout_s float8 default null,
  out outcome text,
  out target text,
  out retry_s float8
)
language plpgsql
as $$
-- Inserts one workflow that waits to be claimed, if the rules at its queue's door allow it. `outcome`:
-- started; exists; attached (to `target`). For key_missing, not_in_batches, queue_full, rate_limited (try
-- again in `retry_s`) and queue_busy (with `target`) nothing was written.
#variable_conflict use_column
declare
  q outlast.queues;
  o jsonb := jsonb_build_object();
  key text := coalesce(enqueue.queue_key, '');
  t timestamptz;
  at timestamptz;
  per interval;
  backlog_max bigint;
  exact boolean;
  since timestamptz;
  counts_from json;
begin
  if enqueue.queue is not null then
    select * into q from outlast.queues where queues.name = enqueue.queue;
    if not found then
      -- A queue that no code declares has no limits.
      insert into outlast.queues (name) values (enqueue.queue) on conflict do nothing;
      q.base := '{}';
    end if;
    o := outlast.queue_options(q.base, q.override);
    if o ? 'key' and enqueue.queue_key is null then
      key := case when jsonb_typeof(o -> 'key') = 'string' then outlast.key_of(enqueue.input, o ->> 'key') end;
      if key is null or length(key) > 255 then
        outcome := 'key_missing';
        return;
      end if;
    end if;
    -- guard: any-function-in-a-batch = if false then
    if o ? 'batch' and not enqueue.function = any(q.functions) then
      outcome := 'not_in_batches';
      return;
    end if;
    backlog_max := coalesce((o ->> 'max_backlog')::bigint, 1000000);
    exact := backlog_max <= 10000;
    if exact or o ? 'drop' or o ? 'debounce' or coalesce(o ->> 'on_busy', 'wait') <> 'wait' then
      -- One call at a time passes this door: counts made after it hold until the commit. It is a row: above
      -- READ COMMITTED a transaction that waited only for a lock would count by its old snapshot. With a row
      -- it fails (40001).
      -- guard: door-passed-by-two
      insert into outlast.queue_doors as d (queue, passed) values (enqueue.queue, 1) on conflict (queue) do update set passed = d.passed + 1;
    end if;
  end if;
  if exists (select from outlast.workflow_status w where w.workflow_id = enqueue.workflow_id)
    or exists (select from outlast.attached a where a.workflow_id = enqueue.workflow_id)
  then
    outcome := 'exists';
    return;
  end if;
  t := clock_timestamp();
  at := t + make_interval(secs => coalesce(delay_s, 0));
  if enqueue.version is null then
    -- A workflow started from SQL gets its timeout from the instance that claims it.
    -- guard: delays-use-up-timeouts-of-sql = counts_from := null;
    counts_from := json_build_object('counts_from_s', extract(epoch from at)::float8);
  end if;

  if o ? 'drop' then
    per := make_interval(secs => (o #>> '{drop,per}')::float8);
    delete from outlast.queue_starts s where s.queue = enqueue.queue || '/calls' and s.at < t - per;
    -- Calls dated in the future, by a clock that was set back, count as now.
    update outlast.queue_starts s set at = t
    -- guard: clock-set-back-at-the-door = where false;
    where s.queue = enqueue.queue || '/calls' and s.at > t + interval '1 s';
    select s.at into since from outlast.queue_starts s
    where s.queue = enqueue.queue || '/calls'
    order by s.at desc offset (o #>> '{drop,n}')::integer - 1 limit 1;
    -- guard: drop-passed = if false then
    if since is not null then
      outcome := 'rate_limited';
      retry_s := extract(epoch from since + per - t);
      return;
    end if;
  end if;
  -- A delayed call isn't there yet: it waits for its time, and then for its turn.
  -- guard: delayed-calls-replace = if coalesce(o ->> 'on_busy', 'wait') <> 'wait' then
  if coalesce(o ->> 'on_busy', 'wait') <> 'wait' and at = t then
    select w.workflow_id into target from outlast.workflow_status w
    where w.queue = enqueue.queue and w.queue_key = key and w.status = 'PENDING' and (w.owner is not null)::integer = any('{0,1}')
      and outlast.is_of_caller(w, enqueue.subject, enqueue.claims)
    union all
    select w.workflow_id from outlast.workflow_status w
    where w.queue = enqueue.queue and w.queue_key = key and w.status = 'ENQUEUED'
      and w.owner is null and w.claimable_at is not null and w.rank is not null and w.held is null
      and outlast.is_of_caller(w, enqueue.subject, enqueue.claims)
    union all
    select w.workflow_id from outlast.workflow_status w
    -- A retried workflow has no rank until the next decision, and a paused queue makes none.
    -- guard: unranked-unseen-at-the-door = where false
    where w.queue = enqueue.queue and w.queue_key = key and w.status = 'ENQUEUED'
      and w.owner is null and w.claimable_at <= t and w.rank is null and w.held is null
      and outlast.is_of_caller(w, enqueue.subject, enqueue.claims)
    limit 1;
    if o ->> 'on_busy' = 'replace' then
      perform outlast.cancel_workflows(
        array(
          select x.workflow_id from outlast.workflow_status x
          where x.queue = enqueue.queue and x.queue_key = key and x.status = 'PENDING' and (x.owner is not null)::integer = any('{0,1}')
          union all
          select x.workflow_id from outlast.workflow_status x
          where x.queue = enqueue.queue and x.queue_key = key and x.status = 'ENQUEUED'
            and x.owner is null and x.claimable_at is not null and x.rank is not null and x.held is null
          union all
          select x.workflow_id from outlast.workflow_status x
          where x.queue = enqueue.queue and x.queue_key = key and x.status = 'ENQUEUED'
            and x.owner is null and x.claimable_at <= t and x.rank is null and x.held is null
        ),
        -- The owner of the replaced workflow reads this, and may be another caller.
        -- guard: replaced-by-a-name = 'replaced by ' || enqueue.workflow_id || ' in queue ' || q.name);
        'replaced by a newer call of its key in queue ' || q.name);
      target := null;
    elsif target is not null and o ->> 'on_busy' = 'attach' then
      insert into outlast.attached (workflow_id, target, fingerprint, payload, parent)
      values (enqueue.workflow_id, target, enqueue.fingerprint, md5(enqueue.input::jsonb::text), enqueue.parent);
      outcome := 'attached';
      return;
    elsif target is not null or exists (
      select from outlast.workflow_status w
      where w.queue = enqueue.queue and w.queue_key = key and w.status = 'PENDING' and (w.owner is not null)::integer = any('{0,1}')
    ) or exists (
      select from outlast.workflow_status w
      -- guard: strangers-that-wait-unseen = where false
      where w.queue = enqueue.queue and w.queue_key = key and w.status = 'ENQUEUED'
        and w.owner is null and w.claimable_at is not null and w.rank is not null and w.held is null
    ) or exists (
      select from outlast.workflow_status w
      where w.queue = enqueue.queue and w.queue_key = key and w.status = 'ENQUEUED'
        and w.owner is null and w.claimable_at <= t and w.rank is null and w.held is null
    ) then
      -- Another caller's workflow isn't named. Callers without a user count as different callers, since an id
      -- holds the key of its call.
      -- guard: keys-of-strangers-told = if false then
      if enqueue.subject is null and coalesce(enqueue.claims::jsonb ->> 'role', 'anon') <> 'service_role' then
        target := null;
      end if;
      outcome := 'queue_busy';
      return;
    end if;
  end if;
  if o ? 'debounce' then
    select w.workflow_id, w.created_at into target, since from outlast.workflow_status w
    -- Workflows of the key, ready or not, each by its own index: a look at all waiting ones would take longer
    -- the more wait.
    where w.workflow_id = any(array(
        select x.workflow_id from outlast.workflow_status x
        where x.queue = enqueue.queue and x.queue_key = key and x.status = 'ENQUEUED'
          and x.owner is null and x.claimable_at is not null and x.rank is null and x.held is null
        union all
        select x.workflow_id from outlast.workflow_status x
        where x.queue = enqueue.queue and x.queue_key = key and x.status = 'ENQUEUED'
          and x.owner is null and x.claimable_at is not null and x.rank is not null and x.held is null
      ))
      and w.status = 'ENQUEUED' and w.owner is null and w.claimable_at is not null and w.held is null
      and w.function = enqueue.function and outlast.is_of_caller(w, enqueue.subject, enqueue.claims)
      -- Recorded outcomes belong to the input that they were made with.
      -- guard: debounce-under-records
      and w.generation = 1 and w.forked_from is null
    order by w.created_at desc limit 1
    for no key update;
    if target is not null then
      insert into outlast.attached (workflow_id, target, fingerprint, payload)
      select w.workflow_id, w.workflow_id, w.fingerprint, md5(w.input::jsonb::text)
      from outlast.workflow_status w where w.workflow_id = target
      on conflict do nothing;
      insert into outlast.attached (workflow_id, target, fingerprint, payload, parent)
      values (enqueue.workflow_id, target, enqueue.fingerprint, md5(enqueue.input::jsonb::text), enqueue.parent);
      -- The last call wins: it runs with the rights of its caller.
      update outlast.workflow_status w
      set input = enqueue.input::json, request = enqueue.request::json, version = enqueue.version,
          claims = enqueue.claims::json,
          load_bytes = outlast.load_bytes_of(enqueue.input) + coalesce(outlast.load_bytes_of(enqueue.request), 0),
          -- If ticks of a schedule are merged, the last one counts, from the time before the first.
          tick = case
            when enqueue.tick is null then w.tick
            when w.tick ->> 'schedule' = enqueue.tick::json ->> 'schedule' then
              (enqueue.tick::jsonb || jsonb_build_object('previous', w.tick -> 'previous'))::json
            else enqueue.tick::json end,
          priority = coalesce(enqueue.priority, 0), attributes = enqueue.attributes::json,
          deadline = to_timestamp(enqueue.deadline_s), timeout_s = enqueue.timeout_s, born = counts_from, rank = null,
          updated_at = now(),
          -- Never before its own delay. `at_most` ends the quiet time, but doesn't shorten a delay of earlier
          -- calls.
          -- guard: debounce-without-delay = claimable_at = (
          claimable_at = greatest(at,
            least(
              t + make_interval(secs => (o #>> '{debounce,quiet}')::float8),
              greatest(since + make_interval(secs => (o #>> '{debounce,at_most}')::float8), w.claimable_at)))
      where w.workflow_id = target;
      outcome := 'attached';
      return;
    end if;
    at := at + make_interval(secs => (o #>> '{debounce,quiet}')::float8);
  end if;
  -- A small bound is kept exactly, a large one by the last count.
  if (case when exact then (
    select count(*) from (
      select from outlast.workflow_status w
      where w.queue = enqueue.queue and w.owner is null and w.claimable_at is not null
      limit backlog_max
    ) as waiting
  -- guard: door-without-bound = ) is null else q.backlog >= backlog_max end) then
  ) >= backlog_max else q.backlog >= backlog_max end) then
    outcome := 'queue_full';
    retry_s := 1;
    return;
  end if;
  if o ? 'drop' then
    insert into outlast.queue_starts (queue, key, at) values (enqueue.queue || '/calls', key, t);
  end if;

  with new as (
    select
      enqueue.workflow_id, enqueue.function, enqueue.input, enqueue.request, enqueue.idempotency_key,
      enqueue.fingerprint, enqueue.subject, enqueue.claims, enqueue.queue, key as queue_key,
      coalesce(enqueue.priority, 0) as priority, extract(epoch from at - t)::float8 as delay, enqueue.attributes,
      enqueue.version, enqueue.parent, to_timestamp(enqueue.deadline_s) as deadline,
      outlast.load_bytes_of(enqueue.input) + coalesce(outlast.load_bytes_of(enqueue.request), 0) as load_bytes,
      enqueue.nonce, enqueue.tick, enqueue.timeout_s, null as owner, t as at
  )
  -- Waits for another transaction with the same key; above READ COMMITTED it may then fail (40001).
  insert into outlast.workflow_status as w (
    workflow_id, function, input, request, idempotency_key, fingerprint, subject, claims, queue, queue_key, priority,
    attributes, version, parent, deadline, load_bytes, nonce, tick, timeout_s, owner, epoch, status, claimable_at, rank,
    started_at, created_at, updated_at
  )
  select
    n.workflow_id, n.function, n.input::json, n.request::json, n.idempotency_key, n.fingerprint, n.subject,
    n.claims::json, n.queue, n.queue_key, n.priority, n.attributes::json, n.version, n.parent, n.deadline,
    n.load_bytes, n.nonce, n.tick::json, n.timeout_s, n.owner,
    case when n.owner is null then 0 else 1 end,
    case when n.owner is null then 'ENQUEUED' else 'PENDING' end,
    case when n.owner is null then n.at + make_interval(secs => n.delay) end,
    -- By the clock, so that workflows of one commit keep their order. A delayed one is ready later.
    case when n.owner is null and n.queue is not null and n.delay = 0 then
      clock_timestamp() - make_interval(secs => n.priority) end,
    case when n.owner is not null then n.at end,
    n.at, n.at
  from new n
  where n.workflow_id is not null
  on conflict (workflow_id) do nothing;
  outcome := case when found then 'started' else 'exists' end;
  if outcome = 'started' and counts_from is not null and enqueue.delay_s > 0 then
    update outlast.workflow_status w set born = counts_from where w.workflow_id = enqueue.workflow_id;
  end if;
end
$$;

select outlast.take_rights(
  '20261128230000',
  functions => array[
    'queue_options', 'newer_declared', 'declare_queues', 'queue_of', 'is_late', 'queue_busy', 'time_in', 'key_of', 'count_queue',
    'count_due', 'queues_busy', 'full_queues', 'join_batch', 'begin_batch', 'open_members', 'ended_batches', 'end_member_rows', 'end_members',
    'leave_places', 'rank_rows', 'expire_rows', 'begin_chosen', 'begin_apart', 'running_in', 'claim_queue',
    'is_of_rows', 'claim_queued', 'is_of_caller', 'enqueue', 'backlog_max'],
  tables => array['queues', 'queue_keys', 'queue_starts', 'queue_doors', 'messages_aside', 'attached']);

insert into outlast.schema_migrations (version) values ('20261128230000') on conflict do nothing;
