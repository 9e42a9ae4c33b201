-- A transaction under the role of whoever called, as PostgREST has it: role and claims, for this transaction alone.

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
        then pg_has_role('authenticator', r.oid, 'member') and r.rolname <> 'authenticator'
      else r.rolname in ('anon', 'authenticated', 'service_role')
    end
), before as materialized (
  select
    current_setting('role') as role,
    current_setting('statement_timeout') as statement_timeout,
    coalesce(current_setting('request.jwt.claims', true), '') as claims
)
select
  b.role, b.statement_timeout, b.claims,
  set_config('request.jwt.claims', %(claims)s, true),
  -- Where a policy still reads these older settings first, as `auth.uid()` does, they must say nothing.
  set_config('request.jwt.claim.sub', '', true),
  set_config('request.jwt.claim.role', '', true),
  set_config('request.jwt.claim.email', '', true),
  set_config('statement_timeout', coalesce(w.statement_timeout, b.statement_timeout), true),
  set_config('role', w.rolname, true)
from wanted w, before b

-- name: settle
-- Deferred constraints and triggers run as whoever is in force at the COMMIT (before Postgres 18): as the caller, then.
set constraints all immediate

-- name: leave
-- Not for this transaction alone: what a body has set for good is undone as well.
with found as materialized (
  select
    current_setting('role') as role,
    coalesce(current_setting('request.jwt.claims', true), '') as claims
)
select
  f.role = %(role)s and f.claims = %(claims)s as same,
  set_config('role', %(role_before)s, false),
  set_config('statement_timeout', %(statement_timeout_before)s, false),
  set_config('request.jwt.claims', %(claims_before)s, false)
from found f
