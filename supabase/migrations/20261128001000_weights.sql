-- How much memory JSON takes once it is loaded: dense `[[],[],…` takes thirty times its text. Every statement
-- may run twice.

create or replace function outlast.load_bytes_of(document text)
returns bigint
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  -- As in core/budget.py: its text, at the width of its widest character, and 25 bytes for each bracket,
  -- comma and colon. That width isn't known here, so it is taken as 4 bytes, the most.
  select case when octet_length(document) = char_length(document) then 1 else 4 end * char_length(document)::bigint
    + 25 * (char_length(document) - char_length(translate(document, '[{,:', '')))::bigint
$$;

comment on function outlast.load_bytes_of(text) is
  'What JSON takes in memory once it is read, as bytes of usual JSON.';

comment on column outlast.workflow_status.load_bytes is
  'What its input, request and records take in memory, as bytes of usual JSON, as far as it is known: an instance claims what it has memory for.';

do $$
declare
  role_name text;
begin
  revoke all on function outlast.load_bytes_of(text) from public;
  for role_name in
    select r.rolname from pg_roles r where r.rolname in ('anon', 'authenticated', 'service_role')
  loop
    -- Only once, so that later grants of the project stay.
    if not exists (select from outlast.schema_migrations where version = '20261128001000') then
      execute format('revoke all on function outlast.load_bytes_of(text) from %I', role_name);
    end if;
  end loop;
end
$$;

-- Large workflows that wait. Small ones are limited by their number.
update outlast.workflow_status
set load_bytes = greatest(load_bytes, outlast.load_bytes_of(concat(input, request)))
where status in ('ENQUEUED', 'PENDING') and load_bytes > 16 * 1024;

insert into outlast.schema_migrations (version) values ('20261128001000') on conflict do nothing;
