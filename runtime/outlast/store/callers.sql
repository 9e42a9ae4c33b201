-- A transaction under the role of whoever called, as PostgREST has it: role and claims, for this transaction alone.

-- name: clean
-- What sessions keep beyond a transaction goes, as by DISCARD ALL, which can't be had within one; the statements
-- that drivers and poolers have prepared stay. Cursors that outlive the commit would run then. What could stand in
-- the way of the engine's statements (a search_path, temporary types) goes before the role does.
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
-- What the session was given when it was opened, what each transaction needs (see relied.py), and the mark of this
-- transaction.
-- guard: settings-lost
select set_config(each.key, each.value, false) from json_each_text(%(settings)s) as each;
select set_config(each.key, each.value, true) from json_each_text(%(needed)s) as each;
select set_config('outlast.transaction', %(mark)s, true);

-- name: enter
-- Which role a token names is checked here: one that `authenticator`, through which the Data API lets callers in,
-- may become; where there is no such role (a plain Postgres) the three that Supabase has. Never a superuser.
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
  -- Where a policy still reads these older settings first, as `auth.uid()` does, they must say nothing.
  set_config('request.jwt.claim.sub', '', true),
  set_config('request.jwt.claim.role', '', true),
  set_config('request.jwt.claim.email', '', true),
  set_config('statement_timeout', coalesce(w.statement_timeout, current_setting('statement_timeout')), true),
  -- guard: role-not-set = w.rolname
  set_config('role', w.rolname, true)
from wanted w

-- name: settle
-- Deferred constraints and triggers run as whoever is in force at the COMMIT (before Postgres 18): as the caller, then.
-- guard: deferred-to-the-engine
set constraints all immediate;
select
  pg_catalog.current_setting('role') operator(pg_catalog.=) %(role)s
    and pg_catalog.current_setting('request.jwt.claims', true) operator(pg_catalog.=) %(claims)s,
  pg_catalog.current_setting('outlast.transaction', true) operator(pg_catalog.=) %(mark)s,
  exists (select from pg_catalog.pg_prepared_statements where from_sql);

-- name: commit
-- A trigger that was deferred may defer again: what is left fires at the COMMIT, as the caller. What that leaves in the
-- session goes before anybody else has it: all in one message.
select
  pg_catalog.set_config('request.jwt.claims', %(claims)s, true), pg_catalog.set_config('role', %(role)s, true);
commit;

-- name: mark
-- By which it is seen whether the body ended the transaction.
select set_config('outlast.transaction', %(mark)s, true)

-- name: commit_service
-- Locks of the session and its settings would harm the next one: they go with the same message.
commit;

-- name: prepared
select exists (select from pg_catalog.pg_prepared_statements where from_sql);

-- name: after
-- There is a transaction for the driver to end.
begin

-- name: forget
-- Statements that the body prepared by SQL. A rollback doesn't undo that.
do $$
declare
  statement text;
begin
  for statement in select name from pg_catalog.pg_prepared_statements where from_sql loop
    execute format('deallocate %%I', statement);
  end loop;
end $$;

-- name: undo
-- Before the session is anybody else's: all in one message. The body may have committed what it had set, so it is
-- cleaned too, and that is committed.
rollback;
begin;

-- name: again
-- There is a transaction for the driver to end.
commit;
begin
