-- Schedules: when each function is started, and what happened to ticks that started nothing. Every statement
-- may run twice.

create table if not exists outlast.schedules (
  name text collate "C" primary key check (name ~ '^[A-Za-z][A-Za-z0-9_.-]{0,99}$'),
  owner text not null check (owner in ('code', 'dynamic')),
  function text not null,
  input json not null default '{}',
  version text,
  cron text,
  tz text not null default 'UTC',
  every_s bigint check (every_s between 1 and 31622400),
  at timestamptz,
  catchup text not null default 'last' check (catchup in ('last', 'none', 'all')),
  overlap text not null default 'skip' check (overlap in ('skip', 'wait', 'allow', 'cancel')),
  until timestamptz,
  times bigint check (times between 1 and 1000000000),
  jitter_s float8 not null default 0 check (jitter_s between 0 and 86400),
  pause_after integer check (pause_after between 1 and 100),
  revision bigint not null default 1,
  since timestamptz not null default clock_timestamp(),
  nominal_at timestamptz,
  next_at timestamptz,
  upcoming timestamptz[] not null default '{}',
  waiting_at timestamptz,
  last_at timestamptz,
  ticked bigint not null default 0,
  started bigint not null default 0,
  skipped bigint not null default 0,
  missed bigint not null default 0,
  backfill_after timestamptz,
  backfill_until timestamptz,
  paused_at timestamptz,
  paused_by text,
  paused_why text,
  orphaned_at timestamptz,
  ended_at timestamptz,
  fault text,
  created_at timestamptz not null default now(),
  created_by text,
  check (num_nonnulls(cron, every_s, at) = 1)
);

comment on table outlast.schedules is 'One row a schedule: what it starts, when, and when next.';
comment on column outlast.schedules.owner is 'Whether a function''s file declares it (code) or it was made while running (dynamic).';
comment on column outlast.schedules.version is 'Of the function''s file that declared it.';
comment on column outlast.schedules.revision is 'Raised by each change: whoever decided by an older row changes nothing.';
comment on column outlast.schedules.since is 'From then on its times count: when it was made, changed or resumed.';
comment on column outlast.schedules.nominal_at is 'The next time by its timetable; null until an instance has found it.';
comment on column outlast.schedules.next_at is 'When that is due: the jitter is added.';
comment on column outlast.schedules.upcoming is 'The next times by its timetable, five at most.';
comment on column outlast.schedules.waiting_at is 'The tick that waits for the end of an earlier one.';
comment on column outlast.schedules.last_at is 'The tick that started a workflow last.';
comment on column outlast.schedules.ticked is 'How many ticks came, those that were skipped among them; missed ones are not.';
comment on column outlast.schedules.orphaned_at is 'Since when no function''s file declares it any more; it starts nothing then.';
comment on column outlast.schedules.fault is 'Why it can''t tick; null if it can.';

-- The index to look for due schedules. Paused, orphaned, ended and faulty ones aren't in it.
create index if not exists schedules_due on outlast.schedules (next_at)
  where paused_at is null and orphaned_at is null and ended_at is null and fault is null;

create table if not exists outlast.ticks (
  tick_id bigint generated always as identity primary key,
  schedule text collate "C" not null,
  nominal_at timestamptz not null,
  outcome text not null check (outcome in ('skipped', 'late', 'missed')),
  count bigint not null default 1,
  reason text not null,
  workflow_id text,
  at timestamptz not null default clock_timestamp()
);

comment on table outlast.ticks is 'Ticks that did not go as planned, the newest 1,000 of a schedule. One that did is its workflow.';
comment on column outlast.ticks.count is 'How many older ticks this row stands for, itself included.';

create index if not exists ticks_of_schedule on outlast.ticks (schedule, tick_id);

create table if not exists outlast.schedule_editions (
  edition text primary key,
  first_seen_at timestamptz not null default clock_timestamp(),
  declared_at timestamptz
);

