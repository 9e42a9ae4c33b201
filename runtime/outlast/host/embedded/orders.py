"""What a host passes to the supervisor that it starts."""

from __future__ import annotations

from typing import NamedTuple


class Orders(NamedTuple):
    """All that a supervisor needs to know, passed as command-line words; it reads no environment variables.

    `folder_fd`, `lock_fd` and `user_fd` are open files that it inherits: `HOME/postgres`, the supervisor's
    lock (already held) and the connection of its first user. The server runs as `uid`; initdb runs as
    `maker_uid`, since it insists on a user id with an account. `path` is used in messages only.
    """

    folder_fd: int
    lock_fd: int
    user_fd: int
    uid: int
    gid: int
    maker_uid: int
    maker_gid: int
    major: int
    durable: int
    programs: str
    path: str

    def words(self) -> list[str]:
        return [str(value) for value in self]

    @classmethod
    def from_words(cls, words: list[str]) -> Orders:
        *numbers, programs, path = words
        return cls(*map(int, numbers), programs, path)  # type: ignore[call-arg, arg-type]  # the order is ours
