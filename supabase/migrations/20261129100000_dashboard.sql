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
select outlast.take_rights('20261129100000', tables => array['dashboard_sessions']);

insert into outlast.schema_migrations (version) values ('20261129100000') on conflict do nothing;
