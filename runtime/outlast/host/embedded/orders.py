"""What a host tells the supervisor that it starts, as command-line words."""

from __future__ import annotations


class Orders:
    """All that a supervisor needs; it reads no environment and no settings.

    `folder_fd`, `lock_fd` and `user_fd` are open files it inherits: HOME/postgres, the supervisor's lock
    (already held) and the connection of its first user. `path` is only for messages. `maker` is the user
    id for initdb, which insists on an account; the server runs as `uid`.
    """

    def __init__(
        self,
        *,
        folder_fd: int,
        lock_fd: int,
        user_fd: int,
        uid: int,
        gid: int,
        maker: int,
        maker_gid: int,
        major: int,
        durable: bool,
        programs: str,
        path: str,
    ) -> None:
        self.folder_fd = folder_fd
        self.lock_fd = lock_fd
        self.user_fd = user_fd
        self.uid = uid
        self.gid = gid
        self.maker = maker
        self.maker_gid = maker_gid
        self.major = major
        self.durable = durable
        self.programs = programs
        self.path = path

    def words(self) -> list[str]:
        numbers = (
            self.folder_fd,
            self.lock_fd,
            self.user_fd,
            self.uid,
            self.gid,
            self.maker,
            self.maker_gid,
            self.major,
            int(self.durable),
        )
        return [*map(str, numbers), self.programs, self.path]

    @classmethod
    def from_words(cls, words: list[str]) -> Orders:
        numbers = [int(word) for word in words[:9]]
        return cls(
            folder_fd=numbers[0],
            lock_fd=numbers[1],
            user_fd=numbers[2],
            uid=numbers[3],
            gid=numbers[4],
            maker=numbers[5],
            maker_gid=numbers[6],
            major=numbers[7],
            durable=bool(numbers[8]),
            programs=words[9],
            path=words[10],
        )