comment on table outlast.schedule_editions is 'Which declarations of schedules there were, and since when: the newest of those that run counts.';

alter table outlast.instances add column if not exists schedule_edition text;
comment on column outlast.instances.schedule_edition is 'The declarations of schedules that its functions make.';

-- The live workflows of a schedule, whose completed_at is null, and those that ended last.
create index if not exists workflow_status_ticks on outlast.workflow_status ((tick ->> 'schedule'), completed_at)
  where tick is not null;

create or replace function outlast.utc_text(at timestamptz)
returns text
language sql
immutable
as $$ select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;

create or replace function outlast.note_tick(
  schedule text, nominal timestamptz, outcome text, reason text, count bigint, workflow_id text
)
returns void
language sql
as $$
  insert into outlast.ticks (schedule, nominal_at, outcome, reason, count, workflow_id)
  values (schedule, nominal, outcome, reason, count, workflow_id);
  delete from outlast.ticks t
  where t.schedule = note_tick.schedule and t.tick_id <= (
    select k.tick_id from outlast.ticks k
    where k.schedule = note_tick.schedule order by k.tick_id desc offset 1000 limit 1
  )
$$;

create or replace function outlast.start_tick(s outlast.schedules, workflow_id text, nominal timestamptz)
returns text
language plpgsql
as $$
-- Starts the workflow of one tick. Returns null, or why its queue refused it.
declare
  result record;
  place text := outlast.queue_of(s.function);
begin
  select * into result from outlast.enqueue(
    start_tick.workflow_id, s.function, s.input::text, null, null, null, null,
    '{"role":"service_role","outlast":{"mode":"schedule","key":null}}', place, null, null, null, null, null, null, null,
    json_build_object(
      'schedule', s.name, 'nominal', outlast.utc_text(nominal), 'actual', outlast.utc_text(clock_timestamp()),
      'previous', outlast.utc_text(s.last_at))::text);
  return case result.outcome
    when 'key_missing' then 'queue ' || place || ' finds no key in the input'
    when 'queue_full' then 'queue ' || place || ' is full'
    when 'rate_limited' then 'queue ' || place || ' takes no more now'
    when 'queue_busy' then 'queue ' || place || ' has this key at work already'
    -- guard: attached-ticks-count-as-run
    when 'attached' then (
      select 'queue ' || place || ' attached it to ' || w.workflow_id || ', which is at work already'
      from outlast.workflow_status w
      -- If it was absorbed, its target runs with this tick.
      where w.workflow_id = result.target and w.tick ->> 'nominal' is distinct from outlast.utc_text(nominal))
  end;
end
$$;

create or replace function outlast.start_tick_in_place(
  s outlast.schedules, workflow_id text, nominal timestamptz, running text[]
)
returns text
language plpgsql
as $$
-- As start_tick, but cancels the running workflows. If the queue refuses the new one, they run on.
declare
  refusal text;
begin
  perform outlast.cancel_workflows(running, 'the next tick of its schedule came');
  refusal := outlast.start_tick(s, start_tick_in_place.workflow_id, nominal);
  -- guard: refused-ticks-cancel = if false then
  if refusal is not null then
    raise exception using errcode = 'OL002';
  end if;
  return null;
exception when sqlstate 'OL002' then
  return refusal;
end
$$;

create or replace function outlast.failures_in_a_row(s outlast.schedules)
returns text
language sql
stable
as $$
  -- The id of the last failure, if the last `pause_after` workflows since the schedule was resumed have all
  -- failed.
  select max(f.workflow_id) filter (where f.place = 1)
  from (
    select w.workflow_id, w.status, row_number() over (order by w.completed_at desc) as place
    from outlast.workflow_status w
    where w.tick is not null and w.tick ->> 'schedule' = s.name and w.completed_at > s.since
      and w.status <> 'CANCELLED'
    order by w.completed_at desc limit s.pause_after
  ) f
  having count(*) = s.pause_after and bool_and(f.status <> 'SUCCESS')
