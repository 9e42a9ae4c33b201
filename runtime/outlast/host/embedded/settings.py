"""The server's settings: little memory, little log, and only a unix socket."""

from __future__ import annotations

PORT = 5432  # part of the socket's name; no TCP port is opened
SOCKET = f".s.PGSQL.{PORT}"

_ALWAYS = {
    "cluster_name": "outlast",
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Small when idle: buffers use memory only once touched; no I/O workers, no replication, no parallel
    # plans.
    "shared_buffers": "64MB",
    # Keep files in the server's own folder: /dev/shm is tiny in containers, and shared with all other
    # servers.
    "dynamic_shared_memory_type": "mmap",
    "huge_pages": "off",
    "io_method": "sync",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "max_wal_size": "512MB",
    # Log only what went wrong.
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "logging_collector": "off",
}

_NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "400",  # for tests, which run many hosts on one server
}


def server_arguments(socket_folder: str, *, durable: bool) -> list[str]:
    """`-c name=value` for each setting. On the command line settings override the data folder's own files."""
    chosen = _ALWAYS | ({} if durable else _NOT_DURABLE) | {"unix_socket_directories": socket_folder}
    return [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]


def initdb_arguments(*, durable: bool) -> list[str]:
    """UTF-8, byte order and Postgres's own C.UTF-8, so that no locale of the machine is needed."""
    chosen = [
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    ]
    return chosen if durable else [*chosen, "--no-sync"]
