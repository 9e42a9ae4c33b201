"""A recorded history: the rows of a workflow and of its children, as the database held them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from tests.golden.workflows import LEDGER

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
Row = dict[str, str | None]
SIDE_EFFECTS = ("move", "move_def")
"""Transactions whose output is what the ledger then holds."""


@dataclass(frozen=True)
class History:
    """`workflow` and `steps` are rows of workflow_status and operation_outputs; `children` histories too.

    `result` is what a caller of the ended workflow was told: its status, and its output or error.
    """

    version: str
    case: str
    workflow: Row
    steps: tuple[Row, ...]
    children: tuple[tuple[Row, tuple[Row, ...]], ...]
    status: str
    output: str | None
    error: str | None
    response: str | None

    @property
    def workflow_id(self) -> str:
        """Of the workflow itself."""
        return str(self.workflow["workflow_id"])

    @property
    def ended(self) -> bool:
        """Whether it was recorded with its end."""
        return self.workflow["status"] not in ("ENQUEUED", "PENDING")

    def prefix(self, length: int) -> History:
        """As a crash after the first `length` records left it: claimable, by nobody owned."""
        lost = dict.fromkeys(("output", "error", "response", "completed_at", "owner", "nonce"))
        workflow = {**self.workflow, **lost, "status": "PENDING", "claimable_at": self.workflow["created_at"]}
        return replace(self, workflow=workflow, steps=self.steps[:length])

    def save(self) -> Path:
        """Write it to its file."""
        path = HERE / self.version / f"{self.case}.json"
        path.parent.mkdir(exist_ok=True)
        text = json.dumps(asdict(self), indent=1)
        path.write_text(text.replace(str(CHECKOUT), "/srv/outlast") + "\n", "utf-8")  # out of tracebacks
        return path

    @classmethod
    def load(cls, path: Path) -> History:
        """Read it from its file."""
        document = json.loads(path.read_text("utf-8"))
        document["steps"] = tuple(document["steps"])
        document["children"] = tuple((row, tuple(steps)) for row, steps in document["children"])
        return cls(**document)


def files() -> list[Path]:
    """All that is recorded, of all versions."""
    return sorted(HERE.glob("*/*.json"))


def put(history: History, url: str) -> None:
    """Insert a history into a database that holds today's schema, and what its transactions left behind."""
    owner = history.workflow["owner"]
    with psycopg.connect(url) as connection:
        for workflow, steps in ((history.workflow, history.steps), *history.children):
            _insert(connection, "workflow_status", workflow)
            for row in steps:
                _insert(connection, "operation_outputs", row)
        if owner is not None:
            _insert(connection, "instances", {"instance_id": owner, "lease_until": "-infinity"})
        connection.execute(LEDGER)
        left = [row["output"] for row in history.steps if row["name"] in SIDE_EFFECTS and row["output"]]
        if left:
            connection.execute("insert into public.ledger values (1, %s)", (int(left[-1]),))


def _insert(connection: psycopg.Connection, table: str, row: Row) -> None:
    """All that the row held; a column that is no more may only have been null."""
    given = {name: text for name, text in row.items() if text is not None}
    connection.execute(
        sql.SQL("insert into outlast.{} ({}) values ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, given)),
            sql.SQL(", ").join([sql.Placeholder()] * len(given)),
        ),
        list(given.values()),
    )


def rows_of(url: str, workflow_id: str) -> tuple[Row, tuple[Row, ...]]:
    """A workflow's row and its records, in the order in which they became durable."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        (workflow,) = _texts(connection, "workflow_status", workflow_id)
        steps = _texts(connection, "operation_outputs", workflow_id)
    # A sleep that isn't over has no place among the completions: it comes where it was written.
    places = {row["step_id"]: int(row["completion_order"] or 0) for row in steps}
    highest = 0
    for row in sorted(steps, key=lambda row: (str(row["completed_at"]), places[row["step_id"]] or 2**31)):
        highest = max(highest, places[row["step_id"]])
        places[row["step_id"]] = places[row["step_id"]] or highest
    late = {row["step_id"]: row["completion_order"] is None for row in steps}
    return workflow, tuple(sorted(steps, key=lambda row: (places[row["step_id"]], late[row["step_id"]])))


def children_of(url: str, workflow_id: str) -> list[str]:
    """Ids of the workflows it started."""
    with psycopg.connect(url) as connection:
        query = "select workflow_id from outlast.workflow_status where parent = %s order by 1"
        return [row[0] for row in connection.execute(query, (workflow_id,))]


def _texts(connection: psycopg.Connection[Row], table: str, workflow_id: str) -> list[Row]:
    columns = connection.execute(
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped "
        "order by attnum",
        (f"outlast.{table}",),
    ).fetchall()
    texts = [
        sql.SQL("{}::text").format(sql.Identifier(name))
        for name in (str(column["attname"]) for column in columns)
    ]
    return connection.execute(
        sql.SQL("select {} from outlast.{} where workflow_id = %s").format(
            sql.SQL(", ").join(
                text + sql.SQL(" as ") + sql.Identifier(str(column["attname"]))
                for text, column in zip(texts, columns, strict=True)
            ),
            sql.Identifier(table),
        ),
        (workflow_id,),
    ).fetchall()
