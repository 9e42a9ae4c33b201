-- The checks of `outlast.start` as a separate function. Every statement may run twice.

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

revoke all on function outlast.check_start(text, text, text, text, boolean) from public;

do $$
declare
  role_name text;
begin
  for role_name in
    select r.rolname from pg_roles r where r.rolname in ('anon', 'authenticated', 'service_role')
  loop
    -- Only once, so that later grants of the project stay.
    if not exists (select from outlast.schema_migrations where version = '20261128005000') then
      execute format('revoke all on function outlast.check_start(text, text, text, text, boolean) from %I', role_name);
    end if;
  end loop;
end
$$;

insert into outlast.schema_migrations (version) values ('20261128005000') on conflict do nothing;
