"""A kill ends what lives below a workflow, also below what was stopped before, and reads it alone."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

N = 2_000
READS_MAX = 20
"""Of each in all: it is locked, killed, looked at, told of. By another index it would be thousands."""
CANCELLED = '{"code": "workflow_cancelled", "message": "m"}'
TIMED_OUT = '{"code": "workflow_timeout", "message": "m"}'
FAMILY = """
insert into outlast.workflow_status
  (workflow_id, function, status, parent, error, saga, claimable_at, started_at, completed_at, untold,
   detached)
select w.id, 'f', w.status, w.parent, w.error::json, w.saga,
  case when w.status = 'PENDING' then now() end, now(),
  case when w.status <> 'PENDING' then now() end, w.status = 'PENDING', w.detached
from (values
  ('top', 'PENDING', null, null, null, false),
  ('over', 'CANCELLED', 'top', %(cancelled)s, null, false),
  ('under', 'CANCELLED', 'over', %(cancelled)s, null, false),
  ('undoes', 'PENDING', 'under', null, 'undoing', false),
  ('apart', 'PENDING', 'under', null, null, true),
  ('late', 'ERROR', 'top', %(late)s, null, false),
  ('undoes late', 'PENDING', 'late', null, 'undoing', false),
  ('failed', 'ERROR', 'top', '{"code": "workflow_error"}', null, false),
  ('goes on', 'PENDING', 'failed', null, null, false)
) as w (id, status, parent, error, saga, detached)
"""
KILL = "select status from outlast.cancel_workflow(%s, mode => 'kill', why => 'it hangs', by => 'ann')"
TELL = "select outlast.tell_untold()"
LIVE = "select workflow_id from outlast.workflow_status where status = 'PENDING' order by 1"
ACTS = "select workflow_id, why from outlast.acts where verb = 'cancel'"
LIVING = "'ENQUEUED', now(), null, null"
MANY = {
    "nothing": LIVING,
    "failed": """'ERROR', null, now(), '{"code": "workflow_error"}'::json""",
    "cancelled": """'CANCELLED', null, now(), '{"code": "workflow_cancelled"}'::json""",
}


@pytest.fixture
def family(database: str) -> Any:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(FAMILY.encode(), {"cancelled": CANCELLED, "late": TIMED_OUT})
        yield connection


def ids(connection: psycopg.Connection[Any], query: str) -> list[str]:
    return [each for (each,) in connection.execute(query.encode())]


def test_a_kill_goes_on_through_what_was_stopped_before(family: psycopg.Connection[Any]) -> None:
    """But not to what is detached, nor to what one has started that failed."""
    assert family.execute(KILL, ["top"]).fetchall() == [("CANCELLED",)]
    assert ids(family, LIVE) == ["apart", "goes on"]
    assert family.execute("select outlast.ends_untold()").fetchone() == (False,)
    killed = "select workflow_id from outlast.workflow_status where error ->> 'mode' = 'kill' order by 1"
    assert ids(family, killed) == ["top", "undoes", "undoes late"]


def test_a_kill_of_the_cancelled_reaches_what_undoes_below(family: psycopg.Connection[Any]) -> None:
    assert family.execute(KILL, ["over"]).fetchall() == [("CANCELLED",)]
    assert ids(family, LIVE) == ["apart", "goes on", "top", "undoes late"]
    assert family.execute(KILL, ["over"]).fetchall() == [("CANCELLED",)]
    assert family.execute(ACTS).fetchall() == [("over", "it hangs")], "the second one found nothing"


def test_a_kill_of_the_cancelled_goes_on_where_a_row_refuses(family: psycopg.Connection[Any]) -> None:
    family.execute(
        "create function public.refuses() returns trigger language plpgsql as"
        " $$ begin raise exception 'not now'; end $$;"
        "create trigger refuses before update on outlast.workflow_status for each row"
        " when (old.workflow_id = 'undoes') execute function public.refuses()"
    )
    assert family.execute(KILL, ["over"]).fetchall() == [("CANCELLED",)]
    assert "undoes" in ids(family, LIVE)
    family.execute("drop trigger refuses on outlast.workflow_status")
    family.execute(TELL)
    assert ids(family, LIVE) == ["apart", "goes on", "top", "undoes late"]


def test_a_kill_of_the_cancelled_waits_for_nobody(database: str, family: psycopg.Connection[Any]) -> None:
    with psycopg.connect(database) as other:
        other.execute("select from outlast.workflow_status where workflow_id = 'undoes' for update")
        assert family.execute(KILL, ["over"]).fetchall() == [("CANCELLED",)]
        assert "undoes" in ids(family, LIVE)
    family.execute(TELL)
    assert "undoes" not in ids(family, LIVE)


def test_what_is_written_just_now_is_killed_by_the_next_one_that_tells(
    database: str, family: psycopg.Connection[Any]
) -> None:
    with psycopg.connect(database) as other:
        other.execute("select from outlast.workflow_status where workflow_id = 'undoes' for update")
        family.execute(KILL, ["top"])
        assert "undoes" in ids(family, LIVE)
    family.execute(TELL)
    assert ids(family, LIVE) == ["apart", "goes on"]


def test_what_ends_while_it_is_killed_shows_what_it_has_started(
    database: str, family: psycopg.Connection[Any]
) -> None:
    """It undoes, and is written just then: as CANCELLED, while one that it has started goes on undoing."""
    family.execute(
        "update outlast.workflow_status set status = 'PENDING', saga = 'undoing' where workflow_id = 'over'"
    )
    with psycopg.connect(database) as other:
        other.execute(
            "update outlast.workflow_status set status = 'CANCELLED', saga = null, untold = false, error = %s"
            " where workflow_id = 'over'",
            [CANCELLED],
        )
        family.execute(KILL, ["top"])
        other.commit()
    family.execute(TELL)
    assert ids(family, LIVE) == ["apart", "goes on"]


@pytest.mark.parametrize("beside", MANY)
@pytest.mark.parametrize("analyzed", [True, False])
def test_a_kill_of_thousands_reads_them_alone(database: str, beside: str, analyzed: bool) -> None:
    """However large the planner takes each family for, and whatever else there is of the same parent."""
    insert = (
        "insert into outlast.workflow_status"
        " (workflow_id, function, started_at, parent, untold, status, claimable_at, completed_at, error)"
        " select 'w/%s' || i, 'f', now(), 'w', false, %s from generate_series(1, %s) i"
    )
    top = (
        "insert into outlast.workflow_status (workflow_id, function, status, started_at)"
        " values ('w', 'f', 'PENDING', now())"
    )
    counted = (
        "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'workflow_status'"
    )
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(top)
        for values in dict.fromkeys((LIVING, MANY[beside])):
            connection.execute((insert % (values[1:4], values, N)).encode())
        if analyzed:
            connection.execute("vacuum analyze outlast.workflow_status")
        with connection.transaction():
            ((before,),) = connection.execute(counted).fetchall()
            connection.execute(KILL, ["w"])
            while connection.execute("select more from outlast.tell_untold()").fetchone() == (True,):
                pass
            ((after,),) = connection.execute(counted).fetchall()
        live = "select from outlast.workflow_status where status in ('PENDING', 'ENQUEUED') or untold"
        assert connection.execute(live).fetchall() == []
    assert (after - before) / N <= READS_MAX
