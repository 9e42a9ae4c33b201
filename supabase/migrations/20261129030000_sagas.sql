-- Sagas: a workflow that is cancelled undoes first what it has done. Every statement may run twice.

alter table outlast.workflow_status
  add column if not exists saga text check (saga in ('open', 'stopping', 'undoing')),
  add column if not exists stop json;
comment on column outlast.workflow_status.saga is
  'Of one that has noted what would undo its steps: open; stopping, when it was cancelled; undoing, when its body knows.';
comment on column outlast.workflow_status.stop is 'The error that a cancelled workflow ends with, once all is undone.';

create index if not exists workflow_status_stopping on outlast.workflow_status (owner) where saga = 'stopping';

create or replace function outlast.cancel_workflows(ids text[], message text, nonce bigint default null)
returns table (workflow_id text, status text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
-- The raised epoch refuses every later write of whoever runs it. What has something to undo goes on until it is undone:
-- its owner is told, or it is claimable at once. Once that has begun another cancel changes nothing.
#variable_conflict use_column
declare
  found record;
  undoes boolean := false;
begin
  for found in
    update outlast.workflow_status w
    set status = case when w.saga is null then 'CANCELLED' else w.status end,
        -- guard: cancel-keeps-owner
        owner = case when w.saga is not null then w.owner end,
        -- guard: cancel-keeps-epoch
        epoch = case when w.saga is null then w.epoch + 1 else w.epoch end,
        claimable_at = case
          when w.saga = 'open' and w.owner is null then now()
          when w.saga is not null then w.claimable_at
        end,
        rank = case when w.saga is not null then w.rank end,
        nonce = coalesce(cancel_workflows.nonce, floor(random() * 9007199254740992)::bigint),
        error = case when w.saga is null
          then json_build_object('code', 'workflow_cancelled', 'message', cancel_workflows.message) end,
        stop = case
          when w.saga = 'open' then json_build_object('code', 'workflow_cancelled', 'message', cancel_workflows.message)
          else w.stop end,
        saga = case when w.saga = 'open' then 'stopping' else w.saga end,
        completed_at = case when w.saga is null then now() end,
        updated_at = now()
    where w.workflow_id = any(ids)
      -- guard: cancel-of-the-ended
      and w.status in ('ENQUEUED', 'PENDING')
    returning w.workflow_id, w.status, w.saga
  loop
    workflow_id := found.workflow_id;
    status := found.status;
    undoes := undoes or found.saga is not null;
    return next;
  end loop;
  if undoes then
    perform outlast.tell_due();
  end if;
end
$$;

comment on function outlast.cancel_workflows(text[], text, bigint) is
  'Cancel live workflows: CANCELLED at once, or PENDING until what their sagas have done is undone.';

create or replace function outlast.cancel_any(workflow_id text)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from outlast.cancel_workflows(array[cancel_any.workflow_id], 'the workflow was cancelled');
  if not found then
    return false;
  end if;
  perform outlast.tell_untold();
  return true;
end
$$;

create or replace function outlast.stops_of(instance text)
returns json
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(json_object_agg(w.workflow_id, w.stop::text), '{}') from outlast.workflow_status w
  where w.owner = instance and w.saga = 'stopping'
$$;

create or replace function outlast.undoing_on(workflow_id text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- How far the last saga is that began to undo and has not ended.
  with notes as (
    select o.name, o.output, o.completion_order
    from outlast.operation_outputs o
    where o.workflow_id = undoing_on.workflow_id and o.kind = 'undo' and o.name in ('undoing', 'undone')
  ), began as (
    select n.completion_order, (n.output ->> 'total')::integer as total
    from notes n where n.name = 'undoing' order by n.completion_order desc limit 1
  ), done as (
    select b.total, (select count(*) from notes n where n.name = 'undone' and n.completion_order > b.completion_order) as number
    from began b
  )
  select case
      when d.number < d.total then 'undoing: ' || d.number || ' of ' || d.total
        || case when w.owner is null and w.claimable_at > clock_timestamp()
          then ', tries again at ' || outlast.at_text(w.claimable_at) else '' end
      when w.saga in ('stopping', 'undoing') then 'undoing'
    end
  from outlast.workflow_status w left join done d on true
  where w.workflow_id = undoing_on.workflow_id and w.saga is not null and w.status = 'PENDING'
$$;

create or replace function outlast.waiting_for(workflow_id text, whole boolean)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    outlast.undoing_on(waiting_for.workflow_id),
    (select outlast.ends_text(w, whole) from outlast.workflow_status w where w.workflow_id = waiting_for.workflow_id),
    outlast.waiting_on_as(waiting_for.workflow_id, whole))
$$;

-- As they were, but for how they cancel.

create or replace function outlast.cancel_children(parents text[], most integer)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
-- Cancels what the cancelled ones of these have started, `most` of them; how many. One that is written just now is left.
#variable_conflict use_column
declare
  cancelled integer;
begin
  with family as (
    select c.workflow_id from outlast.workflow_status c
    where c.parent in (
        select p.workflow_id from outlast.workflow_status p
        where p.workflow_id = any(parents) and p.status = 'CANCELLED')
      and c.status in ('ENQUEUED', 'PENDING')
      -- guard: detached-children-cancelled
      and not c.detached
      -- What undoes is cancelled already.
      and coalesce(c.saga, 'open') = 'open'
    limit most
    for no key update of c skip locked
  )
  select count(*) into cancelled from outlast.cancel_workflows(
    array(select f.workflow_id from family f), 'the workflow that started it was cancelled');
  return cancelled;
end
$$;

create or replace function outlast.tell_untold(out woken integer, out more boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
-- Tells of ends that were not told of yet: wakes who waits, and cancels the children of what was cancelled, generation
-- after generation, some thousands in one commit. What is left is seen to by the next claim of any instance.
declare
  most constant integer not null default 5000;
  told text[];
  cancelled integer := 0;
  passed integer;
  done integer;
begin
  woken := 0;
  more := false;
  -- Above it a snapshot may be older than a wait. Then the next claim tells.
  -- guard: told-from-an-old-snapshot = if false then
  if current_setting('transaction_isolation') <> 'read committed' then
    return;
  end if;
  loop
    told := array(
      select w.workflow_id from outlast.workflow_status w
      where w.untold and w.status not in ('ENQUEUED', 'PENDING')
        and (w.parent is not null or w.awaited or (w.status = 'CANCELLED' and w.started_at is not null))
      limit 1000
      for no key update skip locked);
    exit when cardinality(told) = 0;
    passed := outlast.cancel_children(told, most - cancelled);
    cancelled := cancelled + passed;
    woken := woken + outlast.tell_ends(told);
    update outlast.workflow_status w set untold = false
    -- guard: cancels-stop-halfway = where w.workflow_id = any(told) or (w.status = 'CANCELLED' and exists (
    where w.workflow_id = any(told) and not (w.status = 'CANCELLED' and exists (
      select from outlast.workflow_status c
      where c.parent = w.workflow_id and c.status in ('ENQUEUED', 'PENDING') and not c.detached
        and coalesce(c.saga, 'open') = 'open'));
    get diagnostics done = row_count;
    more := done < cardinality(told);
    exit when cancelled >= most or (passed = 0 and done = 0);
  end loop;
  more := more or cancelled >= most;
  if not exists (select from outlast.waits w where w.due or w.target is null) then
    return;
  end if;
  woken := woken + outlast.wake_due();
end
$$;

create or replace function outlast.stop_maps(most integer default 10000)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
-- Of maps that have failed: removes items that have not begun, and cancels running ones where the map says so. Whether
-- more is to be done.
declare
  id text;
  on_fail text;
  dropped integer;
  cancelled text[];
  more boolean := false;
begin
  for id, on_fail in
    select w.workflow_id, w.map ->> 'on_fail' from outlast.queues q
    join outlast.workflow_status w on w.workflow_id = q.name
    where position('/map.' in q.name) > 0 and w.map is not null and (
      (w.map ->> 'stopped')::boolean
      -- Whose workflow ended without waiting for it.
      or not exists (select from outlast.workflow_status p where p.workflow_id = w.parent and p.status = 'PENDING')
    )
    order by w.workflow_id
    for no key update of w skip locked
  loop
    update outlast.workflow_status x set map = x.map::jsonb || '{"stopped": true}'
    where x.workflow_id = id and not (x.map ->> 'stopped')::boolean;
    with waiting as (
      select x.workflow_id from outlast.workflow_status x
      where x.queue = id and x.owner is null and x.claimable_at is not null and x.status = 'ENQUEUED'
      limit most for update skip locked
    ), gone as (
      delete from outlast.workflow_status x using waiting g where x.workflow_id = g.workflow_id returning 1
    )
    select count(*) into dropped from gone;
    if dropped > 0 then
      update outlast.workflow_status x
      set map = x.map::jsonb || jsonb_build_object('dropped', coalesce((x.map ->> 'dropped')::integer, 0) + dropped)
      where x.workflow_id = id;
    end if;
    cancelled := '{}';
    if on_fail = 'cancel' then
      cancelled := array(
        select c.workflow_id from outlast.cancel_workflows(array(
          select x.workflow_id from outlast.workflow_status x
          where x.queue = id and x.status = 'PENDING' and coalesce(x.saga, 'open') = 'open'
          limit most for no key update skip locked
        ), 'its map failed and cancels what runs') c);
    end if;
    more := more or dropped = most or cardinality(cancelled) = most;
    if outlast.look_at_map(id) then
      perform outlast.tell_ends(array[id]);
    end if;
  end loop;
  return more;
end
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
  out outcome text,
  out target text,
  out retry_s float8
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
-- Inserts one workflow that waits to be claimed, if the rules at its queue's door let it in. `outcome`: started;
-- exists; attached (to `target`); key_missing, not_in_batches, queue_full, rate_limited (try again in `retry_s`) or
-- queue_busy (with `target`), and then nothing was written.
#variable_conflict use_column
declare
  q outlast.queues;
  o jsonb := jsonb_build_object();
  key text := coalesce(enqueue.queue_key, '');
  t timestamptz;
  at timestamptz;
  per interval;
  door boolean;
  since timestamptz;
begin
  if enqueue.queue is not null then
    select * into q from outlast.queues where queues.name = enqueue.queue;
    if not found then
      -- One that no code declares has no limits.
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
    door := o ? 'drop' or o ? 'debounce' or coalesce(o ->> 'on_busy', 'wait') <> 'wait'
      or coalesce((o ->> 'max_backlog')::bigint, 1000000) <= 10000;
    if door then
      -- One at a time passes this door: what is counted behind it holds until the commit. It is a row, since above
      -- READ COMMITTED whoever waited for a lock alone would count what was there before (so it fails, 40001).
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

  if o ? 'drop' then
    per := make_interval(secs => (o #>> '{drop,per}')::float8);
    delete from outlast.queue_starts s where s.queue = enqueue.queue || '/calls' and s.at < t - per;
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
  if coalesce(o ->> 'on_busy', 'wait') <> 'wait' then
    select w.workflow_id into target from outlast.workflow_status w
    where w.queue = enqueue.queue and w.queue_key = key and w.status = 'PENDING'
      and w.subject is not distinct from enqueue.subject
    union all
    select w.workflow_id from outlast.workflow_status w
    where w.queue = enqueue.queue and w.queue_key = key and w.status = 'ENQUEUED'
      and w.owner is null and w.claimable_at is not null and w.rank is not null
      and w.subject is not distinct from enqueue.subject
    limit 1;
    if o ->> 'on_busy' = 'replace' then
      perform outlast.cancel_workflows(
        array(
          select x.workflow_id from outlast.workflow_status x
          where x.queue = enqueue.queue and x.queue_key = key and x.status = 'PENDING'
          union all
          select x.workflow_id from outlast.workflow_status x
          where x.queue = enqueue.queue and x.queue_key = key and x.status = 'ENQUEUED'
            and x.owner is null and x.claimable_at is not null and x.rank is not null
        ),
        'replaced by ' || enqueue.workflow_id || ' in queue ' || q.name);
      target := null;
    elsif target is not null and o ->> 'on_busy' = 'attach' then
      insert into outlast.attached (workflow_id, target, fingerprint, payload)
      values (enqueue.workflow_id, target, enqueue.fingerprint, md5(enqueue.input::jsonb::text));
      outcome := 'attached';
      return;
    elsif target is not null or exists (
      select from outlast.workflow_status w
      where w.queue = enqueue.queue and w.queue_key = key and w.status = 'PENDING'
    ) then
      -- Of another caller's nothing is told.
      outcome := 'queue_busy';
      return;
    end if;
  end if;
  if o ? 'debounce' then
    select w.workflow_id, w.created_at into target, since from outlast.workflow_status w
    where w.queue = enqueue.queue and w.queue_key = key and w.status = 'ENQUEUED' and w.owner is null
      and w.function = enqueue.function and w.subject is not distinct from enqueue.subject
      and w.claimable_at is not null
    order by w.created_at desc limit 1
    for no key update;
    if target is not null then
      insert into outlast.attached (workflow_id, target, fingerprint, payload)
      select w.workflow_id, w.workflow_id, w.fingerprint, md5(w.input::jsonb::text)
      from outlast.workflow_status w where w.workflow_id = target
      on conflict do nothing;
      insert into outlast.attached (workflow_id, target, fingerprint, payload)
      values (enqueue.workflow_id, target, enqueue.fingerprint, md5(enqueue.input::jsonb::text));
      -- The last input wins.
      update outlast.workflow_status w
      set input = enqueue.input::json, request = enqueue.request::json, version = enqueue.version,
          load_bytes = outlast.load_bytes_of(enqueue.input) + coalesce(outlast.load_bytes_of(enqueue.request), 0),
          rank = null, updated_at = now(),
          claimable_at = least(
            t + make_interval(secs => (o #>> '{debounce,quiet}')::float8),
            since + make_interval(secs => (o #>> '{debounce,at_most}')::float8))
      where w.workflow_id = target;
      outcome := 'attached';
      return;
    end if;
    at := at + make_interval(secs => (o #>> '{debounce,quiet}')::float8);
  end if;
  if door and (
    select count(*) from (
      select from outlast.workflow_status w
      where w.queue = enqueue.queue and w.owner is null and w.claimable_at is not null
      limit (o ->> 'max_backlog')::bigint
    ) as waiting
  -- guard: door-without-bound = ) is null then
  ) >= (o ->> 'max_backlog')::bigint then
    outcome := 'queue_full';
    retry_s := 1;
    return;
  elsif not coalesce(door, false) and q.backlog >= coalesce((o ->> 'max_backlog')::bigint, 1000000) then
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
      coalesce(enqueue.priority, 0) as priority, extract(epoch from at - t)::float8 as delay, null as attributes,
      enqueue.version, enqueue.parent, to_timestamp(enqueue.deadline_s) as deadline,
      outlast.load_bytes_of(enqueue.input) + coalesce(outlast.load_bytes_of(enqueue.request), 0) as load_bytes,
      enqueue.nonce, enqueue.tick, null as owner, t as at
  )
  -- Waits for another transaction that has the same key; above READ COMMITTED it may fail then (40001).
  insert into outlast.workflow_status as w (
    workflow_id, function, input, request, idempotency_key, fingerprint, subject, claims, queue, queue_key, priority,
    attributes, version, parent, deadline, load_bytes, nonce, tick, owner, epoch, status, claimable_at, rank,
    started_at, created_at, updated_at
  )
  select
    n.workflow_id, n.function, n.input::json, n.request::json, n.idempotency_key, n.fingerprint, n.subject,
    n.claims::json, n.queue, n.queue_key, n.priority, n.attributes::json, n.version, n.parent, n.deadline,
    n.load_bytes, n.nonce, n.tick::json, n.owner,
    case when n.owner is null then 0 else 1 end,
    case when n.owner is null then 'ENQUEUED' else 'PENDING' end,
    case when n.owner is null then n.at + make_interval(secs => n.delay) end,
    -- By the clock, so that those of one commit stand in their order. What has a delay is ready later.
    case when n.owner is null and n.queue is not null and n.delay = 0 then
      clock_timestamp() - make_interval(secs => n.priority) end,
    case when n.owner is not null then n.at end,
    n.at, n.at
  from new n
  where n.workflow_id is not null
  on conflict (workflow_id) do nothing;
  outcome := case when found then 'started' else 'exists' end;
end
$$;

create or replace function outlast.tick_schedules(orders jsonb)
returns table (schedule text, outcome text, workflow_id text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
-- Does what an instance has decided about schedules, if they are still as it saw them. A tick's workflow and the move
-- to the next tick are one commit. `outcome`: started, skipped, waits, moved, paused.
#variable_conflict use_column
declare
  o record;
  s outlast.schedules;
  running text[];
  blocked boolean;
  start_at timestamptz;
  still_waits timestamptz;
  skipped_at timestamptz;
  failed text;
  refusal text;
  id text;
  m timestamptz;
begin
  for o in
    select * from jsonb_to_recordset(orders) as r (
      name text, revision bigint, nominal timestamptz, late_s float8, missed timestamptz[], missed_count bigint,
      next_nominal timestamptz, next_at timestamptz, upcoming timestamptz[])
    order by name  -- in the same order everywhere
  loop
    select * into s from outlast.schedules t
    where t.name = o.name
      and t.paused_at is null and t.orphaned_at is null and t.ended_at is null and t.fault is null
      -- guard: tick-decided-by-an-older-row
      and t.revision = o.revision
    for no key update skip locked;
    continue when not found;
    schedule := s.name;
    workflow_id := null;

    if s.pause_after is not null and (o.nominal is not null or s.waiting_at is not null) then
      failed := outlast.failures_in_a_row(s);
      -- guard: failures-in-a-row-unseen = if false then
      if failed is not null then
        update outlast.schedules t
        set paused_at = clock_timestamp(), paused_by = 'outlast', revision = t.revision + 1,
            paused_why = s.pause_after || ' failures in a row, the last one ' || failed
        where t.name = s.name;
        outcome := 'paused';
        return next;
        continue;
      end if;
    end if;

    running := case when s.overlap <> 'allow' then array(
      select w.workflow_id from outlast.workflow_status w
      where w.tick is not null and w.tick ->> 'schedule' = s.name and w.completed_at is null
      limit 1000
    ) else '{}' end;
    -- guard: overlap-unseen = blocked := false;
    blocked := s.overlap in ('skip', 'wait') and cardinality(running) > 0;
    start_at := case when not blocked then coalesce(s.waiting_at, o.nominal) end;
    still_waits := case
      when blocked and s.overlap = 'wait' then coalesce(s.waiting_at, o.nominal)
      when not blocked and s.waiting_at is not null then o.nominal
    end;
    skipped_at := case when blocked and (s.overlap = 'skip' or s.waiting_at is not null) then o.nominal end;

    if s.overlap = 'cancel' and start_at is not null then
      perform outlast.cancel_workflows(running, 'the next tick of its schedule came');
    end if;

    refusal := null;
    if start_at is not null then
      id := 'schedule:' || s.name || ':' || to_char(start_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
      refusal := outlast.start_tick(s, id, start_at);
      if refusal is null then
        workflow_id := id;
        if o.late_s is not null and s.waiting_at is null then
          perform outlast.note_tick(
            s.name, start_at, 'late', 'run ' || round(o.late_s) || ' s late: no instance was there', 1, id);
        end if;
      else
        perform outlast.note_tick(s.name, start_at, 'skipped', refusal, 1, null);
      end if;
    end if;
    if skipped_at is not null then
      perform outlast.note_tick(
        s.name, skipped_at, 'skipped', running[1] || ' still runs'
          || case when s.overlap = 'wait' then ', and another tick waits' else '' end, 1, running[1]);
    end if;
    if o.missed_count > cardinality(o.missed) then
      perform outlast.note_tick(
        s.name, s.nominal_at, 'missed', 'no instance was there; this one and later ones',
        o.missed_count - cardinality(o.missed), null);
    end if;
    foreach m in array coalesce(o.missed, '{}') loop
      perform outlast.note_tick(s.name, m, 'missed', 'no instance was there', 1, null);
    end loop;

    update outlast.schedules t
    set nominal_at = o.next_nominal,
        next_at = o.next_at,
        upcoming = coalesce(o.upcoming, '{}'),
        waiting_at = still_waits,
        last_at = case when workflow_id is not null then start_at else t.last_at end,
        ticked = t.ticked + (o.nominal is not null)::integer,
        started = t.started + (workflow_id is not null)::integer,
        skipped = t.skipped + (skipped_at is not null)::integer + (refusal is not null)::integer,
        missed = t.missed + coalesce(o.missed_count, 0),
        ended_at = case when o.next_at is null and still_waits is null then clock_timestamp() end,
        -- guard: tick-keeps-its-revision = revision = t.revision
        revision = t.revision + 1
    where t.name = s.name;
    outcome := case
      when workflow_id is not null then 'started' when skipped_at is not null or refusal is not null then 'skipped'
      when still_waits is not null then 'waits' else 'moved' end;
    return next;
  end loop;
end
$$;

do $$
declare
  role_name text;
  made text;
  applied boolean := exists (select from outlast.schema_migrations where version = '20261129030000');
begin
  foreach made in array array['cancel_workflows(text[], text, bigint)', 'stops_of(text)', 'undoing_on(text)'] loop
    execute format('revoke all on function outlast.%s from public', made);
    foreach role_name in array array['anon', 'authenticated', 'service_role'] loop
      -- Once only: what the project grants later is its own affair.
      if not applied and exists (select from pg_roles where rolname = role_name) then
        execute format('revoke all on function outlast.%s from %I', made, role_name);
      end if;
    end loop;
  end loop;
end
$$;

insert into outlast.schema_migrations (version) values ('20261129030000') on conflict do nothing;
