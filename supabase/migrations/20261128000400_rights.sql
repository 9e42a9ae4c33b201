-- Whose rights count. Anybody can change a setting, so claims are trusted only as far as the session's own
-- rights go. The owner of a workflow sees no input and output of the workflows that it starts. Every
-- statement may run twice.

create or replace function outlast.acting_role()
returns name
language sql
stable
set search_path = pg_catalog, pg_temp
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
set search_path = pg_catalog, pg_temp
as $$
  select outlast.acting_role() = 'service_role'
    or has_table_privilege(outlast.acting_role(), 'outlast.workflow_status', 'select')
$$;

create or replace function outlast.may_speak_as(role_name text)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- A role that may start workflows as the service may do so for any user. Others may act only as a role to
  -- which they may SET ROLE.
  select has_function_privilege(outlast.acting_role(), 'outlast.start_any(text, text, text, text)', 'execute')
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
set search_path = pg_catalog, pg_temp
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

create or replace function outlast.public_error(workflow_id text)
returns json
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
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
set search_path = pg_catalog, pg_temp
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
set search_path = pg_catalog, pg_temp
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

revoke all on function
  outlast.acting_role(), outlast.sees_all(), outlast.may_speak_as(text), outlast.public_input(text),
  outlast.public_output(text)
from public;

do $$
declare
  role_name text;
begin
  foreach role_name in array array['anon', 'authenticated', 'service_role'] loop
    -- Only once, so that later grants of the project stay.
    if exists (select from pg_roles where rolname = role_name)
      and not exists (select from outlast.schema_migrations where version = '20261128000400')
    then
      execute format(
        'revoke all on function outlast.acting_role(), outlast.sees_all(), outlast.may_speak_as(text),'
        ' outlast.public_input(text), outlast.public_output(text) from %I', role_name);
    end if;
  end loop;
  foreach role_name in array array['authenticated', 'service_role'] loop
    if exists (select from pg_roles where rolname = role_name) then
      execute format('grant execute on function outlast.public_input(text), outlast.public_output(text) to %I', role_name);
      -- The view calls the functions for these.
      execute format('revoke select (input, output) on outlast.workflow_status from %I', role_name);
    end if;
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

insert into outlast.schema_migrations (version) values ('20261128000400') on conflict do nothing;
