-- A project's migrations and seeds on its embedded database, noted where the Supabase CLI notes them.

-- name: prepare
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
  version text primary key, statements text[], name text
);
create table if not exists supabase_migrations.seed_files (path text primary key, hash text not null)

-- name: applied
select version from supabase_migrations.schema_migrations

-- name: add_migration
insert into supabase_migrations.schema_migrations (version, name) values (%(version)s, %(name)s)

-- name: seeded
select path from supabase_migrations.seed_files

-- name: add_seed
insert into supabase_migrations.seed_files (path, hash) values (%(path)s, %(hash)s)

-- name: mark
-- By this setting a migration can see that the database only stands in for the project's own.
select set_config('outlast.embedded', 'on', true)
