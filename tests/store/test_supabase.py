"""The embedded database as Supabase's: roles, `auth` and default grants, before a project's migrations."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors

from outlast.store.connections import Database
from outlast.store.project import apply_project
from outlast.store.supabase import play_supabase
from tests.callers import as_user, one

ADA = {"sub": "7d0c8b62-0a48-4a4e-9b7e-2a8f0d0e6c11", "role": "authenticated", "email": "ada@example.com"}
BOB = {**ADA, "sub": "0c9a52f2-6a3f-4c0e-8a55-3c6a0d2f9b10"}
NOTES = """
create table public.notes (id serial primary key, user_id uuid not null default auth.uid(), body text);
alter table public.notes enable row level security;
create policy "their own" on public.notes for all to authenticated
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
"""
PROFILES = """
create table public.profiles (
  id uuid primary key references auth.users (id) on delete cascade, name text
);
create function public.handle_new_user() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles values (new.id, new.raw_user_meta_data ->> 'name');
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users
  for each row execute procedure public.handle_new_user();
"""


def at(url: str) -> Database:
    return Database.at(url, "tests")


async def test_it_is_made_once_and_looked_at_after_that(empty_database: str) -> None:
    assert await play_supabase(at(empty_database))
    assert not await play_supabase(at(empty_database))


async def test_many_databases_and_instances_make_the_servers_roles_at_once(
    empty_database: str, postgres: str
) -> None:
    again = [play_supabase(at(url)) for url in (empty_database, postgres) for _ in range(4)]
    assert len(await asyncio.gather(*again)) == 8
    with psycopg.connect(empty_database) as connection:
        roles = "select rolname, rolcanlogin, rolbypassrls, rolinherit from pg_roles where rolname = any(%s)"
        names = ["anon", "authenticated", "authenticator", "service_role"]
        assert sorted(connection.execute(roles, (names,)).fetchall()) == [
            ("anon", False, False, True),
            ("authenticated", False, False, True),
            ("authenticator", True, False, False),
            ("service_role", False, True, True),
        ]


async def test_a_projects_policies_apply_and_hold(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "20200101000000_notes.sql").write_text(NOTES)
    await play_supabase(at(empty_database))
    await apply_project(at(empty_database), tmp_path)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        for claims in (ADA, BOB):
            with as_user(connection, claims, "authenticated"):
                connection.execute("insert into notes (body) values ('mine')")
                assert one(connection, "select count(*) from notes") == 1
        with pytest.raises(errors.InsufficientPrivilege), as_user(connection, ADA, "authenticated"):
            connection.execute("insert into notes (user_id) values (%s)", (BOB["sub"],))
        with as_user(connection, {"role": "anon"}, "anon"):
            assert one(connection, "select count(*) from notes") == 0
        with as_user(connection, {"role": "service_role"}, "service_role"):
            assert one(connection, "select count(*) from notes") == 2
        connection.execute("set session authorization authenticator")
        for role in ("anon", "authenticated", "service_role"):
            connection.execute(f"set role {role}".encode())


async def test_what_refers_to_users_applies(empty_database: str, tmp_path: Path) -> None:
    """The beginning of most projects: a profile for each user, made by a trigger; users from the seed."""
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "20200101000000_profiles.sql").write_text(PROFILES)
    (tmp_path / "seed.sql").write_text(
        "insert into auth.users (id, email, raw_user_meta_data) values "
        f"""('{ADA["sub"]}', 'ada@example.com', '{{"name": "Ada"}}')"""
    )
    await play_supabase(at(empty_database))
    await apply_project(at(empty_database), tmp_path)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        assert one(connection, "select name from public.profiles") == "Ada"
        with pytest.raises(errors.InsufficientPrivilege), as_user(connection, ADA, "authenticated"):
            connection.execute("select * from auth.users")


def auth(connection: Connection[Any]) -> Any:
    return one(connection, "select auth.uid()::text, auth.role(), auth.email(), auth.jwt()")


def test_auth_reads_the_claims(supabase_database: str) -> None:
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        assert auth(connection) == (None, None, None, None)
        for claims in ("", "{}"):
            with as_user(connection, claims, "anon"):
                assert auth(connection)[:3] == (None, None, None)
        with as_user(connection, json.dumps(ADA), "authenticated"):
            assert auth(connection) == (ADA["sub"], "authenticated", ADA["email"], ADA)


async def test_what_a_project_made_itself_stays(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("create schema auth")
        connection.execute("create function auth.role() returns text language sql as $$ select 'own' $$")
        await play_supabase(at(empty_database))
        assert one(connection, "select auth.role()") == "own"
