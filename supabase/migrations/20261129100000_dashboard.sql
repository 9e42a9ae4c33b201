-- The dashboard: who is signed in. Every statement may run twice.

create table if not exists outlast.dashboard_sessions (
  id_hash bytea primary key,
  key_mark bytea not null,
  began_at timestamptz not null default now(),
  expires_at timestamptz not null
);
comment on table outlast.dashboard_sessions is
  'Who is signed in at the dashboard, until they sign out. Whoever reads this can''t sign in by it.';
comment on column outlast.dashboard_sessions.id_hash is 'SHA-256 of the id, which the browser alone has.';
comment on column outlast.dashboard_sessions.key_mark is
  'HMAC of the key that was entered, by that id: when no key of the host makes this any more, the session is over.';
create index if not exists dashboard_sessions_expires on outlast.dashboard_sessions (expires_at);
alter table outlast.dashboard_sessions enable row level security;

do $$
declare
  role_name text;
begin
  revoke all on outlast.dashboard_sessions from public;
  -- Once only: what the project grants later is its own affair.
  if exists (select from outlast.schema_migrations where version = '20261129100000') then
    return;
  end if;
  foreach role_name in array array['anon', 'authenticated', 'service_role'] loop
    if exists (select from pg_roles where rolname = role_name) then
      execute format('revoke all on outlast.dashboard_sessions from %I', role_name);
    end if;
  end loop;
end
$$;

insert into outlast.schema_migrations (version) values ('20261129100000') on conflict do nothing;
