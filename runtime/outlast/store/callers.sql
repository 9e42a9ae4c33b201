-- A transaction under the caller's role, as in PostgREST: role and claims are set for this transaction only.

-- name: clean
-- Removes what a session keeps beyond a transaction. DISCARD ALL would do that, but isn't allowed within one. What
-- drivers and poolers have prepared stays. Cursors WITH HOLD are closed, because they would run at the commit. A
-- search_path or temporary types, which could change the engine's statements, are removed before the role is reset.
-- guard: cursors-kept
close all;
discard temp;
reset all;
reset session authorization;
reset role;
unlisten *;
discard sequences;
select pg_catalog.pg_advisory_unlock_all();

-- name: restore
-- Sets again the settings that the session was given when it was opened, and those that each transaction needs (see
-- RELIED_ON in connections.py). Also sets the mark of this transaction.
-- guard: settings-lost
select set_config(each.key, each.value, false) from json_each_text(%(settings)s) as each;
select set_config(each.key, each.value, true) from json_each_text(%(needed)s) as each;
select set_config('outlast.transaction', %(mark)s, true);

-- name: own_locks
-- Statements of users wait for locks as long as the server's own setting says, not as long as the engine's.
-- guard: users-wait-as-the-engine
set local lock_timeout to default;

-- name: enter
-- Checks the role that a token names. It must be one that `authenticator` may SET ROLE to, as in the Data API. In a
-- Postgres without that role it must be one of Supabase's three. It is never a superuser.
-- The role's own statement_timeout is in force, as it is in the Data API.
with wanted as (
  select r.rolname, (
    select split_part(each, '=', 2) from unnest(r.rolconfig) as each where each like 'statement\_timeout=%%'
  ) as statement_timeout
  from pg_roles r
  where r.rolname = %(role)s
    and not r.rolsuper
    and case
      when exists (select from pg_roles where rolname = 'authenticator')
        -- guard: any-role = then true
        then pg_has_role('authenticator', r.oid, 'member') and r.rolname <> 'authenticator'
      else r.rolname in ('anon', 'authenticated', 'service_role')
    end
)
select
  -- guard: claims-not-set
  set_config('request.jwt.claims', %(claims)s, true),
  -- Policies and `auth.uid()` may read these older settings first: they must be empty.
  set_config('request.jwt.claim.sub', '', true),
  set_config('request.jwt.claim.role', '', true),
  set_config('request.jwt.claim.email', '', true),
  set_config('statement_timeout', coalesce(w.statement_timeout, current_setting('statement_timeout')), true),
  -- guard: role-not-set = w.rolname
  set_config('role', w.rolname, true)
from wanted w

-- name: settle
-- Before Postgres 18 deferred constraints and triggers run as the role in force at the COMMIT: here as the caller.
-- guard: deferred-to-the-engine
set constraints all immediate;
select
  pg_catalog.current_setting('role') operator(pg_catalog.=) %(role)s
    and pg_catalog.current_setting('request.jwt.claims', true) operator(pg_catalog.=) %(claims)s,
  pg_catalog.current_setting('outlast.transaction', true) operator(pg_catalog.=) %(mark)s,
  exists (select from pg_catalog.pg_prepared_statements where from_sql);

-- name: commit
-- A deferred trigger may defer again, and then fires at the COMMIT, as the caller. What it leaves in the session is
-- removed in the same message, before anybody else uses the session.
select
  pg_catalog.set_config('request.jwt.claims', %(claims)s, true), pg_catalog.set_config('role', %(role)s, true);
commit;

-- name: mark
-- This setting shows whether the body ended the transaction.
select set_config('outlast.transaction', %(mark)s, true)

-- name: commit_service
-- The session's locks and settings would harm its next user: they are removed in the same message.
commit;

-- name: prepared
select exists (select from pg_catalog.pg_prepared_statements where from_sql);

-- name: after
-- An empty transaction, because the driver ends one.
begin

-- name: forget
-- Deallocates statements that the body prepared in SQL. A rollback doesn't do that.
do $$
declare
  statement text;
begin
  for statement in select name from pg_catalog.pg_prepared_statements where from_sql loop
    execute format('deallocate %%I', statement);
  end loop;
end $$;

-- name: undo
-- All in one message, before anybody else uses the session. The body may have committed its settings, so the session
-- is cleaned, too, and that is committed.
rollback;
begin;

-- name: again
-- An empty transaction, because the driver ends one.
commit;
begin
