"""A stand-in of Supabase's Realtime in the database: its table, `realtime.send` and `realtime.topic`.

Realtime itself, which reads the table and tells browsers, is not to be had here. Signatures, rights and what
`realtime.send` does with its own failures (it makes a warning of them) follow the migrations of
supabase/realtime as of August 2026.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row

STAND_IN = """
create schema realtime;

create table realtime.messages (
  id uuid not null default gen_random_uuid(),
  topic text not null,
  extension text not null,
  event text,
  payload jsonb,
  private boolean default false,
  inserted_at timestamp not null default now(),
  updated_at timestamp not null default now(),
  primary key (id, inserted_at)
) partition by range (inserted_at);
alter table realtime.messages enable row level security;
create table realtime.messages_now partition of realtime.messages
  for values from (now()::timestamp - interval '7 days') to (now()::timestamp + interval '7 days');

create function realtime.topic() returns text language sql stable
return nullif(current_setting('realtime.topic', true), '');

create function realtime.send(payload jsonb, event text, topic text, private boolean default true)
returns void language plpgsql as $$
declare
  message_id constant uuid not null default gen_random_uuid();
begin
  begin
    if not payload ? 'id' then
      payload := payload || jsonb_build_object('id', message_id);
    end if;
    perform set_config('realtime.topic', topic, true);
    insert into realtime.messages (id, topic, extension, event, payload, private)
    values (message_id, topic, 'broadcast', event, payload, private);
  exception when others then
    raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
  end;
end
$$;
"""
GRANTS = """
grant usage on schema realtime to anon, authenticated, service_role;
grant select, insert, update on realtime.messages to anon, authenticated, service_role;
"""


def stand_in(url: str, *, roles: bool = False) -> None:
    """Put it into a database; `roles`: with the rights of Supabase's, which must be there."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(STAND_IN.encode())
        if roles:
            connection.execute(GRANTS.encode())


def heard(url: str) -> list[dict[str, Any]]:
    """What would go to browsers, in the order sent."""
    query = (
        "select topic, event, payload, private, extension from realtime.messages order by inserted_at, ctid"
    )
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        return connection.execute(query.encode()).fetchall()
