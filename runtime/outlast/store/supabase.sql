-- What a Supabase project's database has before its first migration, as far as policies and grants need it.
-- Only for the embedded database. Each statement may run twice, and two may run at the same time.

-- name: present
select (select count(*) from pg_roles where rolname in ('anon', 'authenticated', 'service_role', 'authenticator')) = 4
  and (select count(distinct p.proname) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
       where n.nspname = 'auth' and p.proname in ('uid', 'role', 'email', 'jwt')) = 4
  and to_regclass('auth.users') is not null
  and to_regnamespace('extensions') is not null
  and exists (
    select from pg_default_acl d join pg_namespace n on n.oid = d.defaclnamespace
    where n.nspname = 'public' and d.defaclobjtype = 'r' and d.defaclacl::text like '%service_role=%'
  )

-- name: prepare
do $$
declare
  wanted record;
  member text;
begin
  -- Roles belong to the whole server: a migration of another database may create them at the same moment.
  for wanted in values
    ('anon', 'nologin'), ('authenticated', 'nologin'), ('service_role', 'nologin bypassrls'),
    ('authenticator', 'login noinherit')
  loop
    begin
      if not exists (select from pg_roles where rolname = wanted.column1) then
        execute format('create role %I %s', wanted.column1, wanted.column2);
      end if;
    exception when duplicate_object or unique_violation then
      null;
    end;
  end loop;
  foreach member in array array['anon', 'authenticated', 'service_role'] loop
    begin
      if not pg_has_role('authenticator', member, 'member') then
        execute format('grant %I to authenticator', member);
      end if;
    exception when unique_violation then
      null;
    end;
  end loop;
end
$$;

grant usage on schema public to anon, authenticated, service_role;
grant all on all tables in schema public to anon, authenticated, service_role;
grant all on all sequences in schema public to anon, authenticated, service_role;
grant all on all routines in schema public to anon, authenticated, service_role;
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
alter default privileges in schema public grant all on routines to anon, authenticated, service_role;

create schema if not exists extensions;
grant usage on schema extensions to anon, authenticated, service_role;

create schema if not exists auth;
grant usage on schema auth to anon, authenticated, service_role;

-- Nobody signs in here. The table is for foreign keys, seeds and triggers: it has the columns that these use.
create table if not exists auth.users (
  id uuid primary key,
  instance_id uuid,
  aud text,
  role text,
  email text unique,
  encrypted_password text,
  email_confirmed_at timestamptz,
  phone text unique,
  raw_app_meta_data jsonb,
  raw_user_meta_data jsonb,
  is_anonymous boolean not null default false,
  last_sign_in_at timestamptz,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);
alter table auth.users enable row level security;
grant all on auth.users to service_role;

do $$
begin
    -- A project may have created its own functions: these stay.
  if to_regprocedure('auth.jwt()') is null then
    create function auth.jwt() returns jsonb language sql stable as
      $jwt$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb $jwt$;
  end if;
  if to_regprocedure('auth.uid()') is null then
    create function auth.uid() returns uuid language sql stable as
      $uid$ select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $uid$;
  end if;
  if to_regprocedure('auth.role()') is null then
    create function auth.role() returns text language sql stable as
      $role$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role' $role$;
  end if;
  if to_regprocedure('auth.email()') is null then
    create function auth.email() returns text language sql stable as
      $email$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email' $email$;
  end if;
end
$$
