"""Sending, delivering and reading messages, over the instance's pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import errors

from outlast.core import faults
from outlast.core.callbacks import Link
from outlast.core.errors import KeyReused, NotSerializable, WorkflowEnded, WorkflowNotFound
from outlast.core.ports import Fence, MessageStore
from outlast.core.records import Arrivals, Delivered, InboxQuery, Message
from outlast.store.pool import Pool
from outlast.store.queries import load
from outlast.store.refusals import Refusals
from outlast.store.repeatable import rows_of

DELIVERED_MAX = 500
"""How many messages one delivery takes."""

LOOK_MAX = 20
"""How many messages of one topic one read returns."""

_SQL = load("messages.sql")

_REFUSALS = {
    errors.NoDataFound: WorkflowNotFound,
    errors.ObjectNotInPrerequisiteState: WorkflowEnded,
    errors.UniqueViolation: KeyReused,
    errors.ForeignKeyViolation: WorkflowNotFound,  # it was removed at this moment
}


class PostgresMessages(MessageStore):
    """`MessageStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._refusals = Refusals()

    async def send(self, workflow_id: str, body: str, topic: str, key: str) -> int:
        parameters = {"workflow_id": workflow_id, "message": body, "topic": topic, "key": key}
        return int((await self._send("send", parameters))["message_id"])

    async def send_again(
        self, fence: Fence, workflow_id: str, body: str, topic: str, key: str, generation: int
    ) -> int | None:
        parameters = {
            "workflow_id": workflow_id,
            "message": body,
            "topic": topic,
            "key": key,
            "sender": fence.workflow_id,
            "epoch": fence.epoch,
            "generation": generation,
        }
        message_id: int | None = (await self._send("send_again", parameters))["message_id"]
        return message_id

    async def answer(self, link: Link, body: str, request: str) -> int | None:
        parameters = {**link._asdict(), "message": body, "request": request}
        message_id: int | None = (await self._send("answer", parameters))["message_id"]
        return message_id

    async def _send(self, query: str, parameters: dict[str, Any]) -> dict[str, Any]:
        try:
            (row,) = await rows_of(
                self._pool, _SQL[query], parameters, f"workflow {parameters['workflow_id']}"
            )
        except tuple(_REFUSALS) as error:
            text = error.diag.message_primary or str(error)
            raise _REFUSALS[type(error)](text) from error
        except (errors.DataError, errors.ProgramLimitExceeded, UnicodeEncodeError) as error:
            raise NotSerializable(f"Postgres refuses the message: {error}") from error
        return row

    async def deliver(self) -> Delivered:
        parameters = {"limit": DELIVERED_MAX, "refused": self._refusals.now()}
        (row,) = await self._rows("deliver", parameters)
        self._refusals.note(row["refused"])
        faults.reach("deliver.after_commit")
        return Delivered(row["woken"], row["left_over"], self._refusals.news())

    async def tell(self) -> Delivered:
        (row,) = await self._rows("tell", {})
        return Delivered(row["woken"], row["more"])

    async def read(self, inboxes: Sequence[InboxQuery]) -> dict[int, Arrivals]:
        workflows, topics, afters, seens = zip(*inboxes, strict=True) if inboxes else ((), (), (), ())
        parameters = {
            "workflows": list(workflows),
            "topics": list(topics),
            "afters": list(afters),
            "seens": list(seens),
            "limit": LOOK_MAX,
        }
        found: dict[int, Arrivals] = {}
        for row in await self._rows("read", parameters):
            arrivals = found.setdefault(row["place"] - 1, Arrivals(row["mail"], []))
            if row["number"] is not None:
                arrivals.messages.append(Message(row["message_id"], row["number"], row["message"]))
        return {place: _limit_to_read(arrivals) for place, arrivals in found.items()}

    async def _rows(self, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        return await rows_of(self._pool, _SQL[query], parameters)


def _limit_to_read(arrivals: Arrivals) -> Arrivals:
    """After a full read nothing is known beyond its last message. The rows may come in any order."""
    messages = sorted(arrivals.messages, key=lambda each: each.number)
    return Arrivals(messages[-1].number if len(messages) == LOOK_MAX else arrivals.seen, messages)
