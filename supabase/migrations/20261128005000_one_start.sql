-- One way to start: `outlast.start` inserts by the statement that the runtime uses too (runtime/outlast/store/start.sql),
-- and its checks stand by themselves. Every statement may run twice.

create or replace function outlast.check_start(
  function text, input text, idempotency_key text, queue text, anonymous boolean
)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
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
  function text, input text, idempotency_key text, queue text, claims jsonb
)
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  caller text := outlast.subject(claims);
  anonymous boolean := claims is not null and caller is null and claims ->> 'role' is distinct from 'service_role';
  id text;
  same boolean;
begin
  perform outlast.check_start(function, input, idempotency_key, queue, anonymous);
  id := case
    when idempotency_key is null then
      -- A UUIDv7 (RFC 9562 section 5.7): milliseconds first, what is random after that.
      function || ':' || (
        lpad(to_hex(floor(extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
        || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid
    else outlast.workflow_id_of(function, case when anonymous then 'anon' else caller end, idempotency_key)
  end;
  loop
    with new as (
      select
        id as workflow_id, start_as.function, start_as.input, null as request, start_as.idempotency_key,
        null as fingerprint, caller as subject,
        coalesce(start_as.claims::text, '{"role":"service_role","outlast":{"mode":"sql","key":null}}') as claims,
        start_as.queue, null as attributes, null as version, null as parent, null::timestamptz as deadline,
        outlast.load_bytes_of(start_as.input) as load_bytes, null::bigint as nonce, null as owner,
        clock_timestamp() as at
    )
    -- Waits for another transaction that has the same key; above READ COMMITTED it may fail then (40001).
    insert into outlast.workflow_status as w (
      workflow_id, function, input, request, idempotency_key, fingerprint, subject, claims, queue, attributes, version,
      parent, deadline, load_bytes, nonce, owner, epoch, status, claimable_at, started_at, created_at, updated_at
    )
    select
      n.workflow_id, n.function, n.input::json, n.request::json, n.idempotency_key, n.fingerprint, n.subject,
      n.claims::json, n.queue, n.attributes::json, n.version, n.parent, n.deadline, n.load_bytes, n.nonce, n.owner,
      case when n.owner is null then 0 else 1 end,
      case when n.owner is null then 'ENQUEUED' else 'PENDING' end,
      case when n.owner is null then n.at end,
      case when n.owner is not null then n.at end,
      n.at, n.at
    from new n
    where n.workflow_id is not null
    on conflict (workflow_id) do nothing;
    exit when found;
    select w.input::jsonb = start_as.input::jsonb into same
    from outlast.workflow_status w where w.workflow_id = id;
    exit when same;
    if found then
      raise exception 'outlast.start: this idempotency key was used with another payload'
        using errcode = 'PT422', hint = 'the same key is the same call: use another key for another one';
    end if;
    -- It was removed this very moment.
  end loop;
  return id;
end
$$;

revoke all on function outlast.check_start(text, text, text, text, boolean) from public;

do $$
declare
  role_name text;
begin
  for role_name in
    select r.rolname from pg_roles r where r.rolname in ('anon', 'authenticated', 'service_role')
  loop
    -- Once only: what the project grants later is its own affair.
    if not exists (select from outlast.schema_migrations where version = '20261128005000') then
      execute format('revoke all on function outlast.check_start(text, text, text, text, boolean) from %I', role_name);
    end if;
  end loop;
end
$$;

insert into outlast.schema_migrations (version) values ('20261128005000') on conflict do nothing;
