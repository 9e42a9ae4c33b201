-- What a session may claim to be, and what users see of workflows that other workflows started. Every statement may
-- run twice.

create or replace function outlast.claims()
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  claims jsonb;
  claimed text[];
  -- Who this session is. Within a SECURITY DEFINER function current_user is its owner; these two stay what they were.
  session text := case current_setting('role') when 'none' then session_user else current_setting('role') end;
begin
  -- Of the user in whose name this transaction runs (PostgREST sets them); null for who came another way.
  begin
    claims := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  exception when others then
    raise exception 'request.jwt.claims is no JSON' using errcode = '22023';
  end;
  if jsonb_typeof(claims) <> 'object' then
    raise exception 'request.jwt.claims is no JSON object' using errcode = '22023';
  end if;
  -- Any session may set request.jwt.claims. It is believed where the session could SET ROLE to the role that is
  -- claimed, and so act under these claims anyway, or may start workflows as the service.
  claimed := case when claims ->> 'role' <> '' then array[claims ->> 'role'] else array['anon', 'authenticated'] end;
  if claims is not null
    and not has_function_privilege(session, 'outlast.start_any(text, text, text, text)', 'execute')
    and not exists (select from pg_roles r where r.rolname = any(claimed) and pg_has_role(session, r.oid, 'member'))
  then
    raise exception 'request.jwt.claims names the role %, which % may not take',
      quote_literal(left(array_to_string(claimed, ' or '), 100)), session
      using errcode = '42501',
        hint = format('grant %I to %I, or set request.jwt.claims to an empty string', left(claimed[1], 100), session);
  end if;
  -- The name under which Outlast keeps what is no JWT's.
  return claims - 'outlast';
end
$$;

create or replace function outlast.value_of(workflow_id text, which text)
returns json
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  -- What one workflow handed to another is no affair of who called the first one: their owners don't see it.
  select case which when 'input' then w.input when 'output' then w.output end
  from outlast.workflow_status w
  where w.workflow_id = value_of.workflow_id
    and ((w.parent is null and w.subject = outlast.subject(outlast.claims()))
      or current_setting('role') = 'service_role'
      or (current_setting('role') = 'none'
        and has_table_privilege(session_user, 'outlast.workflow_status', 'select')))
$$;

comment on function outlast.value_of(text, text) is
  'The input or output of a workflow, for who may see it: of a workflow that another started its owner doesn''t.';

create or replace view outlast.workflows with (security_invoker = true) as
select
  workflow_id, function, status, outlast.value_of(workflow_id, 'input') as input,
  outlast.value_of(workflow_id, 'output') as output,
  case when status in ('ERROR', 'CANCELLED', 'EXHAUSTED') then outlast.public_error(workflow_id) end as error,
  queue, recovery_attempts, claimable_at, created_at, started_at, updated_at, completed_at
from outlast.workflow_status;

revoke all on function outlast.value_of(text, text) from public;

do $$
declare
  role_name text;
begin
  foreach role_name in array array['anon', 'authenticated', 'service_role'] loop
    if exists (select from pg_roles where rolname = role_name) then
      if role_name <> 'service_role' then
        execute format('revoke select (input, output) on outlast.workflow_status from %I', role_name);
      end if;
      if role_name <> 'anon' then
        execute format('grant execute on function outlast.value_of(text, text) to %I', role_name);
      end if;
    end if;
  end loop;
end
$$;

insert into outlast.schema_migrations (version) values ('20261128000001') on conflict do nothing;