$$;

create or replace function outlast.tick_schedules(orders jsonb)
returns table (schedule text, outcome text, workflow_id text)
language plpgsql
as $$
-- Does what an instance has decided about schedules, if they haven't changed since. A tick's workflow and the
-- move to the next tick are one commit. `outcome`: started, skipped, waits, moved, paused.
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
      next_nominal timestamptz, next_at timestamptz, upcoming timestamptz[], refusal text)
    order by name  -- the same order everywhere
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

    refusal := null;
    if start_at is not null then
      id := 'schedule:' || s.name || ':' || to_char(start_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
      refusal := case
        when o.refusal is not null then o.refusal
        when s.overlap = 'cancel' then outlast.start_tick_in_place(s, id, start_at, running)
        else outlast.start_tick(s, id, start_at) end;
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

create or replace function outlast.backfill_ticks(name text, revision bigint, times timestamptz[], next_after timestamptz)
returns bigint
language plpgsql
as $$
-- Starts ticks of the past; null if the schedule has changed. `next_after`: after which tick to go on; null
-- at the end.
#variable_conflict use_column
declare
  s outlast.schedules;
  each timestamptz;
  refusal text;
  done bigint := 0;
begin
  select * into s from outlast.schedules t
  where t.name = backfill_ticks.name and t.revision = backfill_ticks.revision and t.backfill_until is not null
  for no key update skip locked;
  if not found then
    return null;
  end if;
  foreach each in array times loop
    begin
      refusal := outlast.start_tick(
        s, 'schedule:' || s.name || ':' || to_char(each at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), each);
    -- guard: one-tick-stops-its-backfill = exception when assert_failure then
    exception when others then
      if not outlast.is_of_rows(sqlstate) then raise; end if;
      refusal := sqlerrm;
    end;
    if refusal is null then
      done := done + 1;
    else
      -- guard: backfills-skip-in-silence
      perform outlast.note_tick(s.name, each, 'skipped', refusal, 1, null);
    end if;
  end loop;
  update outlast.schedules t
  set skipped = t.skipped + cardinality(backfill_ticks.times) - done,
      backfill_after = next_after, backfill_until = case when next_after is not null then t.backfill_until end,
      revision = t.revision + 1
  where t.name = s.name;
  return done;
end
$$;

create or replace function outlast.newest_edition(me text, edition text)
returns boolean
language plpgsql
as $$
-- Records which declarations this instance has. Returns whether they must be put into effect: they are the
-- newest of all live instances, and others are in effect.
#variable_conflict use_column
begin
  insert into outlast.schedule_editions (edition) values (newest_edition.edition) on conflict do nothing;
  update outlast.instances i set schedule_edition = newest_edition.edition
  where i.instance_id = me and i.schedule_edition is distinct from newest_edition.edition;
  return newest_edition.edition = (
    select e.edition from outlast.schedule_editions e
    where e.edition = newest_edition.edition
      -- guard: an-older-edition-declares = or false and exists (
      or exists (
        select from outlast.instances i where i.schedule_edition = e.edition and i.lease_until > now())
    order by e.first_seen_at desc, e.edition limit 1
  ) and newest_edition.edition is distinct from (
    select e.edition from outlast.schedule_editions e
    where e.declared_at is not null order by e.declared_at desc, e.edition limit 1
  );
end
$$;

create or replace function outlast.since_changed(s outlast.schedules, keeps boolean)
returns timestamptz
language plpgsql
as $$
-- The time from which a changed schedule counts. If its timetable stays, it goes on with the tick that was
-- next, due or not. Otherwise a due tick of the former timetable is not run, but recorded.
begin
  if s.nominal_at is null or s.orphaned_at is not null or s.paused_at is not null then
    return clock_timestamp();
  end if;
  -- guard: changed-schedules-lose-ticks = if false then
  if keeps then
    return s.nominal_at - interval '1 microsecond';
  end if;
  if s.nominal_at <= clock_timestamp() then
    perform outlast.note_tick(s.name, s.nominal_at, 'missed', 'its timetable was changed before it ran', 1, null);
  end if;
  return clock_timestamp();
end
$$;

create or replace function outlast.declare_schedules(edition text, declared jsonb, broken text[])
returns table (name text, change text)
language plpgsql
as $$
-- Puts an edition's schedules into effect. Schedules of functions in `broken` files stay as they are.
-- `change`: declared, changed, orphaned, taken (a dynamic schedule has the name).
#variable_conflict use_column
declare
  d record;
  s outlast.schedules;
  same boolean;
begin
  -- One at a time.
  perform from outlast.schedule_editions e where e.edition = declare_schedules.edition for no key update;
  for d in
    select * from jsonb_to_recordset(declared) as r (
      name text, function text, version text, input text, cron text, tz text, every_s bigint, at timestamptz,
      catchup text, overlap text, until timestamptz, times bigint, jitter_s float8, pause_after integer)
    order by name
  loop
    insert into outlast.schedules as t (
      name, owner, function, input, version, cron, tz, every_s, at, catchup, overlap, until, times, jitter_s, pause_after)
    values (
      d.name, 'code', d.function, d.input::json, d.version, d.cron, d.tz, d.every_s, d.at, d.catchup, d.overlap, d.until,
      d.times, d.jitter_s, d.pause_after)
    on conflict do nothing;
    if found then
      name := d.name;
      change := 'declared';
      return next;
      continue;
    end if;
    select * into s from outlast.schedules t where t.name = d.name for no key update;
    if s.owner <> 'code' then
      name := d.name;
      change := 'taken';
      return next;
      continue;
    end if;
    same := s.orphaned_at is null and s.function = d.function
      and (s.cron, s.tz, s.every_s, s.at, s.until, s.times, s.jitter_s)
        is not distinct from (d.cron, d.tz, d.every_s, d.at, d.until, d.times, d.jitter_s);
    if not same then
      name := d.name;
      change := 'changed';
      return next;
    end if;
    update outlast.schedules t
    set function = d.function, input = d.input::json, version = d.version, cron = d.cron, tz = d.tz,
        every_s = d.every_s, at = d.at, catchup = d.catchup, overlap = d.overlap, until = d.until, times = d.times,
        jitter_s = d.jitter_s, pause_after = d.pause_after, orphaned_at = null, revision = t.revision + 1,
        -- A schedule with the same timetable goes on where it is, and catches up on ticks missed during the
        -- deploy.
        nominal_at = case when same then t.nominal_at end, next_at = case when same then t.next_at end,
        upcoming = case when same then t.upcoming else '{}' end,
        since = case when same then t.since else outlast.since_changed(
          s, (s.cron, s.tz, s.every_s, s.at) is not distinct from (d.cron, d.tz, d.every_s, d.at)) end,
        ended_at = case when same then t.ended_at end, fault = case when same then t.fault end
    where t.name = d.name;
  end loop;
  for name in
    update outlast.schedules t
    set orphaned_at = clock_timestamp(), revision = t.revision + 1, waiting_at = null
    where t.owner = 'code' and t.orphaned_at is null
      and not exists (select from jsonb_array_elements(declared) as e where e ->> 'name' = t.name)
      -- guard: broken-files-lose-their-schedules
      and split_part(t.function, '/', 1) <> all(broken)
    returning t.name
  loop
    change := 'orphaned';
    return next;
  end loop;
  update outlast.schedule_editions e set declared_at = clock_timestamp() where e.edition = declare_schedules.edition;
  delete from outlast.schedule_editions e
  where e.first_seen_at < now() - interval '30 days' and e.edition <> declare_schedules.edition
    and not exists (select from outlast.instances i where i.schedule_edition = e.edition);
end
$$;

-- What callers do: HTTP, the commands, Python and SQL call the same functions.

create or replace function outlast.check_schedule(
  what text, name text, function text, cron text, tz text, every interval, at timestamptz, input jsonb, catchup text,
  overlap text, until timestamptz, times integer, jitter interval, pause_after integer
)
returns void
language plpgsql
stable
as $$
-- Raises the first error of a schedule. A cron expression is checked roughly; an instance parses it, and
-- records on the row what it can't use.
declare
  field constant text not null default '[0-9A-Za-z*,/#-]+';
  wrong constant text default case
    when name is null or name collate "C" !~ '^[A-Za-z][A-Za-z0-9_.-]{0,99}$' then
      'name is a letter, then letters, digits, "_", "-" and ".", 100 at most, not ' || coalesce(quote_literal(left(name, 110)), 'null')
    when function is null or function collate "C" !~ '^[A-Za-z][A-Za-z0-9_-]{0,254}(/[A-Za-z_][A-Za-z0-9_-]{0,254})?$' then
      'function is FILE or FILE/WORKFLOW, not ' || coalesce(quote_literal(left(function, 110)), 'null')
    when num_nonnulls(cron, every, at) <> 1 then 'cron, every or at says when: one of them'
    when length(cron) > 200 or cron !~ (
      '^\s*(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|(' || field || '\s+){4,5}' || field || ')\s*$') then
      'cron is 5 fields, or 6 with seconds first, such as ''0 9 * * 1-5'', not ' || quote_literal(left(cron, 210))
    when tz is null or not (
      tz = 'UTC' or exists (select from pg_timezone_names z where z.name = tz and z.name !~ '^(posix|right)/')) then
      'tz is a time zone''s name, such as ''Europe/Berlin'', not ' || coalesce(quote_literal(left(tz, 110)), 'null')
    when not coalesce(extract(epoch from every) between 1 and 31622400 and extract(epoch from every) % 1 = 0, every is null) then
      'every is whole seconds, from 1 second to 366 days, not ' || every
    when not coalesce(at between '1971-01-01Z' and '9990-01-01Z', at is null) then
      'at is in the years 1971 to 9990, not ' || at
    when not coalesce(until between '1971-01-01Z' and '9990-01-01Z', until is null) then
      'until is in the years 1971 to 9990, not ' || until
    when input is null or octet_length(input::text) > 16 * 1024 * 1024 then 'input is JSON of at most 16 MiB'
    when coalesce(catchup not in ('last', 'none', 'all'), true) then
      'catchup is ''last'', ''none'' or ''all'', not ' || coalesce(quote_literal(catchup), 'null')
    when coalesce(overlap not in ('skip', 'wait', 'allow', 'cancel'), true) then
      'overlap is ''skip'', ''wait'', ''allow'' or ''cancel'', not ' || coalesce(quote_literal(overlap), 'null')
    when catchup = 'all' and overlap <> 'allow' then
      'catchup => ''all'' starts many at once: it needs overlap => ''allow'''
    when times not between 1 and 1000000000 then 'times is from 1 to 1000000000, not ' || times
    when not coalesce(extract(epoch from jitter) between 0 and 86400, false) then
      'jitter is between nothing and a day, not ' || coalesce(jitter::text, 'null')
    when pause_after not between 1 and 100 then 'pause_after is from 1 to 100, not ' || pause_after
  end;
begin
  if wrong is not null then
    raise exception '%: %', what, wrong using errcode = '22023';
  end if;
end
$$;

create or replace function outlast.create_schedule(
  name text, function text, cron text default null, tz text default 'UTC', every interval default null,
  at timestamptz default null, input jsonb default '{}', catchup text default 'last', overlap text default 'skip',
  until timestamptz default null, times integer default null, jitter interval default '0', pause_after integer default null,
  by text default null
)
returns table (created text)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  s outlast.schedules;
  same boolean;
begin
  perform outlast.check_schedule(
    'outlast.create_schedule', create_schedule.name, create_schedule.function, create_schedule.cron, create_schedule.tz,
    create_schedule.every, create_schedule.at, create_schedule.input, create_schedule.catchup, create_schedule.overlap,
    create_schedule.until, create_schedule.times, create_schedule.jitter, create_schedule.pause_after);
  perform outlast.tell_due();
  insert into outlast.schedules as t (
    name, owner, function, input, cron, tz, every_s, at, catchup, overlap, until, times, jitter_s, pause_after, created_by)
  values (
    create_schedule.name, 'dynamic', create_schedule.function, create_schedule.input::json, create_schedule.cron,
    create_schedule.tz, extract(epoch from create_schedule.every)::bigint, create_schedule.at, create_schedule.catchup,
    create_schedule.overlap, create_schedule.until, create_schedule.times, extract(epoch from create_schedule.jitter)::float8,
    create_schedule.pause_after, coalesce(create_schedule.by, session_user))
  on conflict do nothing;
  if found then
    perform outlast.note_act('schedule', create_schedule.name, 'create', by, null, null);
  else
    select * into s from outlast.schedules t where t.name = create_schedule.name for no key update;
    if s.owner = 'code' then
      raise exception 'outlast.create_schedule: % is declared by a function''s file', quote_literal(s.name)
        using errcode = '55000', hint = 'take another name, or change it there';
    end if;
    same := s.function = create_schedule.function and s.input::jsonb = create_schedule.input
      and (s.cron, s.tz, s.every_s, s.at, s.catchup, s.overlap, s.until, s.times, s.jitter_s, s.pause_after)
        is not distinct from (
          create_schedule.cron, create_schedule.tz, extract(epoch from create_schedule.every)::bigint,
          create_schedule.at, create_schedule.catchup, create_schedule.overlap, create_schedule.until,
          create_schedule.times::bigint, extract(epoch from create_schedule.jitter)::float8, create_schedule.pause_after);
    if not same then
      perform outlast.note_act('schedule', s.name, 'create', by, null, outlast.schedule_stands(s));
      update outlast.schedules t
      set function = create_schedule.function, input = create_schedule.input::json, cron = create_schedule.cron,
          tz = create_schedule.tz, every_s = extract(epoch from create_schedule.every)::bigint,
          at = create_schedule.at, catchup = create_schedule.catchup, overlap = create_schedule.overlap,
          until = create_schedule.until, times = create_schedule.times,
          jitter_s = extract(epoch from create_schedule.jitter)::float8, pause_after = create_schedule.pause_after,
          since = outlast.since_changed(s, (s.cron, s.tz, s.every_s, s.at) is not distinct from (
            create_schedule.cron, create_schedule.tz, extract(epoch from create_schedule.every)::bigint,
            create_schedule.at)),
          revision = t.revision + 1, nominal_at = null, next_at = null, upcoming = '{}',
          waiting_at = null, ended_at = null, fault = null, ticked = 0
      where t.name = create_schedule.name;
    end if;
  end if;
  created := create_schedule.name;
  return next;
end
$$;

create or replace function outlast.schedule(
  name text, function text, cron text default null, tz text default 'UTC', every interval default null,
  at timestamptz default null, input jsonb default '{}', catchup text default 'last', overlap text default 'skip',
  until timestamptz default null, times integer default null, jitter interval default '0', pause_after integer default null
)
returns text
language sql
as $$
  select created from outlast.create_schedule(
    name, function, cron, tz, every, at, input, catchup, overlap, until, times, jitter, pause_after)
$$;

comment on function outlast.schedule is
  'Make a schedule, or change it, in this transaction; its name. Its first tick is after the commit.';

create or replace function outlast.schedule_named(
  verb text, name text, by text, why text default null, noted boolean default true
)
returns outlast.schedules
language plpgsql
as $$
-- Locks and returns the schedule's row, and records the act with the state before it. A caller that refuses
-- afterwards rolls that back by raising.
#variable_conflict use_column
declare
  s outlast.schedules;
begin
  select * into s from outlast.schedules t where t.name = schedule_named.name for no key update;
  if not found then
    raise exception 'outlast.%_schedule: there is no schedule %', verb, coalesce(quote_literal(left(name, 110)), 'null')
      using errcode = 'P0002';
  end if;
  if noted then
    perform outlast.note_act('schedule', s.name, verb, by, why, outlast.schedule_stands(s));
  end if;
  return s;
end
$$;

create or replace function outlast.schedule_stands(s outlast.schedules)
returns json
language sql
immutable
as $$
  -- The state of a schedule that is recorded before an act.
  select json_strip_nulls(json_build_object(
    'function', s.function, 'owner', s.owner, 'input', s.input, 'cron', s.cron, 'tz', s.tz, 'every_s', s.every_s,
    'at', s.at, 'catchup', s.catchup, 'overlap', s.overlap, 'until', s.until, 'times', s.times, 'jitter_s', s.jitter_s,
    'pause_after', s.pause_after, 'paused_by', s.paused_by, 'paused_at', s.paused_at, 'paused_why', s.paused_why))
$$;

create or replace function outlast.delete_schedule(name text, by text default null)
returns table (deleted text)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  s outlast.schedules := outlast.schedule_named('delete', delete_schedule.name, by);
begin
  if s.owner = 'code' and s.orphaned_at is null then
    raise exception 'outlast.delete_schedule: % is declared by a function''s file', quote_literal(s.name)
      using errcode = '55000', hint = 'take it out there, or pause it';
  end if;
  delete from outlast.ticks t where t.schedule = s.name;
  delete from outlast.schedules t where t.name = s.name;
  deleted := s.name;
  return next;
end
$$;

create or replace function outlast.unschedule(name text)
returns text
language sql
as $$ select deleted from outlast.delete_schedule(name) $$;

comment on function outlast.unschedule(text) is 'Delete a dynamic schedule in this transaction; its name.';

create or replace function outlast.pause_schedule(name text, why text default null, by text default null)
returns table (paused text)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  s outlast.schedules;
begin
  if length(pause_schedule.why) not between 1 and 1000 then
    raise exception 'outlast.pause_schedule: why has 1 to 1000 characters' using errcode = '22023', column = 'why';
  end if;
  s := outlast.schedule_named('pause', pause_schedule.name, pause_schedule.by, pause_schedule.why);
  update outlast.schedules t
  set paused_at = clock_timestamp(), paused_by = coalesce(pause_schedule.by, session_user),
      paused_why = pause_schedule.why, revision = t.revision + 1, waiting_at = null
  where t.name = s.name
    and (t.paused_at is null or t.paused_why is distinct from pause_schedule.why);
  paused := s.name;
  return next;
end
$$;

create or replace function outlast.resume_schedule(name text, by text default null)
returns table (resumed text)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  s outlast.schedules := outlast.schedule_named('resume', resume_schedule.name, by);
begin
  if s.orphaned_at is not null then
    raise exception 'outlast.resume_schedule: no function''s file declares % any more', quote_literal(s.name)
      using errcode = '55000', hint = 'declare it again, or make one by outlast.schedule';
  end if;
  perform outlast.tell_due();
  -- Ticks within the pause don't count at all.
  update outlast.schedules t
  set paused_at = null, paused_by = null, paused_why = null, revision = t.revision + 1, since = clock_timestamp(),
      nominal_at = null, next_at = null, upcoming = '{}'
  where t.name = s.name and t.paused_at is not null;
  resumed := s.name;
  return next;
end
$$;

create or replace function outlast.trigger_schedule(name text, idempotency_key text default null, by text default null)
returns table (workflow_id text)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  s outlast.schedules;
  refusal text;
begin
  if trigger_schedule.idempotency_key !~ '^[A-Za-z0-9_.-]{1,100}$' then
    raise exception 'outlast.trigger_schedule: idempotency_key is 1 to 100 letters, digits, "_", "-" and "."'
      using errcode = '22023', column = 'idempotency_key';
  end if;
  s := outlast.schedule_named('trigger', trigger_schedule.name, by);
  workflow_id := 'schedule:' || s.name || ':now:' || coalesce(trigger_schedule.idempotency_key, gen_random_uuid()::text);
  perform outlast.tell_due();
  refusal := outlast.start_tick(s, workflow_id, clock_timestamp());
  if refusal is not null then
    raise exception 'outlast.trigger_schedule: %', refusal using errcode = '55000', hint = 'try again later';
  end if;
  return next;
end
$$;

create or replace function outlast.backfill_schedule(
  name text, after timestamptz, until timestamptz, dry_run boolean default false, by text default null
)
returns table (
  schedule text, begins timestamptz, ends timestamptz, dry boolean, cron text, tz text, every_s bigint, at timestamptz
)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  s outlast.schedules;
begin
  if not coalesce(backfill_schedule.after between '1970-01-01Z' and '9990-01-01Z', false) then
    raise exception 'outlast.backfill_schedule: after is a time in the years 1970 to 9990' using errcode = '22023', column = 'after';
  end if;
  if backfill_schedule.until is null or not isfinite(backfill_schedule.until) then
    raise exception 'outlast.backfill_schedule: until is a time' using errcode = '22023', column = 'until';
  end if;
  s := outlast.schedule_named('backfill', backfill_schedule.name, by, noted => backfill_schedule.dry_run is not true);
  if backfill_schedule.after >= backfill_schedule.until
    or backfill_schedule.until > backfill_schedule.after + interval '366 days'
  then
    raise exception 'outlast.backfill_schedule: until is later than after, by at most 366 days' using errcode = '22023', column = 'until';
  end if;
  if backfill_schedule.until > clock_timestamp() then
    raise exception 'outlast.backfill_schedule: until is in the future, and its ticks will come by themselves'
      using errcode = '22023', column = 'until';
  end if;
  if s.fault is not null then
    raise exception 'outlast.backfill_schedule: %', s.fault using errcode = '55000';
  end if;
  if s.backfill_until is not null
    and (s.backfill_until <> backfill_schedule.until or s.backfill_after < backfill_schedule.after)
  then
    raise exception 'outlast.backfill_schedule: another backfill, until %, is not over', s.backfill_until
      using errcode = '55000', hint = 'try again when it is';
  end if;
  if not coalesce(backfill_schedule.dry_run, false) and s.backfill_until is null then
    perform outlast.tell_due();
    update outlast.schedules t
    set backfill_after = backfill_schedule.after, backfill_until = backfill_schedule.until, revision = t.revision + 1
    where t.name = s.name;
  end if;
  return query select
    s.name, backfill_schedule.after, backfill_schedule.until, coalesce(backfill_schedule.dry_run, false), s.cron, s.tz,
    s.every_s, s.at;
end
$$;

select outlast.take_rights(
  '20261128230500',
  functions => array[
    'utc_text', 'note_tick', 'start_tick', 'start_tick_in_place', 'failures_in_a_row', 'tick_schedules', 'backfill_ticks',
    'newest_edition', 'since_changed', 'declare_schedules', 'check_schedule', 'schedule_named', 'schedule_stands'],
  tables => array['schedules', 'ticks', 'schedule_editions'],
  of_service => array[
    'create_schedule', 'schedule', 'delete_schedule', 'unschedule', 'pause_schedule', 'resume_schedule',
    'trigger_schedule', 'backfill_schedule']);

insert into outlast.schema_migrations (version) values ('20261128230500') on conflict do nothing;
