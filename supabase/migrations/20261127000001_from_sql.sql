-- Workflows from SQL: the database's own users start, cancel and read them. Every statement may run twice.
-- The right to EXECUTE decides who may do what: functions named _any act on all workflows, those named _own
-- on the user's. By default only the owner of the schema and service_role have it. Paths end with pg_temp.
-- Otherwise a type in the caller's temporary schema would go before Postgres's (its manual, "Writing SECURITY
-- DEFINER Functions Safely").

create or replace function outlast.workflow_id_of(function text, subject text, key text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- Must be the same as in core/names.py; a test compares them.
  select case
    when length(readable) <= 512 then readable
    else function || ':%sha256-' || encode(sha256(convert_to(readable, 'UTF8')), 'hex')
  end
  from (
    select function
      || coalesce(':' || replace(replace(replace(subject, '%', '%25'), ':', '%3A'), '/', '%2F'), '')
      || ':' || replace(replace(replace(key, '%', '%25'), ':', '%3A'), '/', '%2F')
  ) as id (readable)
$$;

create or replace function outlast.claims()
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  claims jsonb;
begin
  -- The claims of the user in whose name this transaction runs (PostgREST sets them); null for any other
  -- session.
  begin
    claims := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  exception when others then
    raise exception 'request.jwt.claims is no JSON' using errcode = '22023';
  end;
  if jsonb_typeof(claims) <> 'object' then
    raise exception 'request.jwt.claims is no JSON object' using errcode = '22023';
  end if;
  -- Under this name Outlast keeps values that aren't part of a JWT.
  return claims - 'outlast';
end
$$;

create or replace function outlast.subject(claims jsonb)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select nullif(claims ->> 'sub', '') where jsonb_typeof(claims -> 'sub') = 'string'
$$;

create or replace function outlast.start_as(
  function text, input text, idempotency_key text, queue text, claims jsonb
)
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  name constant text not null default '[A-Za-z][A-Za-z0-9_-]{0,254}';
  bytes_max constant integer not null default 16 * 1024 * 1024;
  subject text := outlast.subject(claims);
  anonymous boolean := claims is not null and subject is null
    and claims ->> 'role' is distinct from 'service_role';
  canonical text;
  fingerprint text;
  workflow_id text;
  standing record;
begin
  if function is null or function collate "C" !~ ('^' || name || '(/[A-Za-z_][A-Za-z0-9_-]{0,254})?$') then
    raise exception 'outlast.start: a function''s name is FILE or FILE/WORKFLOW, not %',
      coalesce(quote_literal(left(function, 100)), 'null')
      using errcode = '22023', hint = 'a letter, then letters, digits, "_" and "-"';
  end if;
  if idempotency_key collate "C" !~ '^[ -~]{1,255}$' then
    raise exception 'outlast.start: an idempotency key is 1 to 255 printable ASCII characters'
      using errcode = '22023';
  end if;
  if anonymous and idempotency_key collate "C" !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    raise exception 'outlast.start: callers without a user share their keys, so that one of theirs must be a UUID'
      using errcode = '22023';
  end if;
  if queue collate "C" !~ ('^' || name || '$') then
    raise exception 'outlast.start: a queue''s name is a letter, then letters, digits, "_" and "-", not %',
      quote_literal(left(queue, 100)) using errcode = '22023';
  end if;
  if input is null then
    raise exception 'outlast.start: the input is null' using errcode = '22023',
      hint = 'leave it out for a function without parameters; JSON''s null is ''null''';
  end if;
  if octet_length(input) > bytes_max then
    raise exception 'outlast.start: the input is % bytes, and at most % are taken', octet_length(input), bytes_max
      using errcode = '22023', hint = 'keep it in a table or in Storage, and hand over where it is';
  end if;
  begin
    -- As jsonb writes it, so that payloads with other white space or order of keys are equal.
    canonical := input::jsonb::text;
  exception when others then
    raise exception 'outlast.start: the input is no JSON that Postgres can hold: %', sqlerrm
      using errcode = '22023';
  end;
  fingerprint := encode(sha256(convert_to(
    '5:START' || octet_length(convert_to(function, 'UTF8')) || ':' || function || '0:0:'
      || octet_length(convert_to(canonical, 'UTF8')) || ':' || canonical, 'UTF8')), 'hex');
  workflow_id := case
    when idempotency_key is null then
      -- A UUIDv7 (RFC 9562 section 5.7): milliseconds first, the rest is random.
      function || ':' || (
        lpad(to_hex(floor(extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
        || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid
    else outlast.workflow_id_of(function, case when anonymous then 'anon' else subject end, idempotency_key)
  end;
  loop
    insert into outlast.workflow_status as w (
      workflow_id, function, status, input, idempotency_key, fingerprint, subject, claims, queue, claimable_at,
      created_at, updated_at
    ) values (
      workflow_id, function, 'ENQUEUED', input::json, idempotency_key, fingerprint, subject,
      coalesce(claims::json, '{"role":"service_role","outlast":{"mode":"sql","key":null}}'), queue,
      clock_timestamp(), clock_timestamp(), clock_timestamp()
    )
    -- Waits for another transaction with the same key; above READ COMMITTED it may then fail (40001).
    on conflict on constraint workflow_status_pkey do nothing;
    exit when found;
    select w.fingerprint = fingerprint as same into standing
    from outlast.workflow_status w where w.workflow_id = workflow_id;
    exit when standing.same;
    if found then
      raise exception 'outlast.start: this idempotency key was used with another payload'
        using errcode = 'PT422', hint = 'the same key is the same call: use another key for another one';
    end if;
    -- It was removed a moment ago.
  end loop;
  return workflow_id;
end
$$;

create or replace function outlast.start_any(function text, input text, idempotency_key text, queue text)
returns text
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
  -- Without claims it is the service.
  select outlast.start_as(function, input, idempotency_key, queue, outlast.claims())
$$;

create or replace function outlast.start_own(function text, input text, idempotency_key text, queue text)
returns text
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
  -- Without claims it is anybody.
  select outlast.start_as(
    function, input, idempotency_key, queue, coalesce(outlast.claims(), '{"role":"anon"}'))
$$;

create or replace function outlast.start(
  function text,
  input text default '{}',
  idempotency_key text default null,
  queue text default null
)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  -- The caller's own rights decide; in a SECURITY DEFINER function the owner's would.
  if has_function_privilege('outlast.start_any(text, text, text, text)', 'execute') then
    return outlast.start_any(function, input, idempotency_key, queue);
  end if;
  return outlast.start_own(function, input, idempotency_key, queue);
end
$$;

comment on function outlast.start(text, text, text, text) is
  'Start a workflow in this transaction; its id. Commit starts it, rollback does not.';

-- The types that JSON has. A literal of unknown type takes the text version above.
create or replace function outlast.start(
  function text, input json, idempotency_key text default null, queue text default null
)
returns text
language sql
set search_path = pg_catalog, pg_temp
as $$ select outlast.start(function, input::text, idempotency_key, queue) $$;

create or replace function outlast.start(
  function text, input jsonb, idempotency_key text default null, queue text default null
)
returns text
language sql
set search_path = pg_catalog, pg_temp
as $$ select outlast.start(function, input::text, idempotency_key, queue) $$;

create or replace function outlast.cancel_any(workflow_id text)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  -- As in store/workflows.sql: raising the epoch fences off all later writes of the instance that runs it.
  update outlast.workflow_status w
  set status = 'CANCELLED', owner = null, epoch = epoch + 1, claimable_at = null,
      nonce = floor(random() * 9007199254740992)::bigint,
      error = json_build_object('code', 'workflow_cancelled', 'message', 'the workflow was cancelled'),
      completed_at = now(), updated_at = now()
  where w.workflow_id = cancel_any.workflow_id and status in ('ENQUEUED', 'PENDING');
  return found;
end
$$;

comment on function outlast.cancel_any(text) is 'End a workflow as CANCELLED, whoever it belongs to.';

create or replace function outlast.cancel_own(workflow_id text)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  return exists (
    select from outlast.workflow_status w
    where w.workflow_id = cancel_own.workflow_id and w.subject = outlast.subject(outlast.claims())
  ) and outlast.cancel_any(cancel_own.workflow_id);
end
$$;

comment on function outlast.cancel_own(text) is 'End a workflow of the signed-in user as CANCELLED.';

create or replace function outlast.cancel(workflow_id text)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  -- As for outlast.start.
  if has_function_privilege('outlast.cancel_any(text)', 'execute') then
    return outlast.cancel_any(workflow_id);
  end if;
  return outlast.cancel_own(workflow_id);
end
$$;

comment on function outlast.cancel(text) is
  'End a workflow as CANCELLED; whether it was live, and the caller''s to cancel.';

create or replace function outlast.public_error(workflow_id text)
returns json
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  -- As in core/outcomes.py: never the failure itself, which holds a traceback.
  select case coalesce(w.error ->> 'code', 'workflow_error')
    when 'http_exception' then json_build_object(
      'code', 'http_exception', 'message', w.error ->> 'detail',
      'status', w.error -> 'status', 'detail', w.error -> 'detail')
    when 'non_determinism' then json_build_object(
      'code', 'non_determinism',
      'message', 'the function''s code no longer matches what is recorded of this workflow')
    else json_build_object(
      'code', coalesce(w.error ->> 'code', 'workflow_error'),
      'message', coalesce(
        w.error ->> 'message', 'the function failed with an uncaught exception; its log tells more'))
  end
  from outlast.workflow_status w
  where w.workflow_id = public_error.workflow_id and w.error is not null
    and (w.subject = outlast.subject(outlast.claims())
      or current_setting('role') = 'service_role'
      or (current_setting('role') = 'none'
        and has_table_privilege(session_user, 'outlast.workflow_status', 'select')))
$$;

create or replace view outlast.workflows with (security_invoker = true) as
select
  workflow_id, function, status, input, output,
  case when status in ('ERROR', 'CANCELLED', 'EXHAUSTED') then outlast.public_error(workflow_id) end as error,
  queue, recovery_attempts, claimable_at, created_at, started_at, updated_at, completed_at
from outlast.workflow_status;

comment on view outlast.workflows is 'What the owner of a workflow may see of it: the rows of request.jwt.claims'' sub.';

-- For owners who search for their own workflows among all.
create index if not exists workflow_status_subject on outlast.workflow_status (subject, created_at)
  where subject is not null;

revoke all on all functions in schema outlast from public;

do $$
declare
  role_name text;
begin
  foreach role_name in array array['anon', 'authenticated'] loop
    -- Only once, so that later grants of the project stay.
    if exists (select from pg_roles where rolname = role_name)
      and not exists (select from outlast.schema_migrations where version = '20261127000001')
    then
      execute format('revoke all on all functions in schema outlast from %I', role_name);
    end if;
  end loop;
  foreach role_name in array array['authenticated', 'service_role'] loop
    if exists (select from pg_roles where rolname = role_name) then
      execute format('grant usage on schema outlast to %I', role_name);
      execute format('grant select on outlast.workflows to %I', role_name);
      execute format('grant execute on function outlast.public_error(text) to %I', role_name);
      execute format(
        'grant select (workflow_id, function, status, input, output, queue, recovery_attempts, claimable_at,'
        ' created_at, started_at, updated_at, completed_at) on outlast.workflow_status to %I', role_name);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'service_role') then
    grant execute on function
      outlast.start(text, text, text, text), outlast.start(text, json, text, text),
      outlast.start(text, jsonb, text, text), outlast.start_any(text, text, text, text),
      outlast.cancel(text), outlast.cancel_any(text)
      to service_role;
  end if;
  if exists (select from pg_roles where rolname = 'authenticated') then
    drop policy if exists seen_by_their_owner on outlast.workflow_status;
    create policy seen_by_their_owner on outlast.workflow_status for select to authenticated
      using (subject = (select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'));
  end if;
end
$$;

insert into outlast.schema_migrations (version) values ('20261127000001') on conflict do nothing;
