"""A Supabase Queue in memory: what pgmq's functions do with its table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class QueuedMessage:
    """A row of the queue's table. `visible_at` is in Unix seconds."""

    msg_id: int
    enqueued_at: datetime
    body: str
    visible_at: float
    read_ct: int = 0


class SupabaseQueue:
    """One queue. `locked`: another session holds a lock on its table for longer than a look waits."""

    def __init__(self) -> None:
        self.messages: dict[int, QueuedMessage] = {}
        self.locked = False
        self._last_id = 0

    def send(self, body: str, at: datetime, delay_s: float = 0.0) -> QueuedMessage:
        """`pgmq.send`; the number goes again to a message that was brought back."""
        self._last_id += 1
        while self._last_id in self.messages:
            self._last_id += 1
        message = QueuedMessage(self._last_id, at, body, at.timestamp() + delay_s)
        self.messages[message.msg_id] = message
        return message

    def front(self, now: float, most: int) -> list[QueuedMessage]:
        """The messages that a read would return."""
        visible = [each for _, each in sorted(self.messages.items()) if each.visible_at <= now]
        return visible[: max(0, most)]

    def read(self, now: float, hidden_s: float, most: int) -> list[QueuedMessage]:
        """`pgmq.read`: visible messages, which are then hidden from others for a while."""
        found = self.front(now, most)
        for each in found:
            each.visible_at = now + hidden_s
            each.read_ct += 1
        return found

    def delete(self, ids: list[int]) -> None:
        """`pgmq.delete`."""
        for each in ids:
            self.messages.pop(each, None)

    def drop(self) -> None:
        """`pgmq.drop_queue` and `pgmq.create`: it counts from 1 again."""
        self.messages.clear()
        self._last_id = 0
