-- Workflows from SQL: the database's own users start and read them. Every statement may run twice.
-- The right to EXECUTE decides who may do what: functions named _any act on all workflows, those named _own
-- on the user's. By default only the owner of the schema and service_role have it. Paths end with pg_temp.
-- Otherwise a type in the caller's temporary schema would go before Postgres's (its manual, "Writing SECURITY
-- DEFINER Functions Safely").

create or replace function outlast.workflow_id_of(function text, subject text, key text)
returns text
language sql
immutable
as $$
  -- Must be the same as in core/names.py; a test compares them. An id that ends in ~ and a number is a
  -- fork's.
  select case
    when octet_length(readable) <= 512 then readable
    else function || ':%sha256-' || encode(sha256(convert_to(readable, 'UTF8')), 'hex')
  end
  from (
    select regexp_replace(
      function
        || coalesce(':' || replace(replace(replace(subject, '%', '%25'), ':', '%3A'), '/', '%2F'), '')
        || ':' || replace(replace(replace(key, '%', '%25'), ':', '%3A'), '/', '%2F'),
      '~(?=[0-9]+$)', '%7E')
  ) as id (readable)
$$;

-- Rows keep JSON byte for byte, for the functions. A text that its readers refuse would make `->>` and a cast to
-- jsonb fail, and so every query over the row: what SQL reads goes through this.
create or replace function outlast.readable(value json)
returns json
language sql
immutable
parallel safe
as $$
  select case when strpos(value::text, '\u') = 0 then value else
    -- A backslash that is itself escaped begins no escape. A low half after its high half is kept.
    regexp_replace(regexp_replace(
      value::text,
      '(?<!\\)((?:\\\\)*)\\u(?:0000|[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2}))', '\1\\ufffd', 'g'),
      '(?<!\\u[dD][89abAB][0-9a-fA-F]{2})(?<!\\)((?:\\\\)*)\\u[dD][c-fC-F][0-9a-fA-F]{2}', '\1\\ufffd', 'g')::json
  end
$$;

comment on function outlast.readable(json) is
  'The value with U+FFFD in place of what json holds and its readers refuse: \u0000 and half a surrogate pair.';

-- Whose rights count. Anybody can change a setting, so claims are trusted only as far as the session's own
-- rights go.
create or replace function outlast.acting_role()
returns name
language sql
stable
as $$
  -- Who acts in this transaction: the role of SET ROLE, which the Data API uses, otherwise the role that
  -- logged in. Within SECURITY DEFINER functions current_user is their owner. The setting `role` stays, and
  -- Postgres checks who may set it.
  select case current_setting('role') when 'none' then session_user else current_setting('role')::name end
$$;

create or replace function outlast.sees_all()
returns boolean
language sql
stable
as $$
  select outlast.acting_role() = 'service_role'
    or has_table_privilege(outlast.acting_role(), 'outlast.workflow_status', 'select')
$$;

create or replace function outlast.may_speak_as(role_name text)
returns boolean
language sql
stable
as $$
  -- A role that may start workflows as the service may do so for any user. Others may act only as a role to
  -- which they may SET ROLE.
  select has_function_privilege(outlast.acting_role(), 'outlast.start_any(text, text, text, text, integer, interval, jsonb)', 'execute')
    or exists (
      select from pg_roles r
      where r.rolname = role_name and pg_has_role(
        outlast.acting_role(), r.oid,
        -- Since Postgres 16 a member may lack the right to SET ROLE.
        case when current_setting('server_version_num')::integer >= 160000 then 'SET' else 'MEMBER' end)
    )
$$;

create or replace function outlast.claims()
returns jsonb
language plpgsql
stable
as $$
declare
  claims jsonb;
  -- As PostgREST reads it: a token that names no role has the anonymous role.
  claimed text;
begin
  -- The claims of the user in whose name this transaction runs (PostgREST sets them); null for any other
  -- session.
  begin
    claims := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  exception when others then
    raise exception 'request.jwt.claims is no JSON' using errcode = '22023';
  end;
  if claims is null then
    return null;
  end if;
  if jsonb_typeof(claims) <> 'object' then
    raise exception 'request.jwt.claims is no JSON object' using errcode = '22023';
  end if;
  claimed := coalesce(claims ->> 'role', 'anon');
  if not outlast.may_speak_as(claimed) then
    raise exception 'request.jwt.claims name the role %, which % may not have',
      quote_literal(left(claimed, 63)), quote_ident(outlast.acting_role())
      using errcode = '42501',
      hint = 'claims count only with the role that they name: SET ROLE to it, as the Data API does, or leave them empty';
  end if;
  -- Under this name Outlast keeps values that aren't part of a JWT.
  return claims - 'outlast';
end
$$;

create or replace function outlast.subject(claims jsonb)
returns text
language sql
immutable
as $$
  select nullif(claims ->> 'sub', '') where jsonb_typeof(claims -> 'sub') = 'string'
$$;

-- Instances with real sessions LISTEN, and so notice new workflows at once.
create or replace function outlast.tell_due()
returns void
language plpgsql
as $$
begin
  -- A commit that notifies holds a lock of the whole server. So only one transaction at a time notifies. What
  -- a transaction without the advisory lock commits is found by the look that the lock's owner causes, or by
  -- the next tick. If nobody emptied the server's notification queue, commits would fail once it is full.
  if pg_notification_queue_usage() < 0.5 and pg_try_advisory_xact_lock(hashtextextended('outlast_due', 0)) then
    perform pg_notify('outlast_due', '');
  end if;
end
$$;

create or replace function outlast.check_start(
  function text, input text, idempotency_key text, queue text, anonymous boolean
)
returns void
language plpgsql
immutable
as $$
declare
  name constant text not null default '[A-Za-z][A-Za-z0-9_-]{0,254}';
  bytes_max constant integer not null default 16 * 1024 * 1024;
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
    perform input::jsonb;
  exception when others then
    raise exception 'outlast.start: the input is no JSON that Postgres can hold: %', sqlerrm
      using errcode = '22023';
  end;
end
$$;

comment on function outlast.check_start(text, text, text, text, boolean) is
  'Raises what is wrong with the arguments of outlast.start.';

create or replace function outlast.start_as(
  function text, input text, idempotency_key text, queue text, priority integer, delay interval, attributes jsonb,
  claims jsonb
)
returns text
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  caller text := outlast.subject(claims);
  anonymous boolean := claims is not null and caller is null and claims ->> 'role' is distinct from 'service_role';
  place text := queue;
  delay_s constant float8 := extract(epoch from delay);
  id text;
  result record;
  same boolean;
begin
  perform outlast.check_start(function, input, idempotency_key, place, anonymous);
  if priority not between -86400 and 86400 then
    raise exception 'outlast.start: a priority is -86400 to 86400 seconds of head start, not %', priority
      using errcode = '22023';
  end if;
  if delay_s not between 0 and 315360000 then
    raise exception 'outlast.start: a delay is between nothing and ten years, not % s', delay_s using errcode = '22023';
  end if;
  perform outlast.check_attributes('start', attributes);
  if place is null then
    place := outlast.queue_of(start_as.function);
  end if;
  if place is null and priority <> 0 then
    raise exception 'outlast.start: a priority counts within a queue, and % has none', start_as.function
      using errcode = '22023', hint = 'name a queue, or declare the function with one';
  end if;
  id := case
    when idempotency_key is null then
      -- A UUIDv7 (RFC 9562 section 5.7): milliseconds first, the rest is random.
      function || ':' || (
        lpad(to_hex(floor(extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
        || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid
    else outlast.workflow_id_of(function, case when anonymous then 'anon' else caller end, idempotency_key)
  end;
  loop
    select * into result from outlast.enqueue(
      id, start_as.function, start_as.input, null, start_as.idempotency_key, null, caller,
      coalesce(start_as.claims::text, '{"role":"service_role","outlast":{"mode":"sql","key":null}}'),
      place, null, priority, delay_s, null, null, null, null, null, nullif(attributes, '{}')::text);
    exit when result.outcome in ('started', 'attached');
    if result.outcome <> 'exists' then
      perform outlast.refuse_start(result.outcome, place, result.retry_s);
    end if;
    select coalesce(
      (select a.payload = md5(start_as.input::jsonb::text) from outlast.attached a where a.workflow_id = id),
      w.input::jsonb = start_as.input::jsonb) into same
    from outlast.workflow_status w
    where w.workflow_id = coalesce((select a.target from outlast.attached a where a.workflow_id = id), id);
    exit when same;
    if found then
      raise exception 'outlast.start: this idempotency key was used with another payload'
        using errcode = 'PT422', hint = 'the same key is the same call: use another key for another one';
    end if;
    -- It was removed a moment ago.
  end loop;
  return coalesce((select a.target from outlast.attached a where a.workflow_id = id), id);
end
$$;

create or replace function outlast.refuse_start(outcome text, queue text, retry_s float8)
returns void
language plpgsql
immutable
as $$
begin
  case outcome
    when 'key_missing' then
      raise exception 'outlast.start: the input has nothing where queue % finds its key', quote_literal(queue)
        using errcode = '22023',
        hint = 'the key is a text, a whole number or a truth of at most 255 characters, at the path that the queue names;'
          ' a key that is a Python function can''t be had from SQL';
    when 'not_in_batches' then
      raise exception 'outlast.start: queue % has batches, which the function does not take', quote_literal(queue)
        using errcode = '22023', hint = 'name another queue, or declare the function with this one';
    when 'queue_full' then
      raise exception 'outlast.start: queue % is full', quote_literal(queue)
        using errcode = 'PT429', hint = 'try again later, or raise its max_backlog';
    when 'rate_limited' then
      raise exception 'outlast.start: queue % takes no more calls now', quote_literal(queue)
        using errcode = 'PT429', hint = 'try again in ' || round(retry_s::numeric, 3) || ' s';
    when 'queue_busy' then
      raise exception 'outlast.start: queue % has this key at work already', quote_literal(queue)
        using errcode = 'PT409', hint = 'on_busy="skip" says so; "wait" would let it wait';
  end case;
end
$$;

create or replace function outlast.start_any(
  function text, input text, idempotency_key text, queue text,
  priority integer default 0, delay interval default null, attributes jsonb default null
)
returns text
language sql
security definer
as $$
  -- Without claims it is the service.
  select outlast.tell_due();
  select outlast.start_as(function, input, idempotency_key, queue, priority, delay, attributes, outlast.claims())
$$;

create or replace function outlast.start_own(
  function text, input text, idempotency_key text, queue text,
  priority integer default 0, delay interval default null, attributes jsonb default null
)
returns text
language sql
security definer
as $$
  -- Without claims it is anybody.
  select outlast.tell_due();
  select outlast.start_as(
    function, input, idempotency_key, queue, priority, delay, attributes,
    coalesce(outlast.claims(), '{"role":"anon"}'))
$$;

create or replace function outlast.start(
  function text, input text default '{}', idempotency_key text default null, queue text default null,
  priority integer default 0, delay interval default null, attributes jsonb default null
)
returns text
language plpgsql
as $$
begin
  -- The caller's own rights decide; in a SECURITY DEFINER function the owner's would.
  if has_function_privilege('outlast.start_any(text, text, text, text, integer, interval, jsonb)', 'execute') then
    return outlast.start_any(function, input, idempotency_key, queue, priority, delay, attributes);
  end if;
  return outlast.start_own(function, input, idempotency_key, queue, priority, delay, attributes);
end
$$;

comment on function outlast.start(text, text, text, text, integer, interval, jsonb) is
  'Start a workflow in this transaction; its id. Commit starts it, rollback does not. `priority` is seconds of head start within its queue; it begins when `delay` is over, and is found by its attributes.';

-- The types that JSON has. A literal of unknown type takes the text version above.
create or replace function outlast.start(
  function text, input json, idempotency_key text default null, queue text default null,
  priority integer default 0, delay interval default null, attributes jsonb default null
)
returns text
language sql
as $$ select outlast.start(function, input::text, idempotency_key, queue, priority, delay, attributes) $$;

create or replace function outlast.start(
  function text, input jsonb, idempotency_key text default null, queue text default null,
  priority integer default 0, delay interval default null, attributes jsonb default null
)
returns text
language sql
as $$ select outlast.start(function, input::text, idempotency_key, queue, priority, delay, attributes) $$;

-- What owners see. Of the workflows that theirs start they see no input and no output.
create or replace function outlast.public_error(workflow_id text)
returns json
language sql
stable
security definer
as $$
  -- As in core/outcomes.py: never the failure itself, which holds a traceback.
  select case coalesce(e.error ->> 'code', 'workflow_error')
    when 'http_exception' then json_build_object(
      'code', 'http_exception', 'message', e.error ->> 'detail',
      'status', e.error -> 'status', 'detail', e.error -> 'detail')
    when 'non_determinism' then json_build_object(
      'code', 'non_determinism',
      'message', 'the function''s code no longer matches what is recorded of this workflow')
    else json_build_object(
      'code', coalesce(e.error ->> 'code', 'workflow_error'),
      'message', coalesce(
        e.error ->> 'message', 'the function failed with an uncaught exception; its log tells more'))
  end
  from outlast.workflow_status w, lateral (select outlast.readable(w.error) as error offset 0) e
  where w.workflow_id = public_error.workflow_id and w.error is not null
    and (outlast.sees_all() or w.subject = outlast.subject(outlast.claims()))
$$;

create or replace function outlast.public_input(workflow_id text)
returns json
language sql
stable
security definer
as $$
  select outlast.readable(w.input) from outlast.workflow_status w
  where w.workflow_id = public_input.workflow_id
    and (outlast.sees_all() or (w.parent is null and w.subject = outlast.subject(outlast.claims())))
$$;

create or replace function outlast.public_output(workflow_id text)
returns json
language sql
stable
security definer
as $$
  select outlast.readable(w.output) from outlast.workflow_status w
  where w.workflow_id = public_output.workflow_id
    and (outlast.sees_all() or (w.parent is null and w.subject = outlast.subject(outlast.claims())))
$$;

comment on function outlast.public_input(text) is
  'The input of a workflow, for its owner; of one that a workflow has started for the service alone.';
comment on function outlast.public_output(text) is
  'The output of a workflow, for its owner; of one that a workflow has started for the service alone.';

create or replace view outlast.workflows with (security_invoker = true) as
select
  workflow_id, function, status,
  outlast.public_input(workflow_id) as input,
  case when status = 'SUCCESS' then outlast.public_output(workflow_id) end as output,
  case when status in ('ERROR', 'CANCELLED', 'EXHAUSTED') then outlast.public_error(workflow_id) end as error,
  queue, recovery_attempts, claimable_at, created_at, started_at, updated_at, completed_at
from outlast.workflow_status;

comment on view outlast.workflows is 'What the owner of a workflow may see of it: the rows of request.jwt.claims'' sub.';

select outlast.take_rights(
  '20261127000001',
  functions => array[
    'workflow_id_of', 'acting_role', 'sees_all', 'may_speak_as', 'claims', 'subject', 'tell_due', 'check_start', 'start_as',
    'refuse_start', 'start_own'],
  of_service => array['start', 'start_any'],
  of_users => array['readable', 'public_error', 'public_input', 'public_output']);

do $$
declare
  role_name text;
begin
  for role_name in select r.rolname from pg_roles r where r.rolname in ('authenticated', 'service_role') loop
    execute format('grant usage on schema outlast to %I', role_name);
    execute format('grant select on outlast.workflows to %I', role_name);
    -- The view calls functions for input, output and error.
    execute format(
      'grant select (workflow_id, function, status, queue, recovery_attempts, claimable_at, created_at, started_at,'
      ' updated_at, completed_at) on outlast.workflow_status to %I', role_name);
  end loop;
  if exists (select from pg_roles where rolname = 'authenticated') then
    -- The setting is read once per query, in the form that Supabase's advisor recognises (auth_rls_initplan).
    drop policy if exists seen_by_their_owner on outlast.workflow_status;
    create policy seen_by_their_owner on outlast.workflow_status for select to authenticated
      using (subject = (
        select nullif(of_caller.claims, '')::jsonb ->> 'sub'
        from (select current_setting('request.jwt.claims', true) as claims) as of_caller
      ));
  end if;
end
$$;

insert into outlast.schema_migrations (version) values ('20261127000001') on conflict do nothing;
