-- What workflows are found by: attributes, and the filters of lists, which bulks go by too. Every statement may run twice.

create or replace function outlast.attribute_terms(attributes json)
returns text[]
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  -- What is no attribute, such as the header of a queue's message, is found by nothing: an index takes no long text.
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
set search_path = pg_catalog, pg_temp
as $$
-- As core/attributes.py checks them: a test compares the two.
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
set search_path = pg_catalog, pg_temp
as $$
-- Attributes after changes; null takes one away.
declare
  whole constant jsonb not null default (
    select coalesce(jsonb_object_agg(a.key, a.value), '{}')
    from jsonb_each(coalesce(attributes::jsonb, '{}') || changes::jsonb) as a where a.value <> 'null');
begin
  -- guard: attributes-without-end
  if (select count(*) from jsonb_object_keys(whole)) > 32 then
    perform outlast.refuse_argument(verb, 'attributes', 'would be more than 32');
  end if;
  return nullif(whole, '{}');
end
$$;

-- An index for each filter that a page must not read all rows for. Those of roots are most rows where there are no
-- children; where a map has a million, they are few.
create index if not exists workflow_status_roots on outlast.workflow_status (created_at, workflow_id)
  where parent is null;
create index if not exists workflow_status_failed on outlast.workflow_status (created_at, workflow_id)
  where status in ('ERROR', 'CANCELLED', 'EXHAUSTED');
create index if not exists workflow_status_function on outlast.workflow_status (function, created_at, workflow_id);
create index if not exists workflow_status_version on outlast.workflow_status (version, created_at, workflow_id)
  where version is not null;
create index if not exists workflow_status_completed on outlast.workflow_status (completed_at, workflow_id)
  where completed_at is not null;
create index if not exists workflow_status_attributes on outlast.workflow_status
  using gin (outlast.attribute_terms(attributes)) where attributes is not null;

do $$
begin
  -- Where texts are ordered by a language, the primary key finds none by their beginnings.
  if not exists (
    select from pg_database d where d.datname = current_database() and d.datcollate in ('C', 'POSIX') and d.datlocprovider = 'c'
  ) then
    create index if not exists workflow_status_prefix on outlast.workflow_status (workflow_id text_pattern_ops);
  end if;
end
$$;

create or replace function outlast.error_told(error json, whole boolean, out code text, out message text)
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- What a list tells of an error, and finds it by. A user (not `whole`) can neither see nor search the text of an
  -- exception. Postgres's text can't hold \u0000.
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
  attribute text default null,
  ascending boolean default false,
  subject text default null,
  after_created_at timestamptz default null,
  after_workflow_id text default null,
  most bigint default null
)
returns table (place bigint, workflow_id text, created_at timestamptz)
language plpgsql
stable
security definer
rows 50
-- Planned for the filters that are given: what is null falls away, and the index that fits is taken.
set plan_cache_mode = force_custom_plan
set search_path = pg_catalog, pg_temp
as $$
-- The workflows that all of these filters let pass, in the order they were created; the newest first, unless
-- `ascending`. Lists, bulks and SQL find by this.
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
      and (find_workflows.queue is null or w.queue = find_workflows.queue)
      and (find_workflows.parent is null or w.parent = find_workflows.parent)
      and (find_workflows.has_parent is null
        or case when find_workflows.has_parent then w.parent is not null else w.parent is null end)
      and (find_workflows.since is null or w.created_at >= find_workflows.since)
      and (find_workflows.until is null or w.created_at < find_workflows.until)
      and (find_workflows.completed_since is null or w.completed_at >= find_workflows.completed_since)
      and (find_workflows.completed_until is null or w.completed_at < find_workflows.completed_until)
      and (find_workflows.attribute is null
        or (w.attributes is not null and outlast.attribute_terms(w.attributes) @> array[find_workflows.attribute]))
      and (find_workflows.after_created_at is null or case
        when backwards
          then (w.created_at, w.workflow_id) < (find_workflows.after_created_at, find_workflows.after_workflow_id)
        else (w.created_at, w.workflow_id) > (find_workflows.after_created_at, find_workflows.after_workflow_id)
      end)
      -- Last, as it reads what is long. What has no error has not failed.
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

comment on function outlast.find_workflows(
  text, text, text, text[], text, text, text, boolean, timestamptz, timestamptz, timestamptz, timestamptz, text,
  boolean, text, timestamptz, text, bigint
) is 'The workflows that pass all the filters given, in the order they were created: as the list over HTTP finds them.';

create or replace function outlast.set_workflow(
  workflow_id text, attributes jsonb, why text default null, by text default null
)
returns table (changed text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
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

do $$
declare
  role_name text;
  made text;
  applied boolean := exists (select from outlast.schema_migrations where version = '20261129080000');
begin
  foreach made in array array[
    'attribute_terms(json)', 'check_attributes(text, jsonb, boolean)', 'merged_attributes(text, json, json)',
    'error_told(json, boolean)', 'set_workflow(text, jsonb, text, text)',
    'find_workflows(text, text, text, text[], text, text, text, boolean, timestamptz, timestamptz, timestamptz,'
      ' timestamptz, text, boolean, text, timestamptz, text, bigint)'
  ] loop
    execute format('revoke all on function outlast.%s from public', made);
    foreach role_name in array array['anon', 'authenticated', 'service_role'] loop
      -- Once only: what the project grants later is its own affair.
      if not applied and exists (select from pg_roles where rolname = role_name) then
        execute format('revoke all on function outlast.%s from %I', made, role_name);
        if role_name = 'service_role' and made like any (array['set_%', 'find_%']) then
          execute format('grant execute on function outlast.%s to service_role', made);
        end if;
      end if;
    end loop;
  end loop;
end
$$;

insert into outlast.schema_migrations (version) values ('20261129080000') on conflict do nothing;
