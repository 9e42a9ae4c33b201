-- No row breaks a view. The type `json` takes escapes that its readers refuse: \u0000, and half a surrogate
-- pair. One such text makes `->>` and a cast to jsonb fail, and so every query over the row. Rows keep the
-- text byte for byte, for the functions; SQL sees U+FFFD instead. Every statement may run twice.

create or replace function outlast.readable(value json)
returns json
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
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

create or replace view outlast.events with (security_invoker = true) as
select
  o.workflow_id, o.completion_order as number, substr(o.name, 9) as event, outlast.readable(o.output) as value,
  o.completed_at as published_at
from outlast.workflow_status w
join outlast.operation_outputs o on o.workflow_id = w.workflow_id
where o.attempts = 0 and starts_with(o.name, 'publish ');

do $$
declare
  role_name text;
begin
  revoke all on function outlast.readable(json) from public;
  if exists (select from pg_roles where rolname = 'anon')
    and not exists (select from outlast.schema_migrations where version = '20261128000300')
  then
    revoke all on function outlast.readable(json) from anon;
  end if;
  foreach role_name in array array['authenticated', 'service_role'] loop
    if exists (select from pg_roles where rolname = role_name) then
      execute format('grant execute on function outlast.readable(json) to %I', role_name);
    end if;
  end loop;
end
$$;

insert into outlast.schema_migrations (version) values ('20261128000300') on conflict do nothing;
