-- What workflows are found by: attributes, and the filters of lists, which bulks use, too. Every statement
-- may run twice.

create or replace function outlast.attribute_terms(attributes json)
returns text[]
language sql
immutable
parallel safe
as $$
  -- Other values, such as the header of a queue's message, aren't searchable, because an index takes no long
  -- text.
  select case when json_typeof(attributes) = 'object' then array(
    select a.key || ':' || (a.value #>> '{}') from json_each(attributes) as a
    where json_typeof(a.value) in ('string', 'number', 'boolean') and length(a.key) <= 64 and length(a.value #>> '{}') <= 256
  ) end
$$;

comment on function outlast.attribute_terms(json) is
  'Each attribute as a text of its key and its value, as filters give it: customer:42.';

create or replace function outlast.check_attributes(verb text, attributes jsonb, nulls boolean default false)
returns void
language plpgsql
immutable
as $$
-- The same checks as in core/attributes.py; a test compares them.
declare
  form constant text not null default 'are an object of at most 32 keys, such as customer or order.region (a letter,'
    ' then letters, digits, "_", "." and "-", 64 at most), and of values that are texts of at most 256 characters,'
    ' numbers, or true or false';
  key text;
  value jsonb;
begin
  if attributes is null then return; end if;
  if jsonb_typeof(attributes) <> 'object' or (select count(*) from jsonb_object_keys(attributes)) > 32 then
    perform outlast.refuse_argument(verb, 'attributes', form || '; not ' || left(attributes::text, 60));
  end if;
  for key, value in select a.key, a.value from jsonb_each(attributes) as a loop
    if key collate "C" !~ '^[A-Za-z][A-Za-z0-9_.-]{0,63}$' then
      perform outlast.refuse_argument(verb, 'attributes', form || '; the key ' || left(to_json(key)::text, 60) || ' is none');
    elsif not coalesce(
      jsonb_typeof(value) in ('string', 'number') and length(value #>> '{}') <= 256
      or jsonb_typeof(value) = 'boolean' or (jsonb_typeof(value) = 'null' and nulls), false)
    then
      perform outlast.refuse_argument(verb, 'attributes', form || '; the value of ' || key || ' is ' || left(value::text, 60));
    end if;
  end loop;
end
$$;

create or replace function outlast.merged_attributes(verb text, attributes json, changes json)
returns json
language plpgsql
immutable
as $$
-- The attributes after changes; null removes one.
declare
  whole constant jsonb not null default (
    select coalesce(jsonb_object_agg(a.key, a.value), '{}')
    from jsonb_each(coalesce(attributes::jsonb, '{}') || changes::jsonb) as a where a.value <> 'null');
begin
  -- guard: attributes-without-end = if false then
  if (select count(*) from jsonb_object_keys(whole)) > 32 then
    perform outlast.refuse_argument(verb, 'attributes', 'would be more than 32');
  end if;
  return nullif(whole, '{}');
end
$$;

-- An index for each filter for which a page must not read all rows, or a column after the time. An index over
-- all rows costs each workflow twice, when it begins and when it ends.
create index if not exists workflow_status_newest on outlast.workflow_status (created_at, workflow_id, version, (parent is null));
-- For live workflows, by a condition that statements for single workflows don't have. Otherwise, before
-- statistics know any row, this index would be used to find ids.
create index if not exists workflow_status_live on outlast.workflow_status (created_at, workflow_id)
  where completed_at is null;
create index if not exists workflow_status_failed on outlast.workflow_status (created_at, workflow_id)
  where status in ('ERROR', 'CANCELLED', 'EXHAUSTED');
create index if not exists workflow_status_function on outlast.workflow_status (function, created_at, workflow_id);
create index if not exists workflow_status_completed on outlast.workflow_status (completed_at, workflow_id)
  where completed_at is not null;
create index if not exists workflow_status_attributes on outlast.workflow_status
  using gin (outlast.attribute_terms(attributes)) where attributes is not null;

do $$
begin
  -- If a language's rules order texts, the primary key can't find prefixes. Only "C" orders by bytes, and all
  -- collations of Postgres's own provider (from 17 on).
  if not exists (
    select from pg_database d
    where d.datname = current_database()
      and (d.datlocprovider = 'c' and d.datcollate in ('C', 'POSIX') or d.datlocprovider = 'b')
  ) then
    create index if not exists workflow_status_prefix on outlast.workflow_status (workflow_id text_pattern_ops);
  end if;
end
$$;

create or replace function outlast.error_told(error json, whole boolean, out code text, out message text)
language sql
immutable
as $$
  -- What a list shows of an error, and searches. A user (not `whole`) can neither see nor search the text of
  -- an exception. Postgres's text can't hold \u0000.
  select
    d.error ->> 'code',
    coalesce(
      -- guard: exception-text-for-users = case when true
      case when whole
        then nullif(concat_ws(': ', d.error #>> '{failure,type}', nullif(d.error #>> '{failure,message}', '')), '')
      end,
      case d.error ->> 'code'
        when 'http_exception' then d.error ->> 'detail'
        when 'non_determinism' then case when whole then d.error ->> 'message' end
        else d.error ->> 'message'
      end
    )
  from (select replace(error_told.error::text, '\u0000', '\ufffd')::json as error offset 0) as d
$$;

create or replace function outlast.find_workflows(
  function text default null,
  prefix text default null,
  version text default null,
  status text[] default null,
  error text default null,
  queue text default null,
  parent text default null,
  has_parent boolean default null,
  since timestamptz default null,
  until timestamptz default null,
  completed_since timestamptz default null,
  completed_until timestamptz default null,
  attribute text[] default null,
  ascending boolean default false,
  subject text default null,
  after_created_at timestamptz default null,
  after_workflow_id text default null,
  most bigint default null,
  bulks boolean default true,
  held text default null,
  waiting_on text default null,
  error_group text default null
)
returns table (place bigint, workflow_id text, created_at timestamptz)
language plpgsql
stable
security definer
rows 50
-- Planned for the given filters: those that are null vanish, and the right index is used.
set plan_cache_mode = force_custom_plan
as $$
-- The workflows that pass all of these filters, by creation time; the newest first, unless `ascending`.
-- Lists, bulks and SQL use it.
#variable_conflict use_column
declare
  backwards constant boolean not null default not coalesce(ascending, false);
begin
  return query
  select row_number() over (), f.workflow_id, f.created_at
  from (
    select w.workflow_id, w.created_at
    from outlast.workflow_status w
    -- guard: everybodys-list-by-sql
    where (find_workflows.subject is null or w.subject = find_workflows.subject)
      and (find_workflows.function is null or w.function = find_workflows.function)
      and (find_workflows.prefix is null or w.workflow_id ^@ find_workflows.prefix)
      and (find_workflows.version is null or w.version = find_workflows.version)
      and (find_workflows.status is null or w.status = any(find_workflows.status))
      and (not coalesce(find_workflows.status <@ array['ENQUEUED', 'PENDING'], false) or w.completed_at is null)
      and (find_workflows.queue is null or w.queue = find_workflows.queue)
      and (find_workflows.parent is null or w.parent = find_workflows.parent)
      and (find_workflows.has_parent is null
        or case when find_workflows.has_parent then w.parent is not null else w.parent is null end)
      and (find_workflows.since is null or w.created_at >= find_workflows.since)
      and (find_workflows.until is null or w.created_at < find_workflows.until)
      and (find_workflows.completed_since is null or w.completed_at >= find_workflows.completed_since)
      and (find_workflows.completed_until is null or w.completed_at < find_workflows.completed_until)
      and (find_workflows.attribute is null
        or (w.attributes is not null and outlast.attribute_terms(w.attributes) @> find_workflows.attribute))
      and (find_workflows.held is null
        or (w.held is not null and find_workflows.held in ('any', w.held ->> 'reason')))
      -- Waiting workflows, by the conditions of the three indexes that hold them.
      and (find_workflows.waiting_on is null or (
        ((w.claimable_at >= '-infinity' and w.owner is null and w.claimable_at is not null and w.queue is null and w.held is null)
          or (w.queue >= '' and w.owner is null and w.claimable_at is not null and w.queue is not null)
          or (w.function >= '' and w.held is not null))
        and outlast.waits_on(w) = find_workflows.waiting_on))
      and (find_workflows.error_group is null or (w.status in ('ERROR', 'CANCELLED', 'EXHAUSTED')
        and outlast.error_group(w.function, w.error) = find_workflows.error_group))
      and (find_workflows.bulks or w.function <> 'outlast.bulk')
      and (find_workflows.after_created_at is null or case
        when backwards
          then (w.created_at, w.workflow_id) < (find_workflows.after_created_at, find_workflows.after_workflow_id)
        else (w.created_at, w.workflow_id) > (find_workflows.after_created_at, find_workflows.after_workflow_id)
      end)
      -- Last, because it reads long values. A workflow without an error has not failed.
      and (find_workflows.error is null or (
        w.status in ('ERROR', 'CANCELLED', 'EXHAUSTED') and w.error is not null
        and strpos(lower((outlast.error_told(w.error, find_workflows.subject is null)).message),
          lower(find_workflows.error)) > 0))
    order by
      case when backwards then w.created_at end desc, case when backwards then w.workflow_id end desc,
      case when not backwards then w.created_at end, case when not backwards then w.workflow_id end
    limit find_workflows.most
  ) as f;
end
$$;

comment on function outlast.find_workflows is
  'The workflows that pass all the filters given, in the order they were created: as the list over HTTP finds them.';

create or replace function outlast.set_workflow(
  workflow_id text, attributes jsonb, why text default null, by text default null
)
returns table (changed text)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  before json;
begin
  perform outlast.check_text('set_workflow', 'why', why, 1000);
  if attributes is null then
    perform outlast.refuse_argument('set_workflow', 'attributes', 'must be an object of attributes');
  end if;
  perform outlast.check_attributes('set_workflow', set_workflow.attributes, true);
  select w.attributes into before from outlast.workflow_status w
  where w.workflow_id = set_workflow.workflow_id for no key update;
  if not found then
    raise exception 'outlast.set_workflow: there is no workflow with this id' using errcode = 'P0002';
  end if;
  perform outlast.note_act('workflow', set_workflow.workflow_id, 'set', by, why, json_build_object('attributes', before));
  return query
  update outlast.workflow_status w
  set attributes = outlast.merged_attributes('set_workflow', before, set_workflow.attributes::json)
  where w.workflow_id = set_workflow.workflow_id
  returning w.workflow_id;
end
$$;

comment on function outlast.set_workflow(text, jsonb, text, text) is
  'Change what a workflow is found by; null takes an attribute away, others stay.';

-- Many at once: a bulk is a workflow that runs nothing itself. Its row holds its progress. First the list of
-- workflows is fixed. Then any free instance does a block. The acts on a block's items, their outcomes and
-- the bulk's progress are one commit. So a killed instance leaves a block undone, never half done.
create table if not exists outlast.bulks (
  bulk_id text primary key references outlast.workflow_status on delete cascade deferrable initially deferred,
  verb text not null,
  arguments jsonb not null,
  filter jsonb not null,
  rate integer not null,
  expect integer,
  by text not null,
  why text,
  after_created_at timestamptz,
  after_workflow_id text,
  fixed boolean not null default false,
  total integer not null default 0,
  place integer not null default 0,
  done integer not null default 0,
  refused integer not null default 0,
  failed integer not null default 0,
  tries integer not null default 0,
  next_at timestamptz not null default now(),
  over boolean not null default false
);
comment on table outlast.bulks is 'Verbs that are done to many workflows: to which, how fast, and how far they are.';
comment on column outlast.bulks.place is 'Up to which of its items it is done.';
create index if not exists bulks_due on outlast.bulks (next_at) where not over;

create table if not exists outlast.bulk_items (
  bulk_id text not null references outlast.bulks on delete cascade,
  place integer not null,
  workflow_id text not null,
  outcome text check (outcome in ('done', 'refused', 'failed')),
  reason text,
  answer json,
  at timestamptz,
  primary key (bulk_id, place)
);
comment on table outlast.bulk_items is 'To which workflows a bulk is done, and what came of each; null: not yet.';
create or replace function outlast.filter_text(filter jsonb, name text)
returns text
language plpgsql
immutable
as $$
begin
  if not coalesce(jsonb_typeof(filter -> name) in ('string', 'null'), true) or filter ->> name = '' then
    perform outlast.refuse_argument('bulk', 'filter', name || ' must be a text, not ' || left((filter -> name)::text, 100));
  end if;
  return filter ->> name;
end
$$;

create or replace function outlast.filter_texts(filter jsonb, name text)
returns text[]
language sql
immutable
as $$
  -- A single text means an array of it.
  select case jsonb_typeof(filter -> name)
    when 'array' then array(select jsonb_array_elements_text(filter -> name))
    when 'string' then array[filter ->> name] end
$$;

create or replace function outlast.filter_time(filter jsonb, name text)
returns timestamptz
language plpgsql
stable
as $$
begin
  -- A date alone is its midnight in UTC, as in lists. Postgres would accept more: 'yesterday', a time without
  -- an offset.
  if outlast.filter_text(filter, name) !~
    '^\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d))?$' then
    raise exception using errcode = '22007';
  end if;
  return case when length(outlast.filter_text(filter, name)) = 10
    then (filter ->> name)::date::timestamp at time zone 'UTC' else outlast.filter_text(filter, name)::timestamptz end;
exception when data_exception then
  perform outlast.refuse_argument('bulk', 'filter', name || ' must be a date, such as 2026-01-31 or '
    '2026-01-31T09:30:00Z, not ' || left(filter ->> name, 100));
  return null;  -- never reached: refuse_argument raises
end
$$;

create or replace function outlast.check_filter(filter jsonb)
returns void
language plpgsql
stable
as $$
declare
  known constant text[] not null default array[
    'function', 'prefix', 'version', 'status', 'error', 'queue', 'parent', 'has_parent', 'since', 'until',
    'completed_since', 'completed_until', 'held', 'waiting_on', 'error_group', 'attribute'];
  name text;
begin
  if jsonb_typeof(filter) is distinct from 'object' or filter = '{}' or octet_length(filter::text) > 65536 then
    perform outlast.refuse_argument('bulk', 'filter', 'must be an object that names one at least of '
      || array_to_string(known, ', '));
  end if;
  for name in select k from jsonb_object_keys(filter) as k loop
    if name <> all(known) then
      perform outlast.refuse_argument('bulk', 'filter', 'has no ' || left(name, 100) || '; use '
        || array_to_string(known, ', '));
    elsif filter -> name = 'null' then
      perform outlast.refuse_argument('bulk', 'filter', name || ' is null, which lets all pass: leave it out');
    elsif name like any (array['%since', '%until']) then
      perform outlast.filter_time(filter, name);
    elsif name = 'status' then
      if jsonb_typeof(filter -> name) not in ('string', 'array') or exists (
        select from jsonb_array_elements(case jsonb_typeof(filter -> name)
          when 'array' then filter -> name else jsonb_build_array(filter -> name) end) as s (status)
        where s.status #>> '{}' not in ('ENQUEUED', 'PENDING', 'SUCCESS', 'ERROR', 'CANCELLED', 'EXHAUSTED')
      ) then
        perform outlast.refuse_argument('bulk', 'filter', 'status must be one of ENQUEUED, PENDING, SUCCESS, ERROR, '
          'CANCELLED and EXHAUSTED, or an array of them, not ' || left((filter -> name)::text, 100));
      end if;
    elsif name = 'has_parent' then
      if jsonb_typeof(filter -> name) <> 'boolean' then
        perform outlast.refuse_argument('bulk', 'filter', 'has_parent must be true or false, not '
          || left((filter -> name)::text, 100));
      end if;
    elsif name = 'attribute' then
      if jsonb_typeof(filter -> name) not in ('string', 'array') or filter -> name = '[]' or exists (
        select from unnest(outlast.filter_texts(filter, name)) as a (pair) where coalesce(position(':' in a.pair), 0) < 2
      ) then
        perform outlast.refuse_argument('bulk', 'filter', 'attribute must be a key and its value, as in customer:42, or '
          'an array of them, not ' || left((filter -> name)::text, 100));
      end if;
    else
      perform outlast.filter_text(filter, name);
      if name = 'waiting_on' and filter ->> name not in (
        'message', 'workflow', 'sleep', 'time', 'queue', 'limit', 'instance', 'recovery', 'held', 'paused'
      ) then
        perform outlast.refuse_argument('bulk', 'filter', 'waiting_on must be one of message, workflow, sleep, time, queue, '
          'limit, instance, recovery, held and paused, not ' || left(filter ->> name, 100));
      end if;
    end if;
  end loop;
end
$$;

create or replace function outlast.find_for_bulk(
  filter jsonb, before timestamptz, after_created_at timestamptz, after_workflow_id text, most integer
)
returns table (place bigint, workflow_id text, created_at timestamptz)
language sql
stable
as $$
  -- The workflows of a filter that existed before the bulk, the oldest first. A bulk never acts on bulks.
  select f.place, f.workflow_id, f.created_at
  from outlast.find_workflows(
    function => filter ->> 'function', prefix => filter ->> 'prefix', version => filter ->> 'version',
    status => outlast.filter_texts(filter, 'status'),
    error => filter ->> 'error', queue => filter ->> 'queue', parent => filter ->> 'parent',
    has_parent => (filter ->> 'has_parent')::boolean,
    since => outlast.filter_time(filter, 'since'), until => least(outlast.filter_time(filter, 'until'), before),
    completed_since => outlast.filter_time(filter, 'completed_since'),
    completed_until => outlast.filter_time(filter, 'completed_until'), attribute => outlast.filter_texts(filter, 'attribute'), held => filter ->> 'held',
    waiting_on => filter ->> 'waiting_on', error_group => filter ->> 'error_group',
    ascending => true, after_created_at => after_created_at, after_workflow_id => after_workflow_id, most => most, bulks => false) as f
$$;

create or replace function outlast.bulk_concerns(
  filter jsonb, step text, after_created_at timestamptz, after_workflow_id text, most integer,
  out concerns jsonb, out number integer, out last_created_at timestamptz, out last_workflow_id text
)
language plpgsql
stable
as $$
-- The functions of `most` workflows that a filter finds, and their names for this step, if it is recorded or
-- was seen running.
begin
  perform outlast.check_filter(bulk_concerns.filter);
  with looked as materialized (
    select f.place, f.workflow_id, f.created_at
    from outlast.find_for_bulk(bulk_concerns.filter, clock_timestamp(), after_created_at, after_workflow_id, most) as f
  )
  select
    coalesce((
      select jsonb_agg(distinct jsonb_build_array(w.function, coalesce(o.name, w.held -> 'running' ->> step)))
      from looked s
      join outlast.workflow_status w on w.workflow_id = s.workflow_id
      left join outlast.operation_outputs o on o.workflow_id = w.workflow_id and o.step_id = step), '[]'),
    count(*)::integer, (array_agg(s.created_at order by s.place desc))[1], (array_agg(s.workflow_id order by s.place desc))[1]
  into concerns, number, last_created_at, last_workflow_id
  from looked s;
end
$$;

create or replace function outlast.verb_call(verb text, arguments jsonb, out one text, out many text)
language plpgsql
stable
as $$
-- The statement that does a verb to one workflow: $1 is its id, $2 who does it, $3 why. Also the statement
-- for as many at once as possible, which takes their ids; null if the verb has none.
declare
  f record;
  name text;
  value jsonb;
  kind text;
  place integer;
  given text := '';
begin
  select p.proname, p.proargnames[:p.pronargs] as names, p.pronargs - p.pronargdefaults as needed,
    array(select format_type(t, null) from unnest(p.proargtypes) with ordinality a (t, n) order by n) as types
  into f
  from pg_proc p
  where p.pronamespace = 'outlast'::regnamespace and p.proname = verb || '_workflow'
    and p.proargnames[:p.pronargs] @> array['workflow_id', 'by', 'why'];
  if f is null then
    perform outlast.refuse_argument('bulk', 'verb', 'must be one of ' || (
      select string_agg(left(p.proname, -9), ', ' order by p.proname) from pg_proc p
      where p.pronamespace = 'outlast'::regnamespace and p.proname like '%\_workflow'
        and p.proargnames[:p.pronargs] @> array['workflow_id', 'by', 'why']
    ) || ', not ' || coalesce(quote_literal(left(verb, 100)), 'null'));
  end if;
  if jsonb_typeof(arguments) <> 'object' or octet_length(arguments::text) > 65536 then
    perform outlast.refuse_argument('bulk', 'arguments', 'must be an object: a member for each argument of ' || verb);
  end if;
  for name, value in select a.key, a.value from jsonb_each(arguments) as a loop
    place := array_position(f.names, name);
    if place is null or name in ('workflow_id', 'by', 'why') then
      perform outlast.refuse_argument('bulk', 'arguments', 'has ' || left(name, 100) || ', which ' || verb || ' does not take');
    end if;
    kind := f.types[place];
    given := given || format(', %I => ', name) || case
      when value = 'null' then format('null::%s', kind)
      when kind in ('json', 'jsonb') then format('%L::%s', value, kind)
      when kind = 'interval' and jsonb_typeof(value) = 'number' then format('make_interval(secs => %L)', value)
      when kind like '%[]' then format('array(select jsonb_array_elements_text(%L))::%s', value, kind)
      else format('%L::%s', value #>> '{}', kind) end;
  end loop;
  for name in select n from unnest(f.names[:f.needed]) as n where n not in ('workflow_id', 'by', 'why') loop
    if not arguments ? name then
      perform outlast.refuse_argument('bulk', 'arguments', 'needs ' || name || ', which ' || verb || ' takes');
    end if;
  end loop;
  one := format('select to_json(r) from outlast.%I(workflow_id => $1, by => $2, why => $3%s) as r', f.proname, given);
  if to_regproc('outlast.' || quote_ident(verb || '_many')) is not null then
    many := format('select r.workflow_id, r.answer from outlast.%I(ids => $1, by => $2, why => $3%s) as r', verb || '_many', given);
  end if;
end
$$;

create or replace function outlast.try_verb(
  call text, workflow_id text, by text, why text, out outcome text, out reason text, out answer json, out state text
)
language plpgsql
as $$
-- Does the verb to one workflow, or leaves it as it was. `outcome` is null if it must be tried again.
declare
  hint text;
begin
  execute call into answer using workflow_id, by, why;
  outcome := 'done';
exception
  -- First, because the name for 55000 catches all codes that begin with 55.
  when lock_not_available or deadlock_detected or serialization_failure then
    reason := sqlerrm;
  when no_data_found or object_not_in_prerequisite_state or invalid_parameter_value then
    get stacked diagnostics reason = message_text, hint = pg_exception_hint;
    outcome := 'refused';
    state := sqlstate;
    reason := left(concat_ws('; ', regexp_replace(reason, '^outlast\.\w+: ', ''), nullif(hint, '')), 1000);
  when others then
    outcome := 'failed';
    state := sqlstate;
    reason := left(sqlstate || ': ' || sqlerrm, 1000);
end
$$;

create or replace function outlast.try_verb_on_many(call text, ids text[], by text, why text)
returns table (workflow_id text, answer json)
language plpgsql
as $$
-- Returns the workflows that it was done to. A separate try tells why the others refused. If one of them has
-- an error, none is done here.
begin
  -- guard: many-at-once-unused = return;
  return query execute call using ids, by, why;
exception when others then null;
end
$$;

create or replace function outlast.bulk(
  verb text,
  filter jsonb,
  arguments jsonb default '{}',
  dry_run boolean default false,
  expect integer default null,
  rate integer default 50,
  why text default null,
  by text default null
)
returns table (workflow_id text, count integer, samples jsonb)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  most constant integer not null default 1000000;
  call record;
  id text;
  tried record;
begin
  perform outlast.check_text('bulk', 'why', why, 1000);
  if coalesce(rate, 0) not between 1 and 10000 then
    perform outlast.refuse_argument('bulk', 'rate', 'must be a whole number from 1 to 10,000: how many a second');
  end if;
  if expect not between 0 and most then
    perform outlast.refuse_argument('bulk', 'expect', 'must be a whole number from 0 to 1,000,000');
  end if;
  bulk.arguments := coalesce(bulk.arguments, '{}');
  perform outlast.check_filter(bulk.filter);
  call := outlast.verb_call(bulk.verb, bulk.arguments);
  -- Arguments that the verb refuses are reported now, by a try on a workflow that doesn't exist.
  select * into tried from outlast.try_verb(call.one, 'outlast:bulk:', by, why) as t;
  if tried.state is distinct from 'P0002' then
    perform outlast.refuse_argument('bulk', 'arguments', 'is refused: ' || coalesce(tried.reason, 'nothing said why'));
  end if;
  select count(*)::integer into bulk.count
  from outlast.find_for_bulk(bulk.filter, clock_timestamp(), null, null, most + 1);
  if bulk.count > most then
    perform outlast.refuse_argument('bulk', 'filter', 'lets more than 1,000,000 workflows pass: narrow it down');
  end if;
  -- guard: bulks-of-any-number = if false then
  if bulk.count <> expect then
    raise exception 'outlast.bulk: % workflows are found, and % were expected', bulk.count, expect
      using errcode = '55000', hint = 'dry_run shows some of them';
  end if;
  if coalesce(dry_run, false) then
    begin
      select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
        'workflow_id', w.workflow_id, 'function', w.function, 'status', w.status, 'outcome', t.outcome,
        'reason', t.reason, 'answer', t.answer)) order by f.place), '[]') into bulk.samples
      from outlast.find_for_bulk(bulk.filter, clock_timestamp(), null, null, 10) f
      join outlast.workflow_status w on w.workflow_id = f.workflow_id
      cross join lateral outlast.try_verb(call.one, f.workflow_id, by, why) as t;
      -- Tried, and rolled back.
      raise exception using errcode = 'OL001';
    exception when sqlstate 'OL001' then null;
    end;
    return query select null::text, bulk.count, bulk.samples;
    return;
  end if;
  id := 'outlast:bulk:' || (
    lpad(to_hex(floor(extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
    || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid;
  insert into outlast.workflow_status as w (
    workflow_id, function, status, input, claims, epoch, load_bytes, nonce, started_at, created_at
  )
  values (
    id, 'outlast.bulk', 'PENDING', json_build_object('verb', bulk.verb, 'filter', bulk.filter, 'arguments', bulk.arguments),
    '{"role":"service_role","outlast":{"mode":"sql","key":null}}', 0, 0, floor(random() * 9007199254740992)::bigint,
    clock_timestamp(), clock_timestamp()
  );
  insert into outlast.bulks (bulk_id, verb, arguments, filter, rate, expect, by, why, next_at)
  values (id, bulk.verb, bulk.arguments, bulk.filter, bulk.rate, bulk.expect, outlast.actor(bulk.by), bulk.why, clock_timestamp());
  perform outlast.note_act('workflow', id, 'bulk ' || bulk.verb, by, why, null);
  perform outlast.tell_due();
  return query select id, bulk.count, null::jsonb;
end
$$;

comment on function outlast.bulk(text, jsonb, jsonb, boolean, integer, integer, text, text) is
  'Do a verb to all workflows of a filter: the id of the workflow that does it, and to how many. dry_run only tries it on ten.';

create or replace function outlast.end_bulk(b outlast.bulks, code text, message text)
returns void
language plpgsql
as $$
-- If the bulk's row refuses, it is ended later. Until then it holds up no other bulk, and what it has done
-- stays done.
begin
  update outlast.bulks k set over = true where k.bulk_id = b.bulk_id;
  update outlast.workflow_status w
  set status = case when code is null then 'SUCCESS' else 'ERROR' end,
      output = case when code is null then json_build_object(
        'verb', b.verb, 'total', b.total, 'done', b.done, 'refused', b.refused, 'failed', b.failed) end,
      error = case when code is not null then json_build_object('code', code, 'message', message) end,
      epoch = w.epoch + 1, claimable_at = null, completed_at = clock_timestamp(), updated_at = clock_timestamp()
  where w.workflow_id = b.bulk_id;
  perform outlast.tell_ends(array[b.bulk_id]);
-- guard: refusing-bulk-stops-all = exception when assert_failure then
exception when others then
  if not outlast.is_of_rows(sqlstate) then raise; end if;
  update outlast.bulks k set next_at = clock_timestamp() + interval '10 s' where k.bulk_id = b.bulk_id;
  raise warning 'outlast.end_bulk: % stays as it is: %', b.bulk_id, sqlerrm;
end
$$;

create or replace function outlast.fix_bulk(b outlast.bulks, most integer)
returns void
language plpgsql
as $$
-- Adds more workflows to the fixed list of a bulk. Once the list is complete it must have the expected
-- length.
declare
  added record;
begin
  with found as (
    select f.place, f.workflow_id, f.created_at
    from outlast.find_for_bulk(
      b.filter, (select w.created_at from outlast.workflow_status w where w.workflow_id = b.bulk_id),
      b.after_created_at, b.after_workflow_id, most) as f
  ), kept as (
    insert into outlast.bulk_items (bulk_id, place, workflow_id)
    select b.bulk_id, b.total + f.place, f.workflow_id from found f
  )
  select count(*)::integer as n, max(f.place) as last,
    (array_agg(f.created_at order by f.place desc))[1] as created_at,
    (array_agg(f.workflow_id order by f.place desc))[1] as workflow_id
  into added from found f;
  b.total := b.total + added.n;
  b.fixed := added.n < most;
  update outlast.bulks k
  set total = b.total, fixed = b.fixed,
      after_created_at = coalesce(added.created_at, k.after_created_at),
      after_workflow_id = coalesce(added.workflow_id, k.after_workflow_id)
  where k.bulk_id = b.bulk_id;
  if b.total > 1000000 then
    perform outlast.end_bulk(b, 'bulk_too_large', 'more than 1,000,000 workflows were found: nothing was done');
  -- guard: bulks-of-what-came-meanwhile = elsif false then
  elsif b.fixed and b.total <> b.expect then
    perform outlast.end_bulk(b, 'bulk_unexpected', b.total || ' workflows were found, and ' || b.expect
      || ' were expected: nothing was done');
  elsif b.fixed and b.total = 0 then
    perform outlast.end_bulk(b, null, null);
  end if;
end
$$;

create or replace function outlast.do_items(
  b outlast.bulks, one text, many text, last integer, until timestamptz,
  out did integer, out tries integer, out stopped boolean
)
language plpgsql
as $$
-- Does the verb to the items up to `last`: at once to those that allow it, to each of the others separately.
-- `did`: how many have an outcome now. `stopped`: a row is locked, and its item is tried again later; or it
-- takes too long.
declare
  tries_max constant integer not null default 20;
  item record;
  tried record;
begin
  did := 0;
  tries := b.tries;
  stopped := false;
  if many is not null then
    update outlast.bulk_items i
    set outcome = 'done', answer = m.answer, at = clock_timestamp()
    from outlast.try_verb_on_many(many, array(
      select n.workflow_id from outlast.bulk_items n
      where n.bulk_id = b.bulk_id and n.place > b.place and n.place <= last and n.outcome is null
    ), b."by", b.why) as m
    where i.bulk_id = b.bulk_id and i.place > b.place and i.place <= last and i.workflow_id = m.workflow_id;
    get diagnostics did = row_count;
  end if;
  for item in
    select i.place, i.workflow_id from outlast.bulk_items i
    where i.bulk_id = b.bulk_id and i.place <= last
      -- guard: items-done-again
      and i.place > b.place and i.outcome is null
    order by i.place
  loop
    stopped := clock_timestamp() > until;
    exit when stopped;
    select * into tried from outlast.try_verb(one, item.workflow_id, b."by", b.why) as t;
    stopped := tried.outcome is null and tries < tries_max;
    tries := case when stopped then tries + 1 else 0 end;
    exit when stopped;
    update outlast.bulk_items i
    set outcome = coalesce(tried.outcome, 'failed'), reason = tried.reason, answer = tried.answer, at = clock_timestamp()
    where i.bulk_id = b.bulk_id and i.place = item.place;
    did := did + 1;
  end loop;
end
$$;

create or replace function outlast.do_bulk(b outlast.bulks)
returns void
language plpgsql
as $$
-- Does a block: as many items as its rate allows in a fifth of a second, for at most half a second. It begins
-- with few, since each may take long.
declare
  call constant record := outlast.verb_call(b.verb, b.arguments);
  began constant timestamptz not null default clock_timestamp();
  patience constant text not null default current_setting('lock_timeout');
  before constant integer not null default b.place;
  remain integer := greatest(1, ceil(b.rate / 5.0))::integer;
  portion integer := 25;
  last integer;
  got record;
  did integer := 0;
begin
  -- A longer wait for one row would make others wait for the rows that this has locked.
  perform set_config('lock_timeout', '1s', true);
  perform set_config('outlast.bulk', 'on', true);
  loop
    last := (
      select max(n.place) from (
        select i.place from outlast.bulk_items i
        where i.bulk_id = b.bulk_id and i.place > b.place and i.outcome is null
        order by i.place limit least(portion, remain)) as n);
    exit when last is null;
    got := outlast.do_items(b, call.one, call.many, last, began + interval '500 ms');
    b.tries := got.tries;
    did := did + got.did;
    remain := remain - got.did;
    exit when got.stopped or remain <= 0 or clock_timestamp() > began + interval '500 ms';
    b.place := last;
    portion := least(2 * portion, 400);
  end loop;
  perform set_config('outlast.bulk', '', true);
  perform set_config('lock_timeout', patience, true);
  -- guard: bulks-tell-nobody
  perform outlast.tell_untold();
  -- guard: bulks-without-rate
  b.next_at := greatest(b.next_at, began - interval '1 s') + make_interval(secs => greatest(did, 1) / b.rate::float8);
  -- Items after one whose row is locked may be done already: they count once that one is done.
  b.place := coalesce((
    select i.place - 1 from outlast.bulk_items i
    where i.bulk_id = b.bulk_id and i.place > b.place and i.outcome is null
    order by i.place limit 1), b.total);
  select b.done + count(*) filter (where i.outcome = 'done'), b.refused + count(*) filter (where i.outcome = 'refused'),
    b.failed + count(*) filter (where i.outcome = 'failed')
  into b.done, b.refused, b.failed
  from outlast.bulk_items i where i.bulk_id = b.bulk_id and i.place > before and i.place <= b.place;
  update outlast.bulks k
  set place = b.place, done = b.done, refused = b.refused, failed = b.failed, tries = b.tries, next_at = b.next_at
  where k.bulk_id = b.bulk_id;
  if b.place = b.total then
    perform outlast.end_bulk(b, null, null);
  end if;
end
$$;

create or replace function outlast.run_bulk(
  most integer default 10000, out ran text, out next_s float8, out fault text
)
language plpgsql
as $$
-- Does one block of a bulk that is due and that no other instance works on: `ran` is its id, `fault` why it
-- can't be done now. `next_s`: when the next one is due. It locks the workflow's row, so that a pause or a
-- cancel comes between two blocks.
declare
  b outlast.bulks;
  w outlast.workflow_status;
begin
  select k.* into b from outlast.bulks k
  where not k.over and k.next_at <= clock_timestamp()
  -- guard: one-bulk-by-two = order by k.next_at limit 1;
  order by k.next_at limit 1 for no key update skip locked;
  if found then
    ran := b.bulk_id;
    select * into w from outlast.workflow_status x where x.workflow_id = b.bulk_id
    -- guard: held-bulk-stops-all = for no key update;
    for no key update skip locked;
    if not found and exists (select from outlast.workflow_status x where x.workflow_id = b.bulk_id) then
      -- Somebody is about to pause or cancel it. Others are done meanwhile.
      update outlast.bulks k set next_at = clock_timestamp() + interval '1 s' where k.bulk_id = b.bulk_id;
    -- guard: cancelled-bulks-go-on = elsif false then
    elsif w.status <> 'PENDING' then
      update outlast.bulks k set over = true where k.bulk_id = b.bulk_id;
    -- guard: paused-bulks-go-on = elsif false then
    elsif w.held is not null then
      update outlast.bulks k set next_at = clock_timestamp() + interval '1 s' where k.bulk_id = b.bulk_id;
    else
      begin
        if b.fixed then
          perform outlast.do_bulk(b);
        else
          perform outlast.fix_bulk(b, most);
        end if;
      -- guard: failing-bulk-stops-all = exception when assert_failure then
      exception when others then
        if not (outlast.is_of_rows(sqlstate) or sqlstate = '55P03') then raise; end if;
        fault := sqlerrm;
        update outlast.bulks k set next_at = clock_timestamp() + interval '10 s' where k.bulk_id = b.bulk_id;
      end;
    end if;
  end if;
  select greatest(extract(epoch from k.next_at - clock_timestamp()), 0)::float8 into next_s
  from outlast.bulks k where not k.over order by k.next_at limit 1;
end
$$;

select outlast.take_rights(
  '20261129080000',
  functions => array[
    'attribute_terms', 'check_attributes', 'merged_attributes', 'error_told', 'filter_text', 'filter_texts',
    'filter_time', 'check_filter', 'find_for_bulk', 'bulk_concerns', 'verb_call', 'try_verb', 'try_verb_on_many', 'do_items',
    'end_bulk', 'fix_bulk', 'do_bulk', 'run_bulk'],
  tables => array['bulks', 'bulk_items'],
  of_service => array['set_workflow', 'find_workflows', 'bulk']);

insert into outlast.schema_migrations (version) values ('20261129080000') on conflict do nothing;
