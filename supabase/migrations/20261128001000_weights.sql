-- How much memory JSON takes once it is read: dense `[[],[],…` takes thirty times its text. Every statement may run
-- twice.

create or replace function outlast.load_bytes_of(document text)
returns bigint
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  -- As core/budget.py: its text, at the width of its widest character, and 25 for each bracket, comma and colon. Here
  -- it isn't known how wide that is: 4 bytes at most.
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
    -- Once only: what the project grants later is its own affair.
    if not exists (select from outlast.schema_migrations where version = '20261128001000') then
      execute format('revoke all on function outlast.load_bytes_of(text) from %I', role_name);
    end if;
  end loop;
end
$$;

-- What is large and waits. Small ones are bounded by their number.
update outlast.workflow_status
set load_bytes = greatest(load_bytes, outlast.load_bytes_of(concat(input, request)))
where status in ('ENQUEUED', 'PENDING') and load_bytes > 16 * 1024;

insert into outlast.schema_migrations (version) values ('20261128001000') on conflict do nothing;
