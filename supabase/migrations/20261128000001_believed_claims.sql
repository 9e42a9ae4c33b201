-- Claims are believed only as far as the session's own rights go. Every statement may run twice.

create or replace function outlast.claims()
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  claims jsonb;
  claimed text;
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
  -- claimed, and so act under these claims anyway, or may start workflows as the service. As core/callers.py: without a
  -- role it is anon's.
  claimed := coalesce(nullif(claims ->> 'role', ''), 'anon');
  if claims is not null
    and not has_function_privilege(session, 'outlast.start_any(text, text, text, text)', 'execute')
    and not coalesce(
      (select pg_has_role(session, r.oid, 'member') from pg_roles r where r.rolname = claimed), false)
  then
    raise exception 'request.jwt.claims names the role %, which % may not take', quote_literal(left(claimed, 100)), session
      using errcode = '42501', hint = format('grant %I to %I, or set request.jwt.claims to an empty string', claimed, session);
  end if;
  -- The name under which Outlast keeps what is no JWT's.
  return claims - 'outlast';
end
$$;

insert into outlast.schema_migrations (version) values ('20261128000001') on conflict do nothing;
