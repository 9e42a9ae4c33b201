-- A key that was used with what is the same JSON is the same call, whether it came by HTTP, in Python or in SQL. Every
-- statement may run twice.

-- As before, but that payloads are compared as JSON; where both came by HTTP the runtime compares bytes first.
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
  payload jsonb;
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
    payload := input::jsonb;
  exception when others then
    raise exception 'outlast.start: the input is no JSON that Postgres can hold: %', sqlerrm
      using errcode = '22023';
  end;
  workflow_id := case
    when idempotency_key is null then
      -- A UUIDv7 (RFC 9562 section 5.7): milliseconds first, what is random after that.
      function || ':' || (
        lpad(to_hex(floor(extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
        || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid
    else outlast.workflow_id_of(function, case when anonymous then 'anon' else subject end, idempotency_key)
  end;
  loop
    insert into outlast.workflow_status as w (
      workflow_id, function, status, input, idempotency_key, subject, claims, queue, claimable_at,
      created_at, updated_at, load_bytes
    ) values (
      workflow_id, function, 'ENQUEUED', input::json, idempotency_key, subject,
      coalesce(claims::json, '{"role":"service_role","outlast":{"mode":"sql","key":null}}'), queue,
      clock_timestamp(), clock_timestamp(), clock_timestamp(), outlast.load_bytes_of(input)
    )
    -- Waits for another transaction that has the same key; above READ COMMITTED it may fail then (40001).
    on conflict on constraint workflow_status_pkey do nothing;
    exit when found;
    select w.input::jsonb = payload as same into standing
    from outlast.workflow_status w where w.workflow_id = workflow_id;
    exit when standing.same;
    if found then
      raise exception 'outlast.start: this idempotency key was used with another payload'
        using errcode = 'PT422', hint = 'the same key is the same call: use another key for another one';
    end if;
    -- It was removed this very moment.
  end loop;
  return workflow_id;
end
$$;

insert into outlast.schema_migrations (version) values ('20261128003000') on conflict do nothing;
