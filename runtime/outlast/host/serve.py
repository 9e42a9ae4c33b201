"""`outlast serve`: opens the database, the port and the instances, in this order."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from outlast.core.errors import OutlastError
from outlast.host.secret_key import FILE_NAME, obtain_jwt_secret, obtain_secret_key
from outlast.host.settings import Settings
from outlast.host.surroundings import check_files
from outlast.host.workers import Supervisor, Workers

if TYPE_CHECKING:
    from outlast.host.sharing import Shared

_logger = logging.getLogger("outlast")


class StartRefused(OutlastError):
    """The host can't start; the message is one line with the remedy."""

    code = "start_refused"


def serve(settings: Settings) -> int:
    """Serve until told to stop; return the exit status for `leave`.

    Raises OutlastError before it serves.
    """
    from outlast.observe.log import configure

    configure(settings.log_level, log_form(settings))
    for line in settings.warnings:
        _logger.warning("%s", line)
    check_files(settings)
    settings.connections()  # refused here rather than in a worker
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(_listen(settings.host, settings.port)))
        shared = stack.enter_context(_shared(settings))
        url = stack.enter_context(_database(settings))
        keys = _secret_keys(settings)
        settings = with_jwt_secret(settings)
        if settings.replay_check == "block":
            from outlast.host.replay_check import refuse_diverging

            refuse_diverging(settings, url)
        _announce(settings, listener)
        run = partial(_run, settings, url, keys, shared, listener)
        if settings.workers:
            work = partial(_work, settings, run)
            return Workers(settings.workers, work, settings.worker_silent_max_s).run()
        # There is no other process: a function that ends this process ends the service.
        return run(None)


def _run(
    settings: Settings,
    url: str,
    keys: Mapping[str, str],
    shared: Shared,
    listener: socket.socket,
    supervisor: Supervisor | None,
) -> int:
    from outlast.host.server import run_instance
    from outlast.observe.listeners import Listeners
    from outlast.observe.log import keep_lines, log

    part = shared.part(0 if supervisor is None else supervisor.slot)
    keep_lines(part.lines)
    observe = Listeners(log, *part.listeners())
    return run_instance(settings, url, keys, listener, observe, part, supervisor)


@contextlib.contextmanager
def _shared(settings: Settings) -> Iterator[Shared]:
    """What the workers share, made before they are forked. Raises StartRefused for a taken port."""
    from outlast.host.sharing import Shared

    with contextlib.ExitStack() as stack:
        listener = None
        if settings.metrics and settings.metrics_port is not None:
            listener = _listen(settings.host, settings.metrics_port, "another OUTLAST_METRICS_PORT")
            stack.enter_context(contextlib.closing(listener))
            where = f"http://{_show(settings.host)}:{settings.metrics_port}/metrics"
            _logger.info("metrics are at %s, for everybody who reaches it", where)
        yield Shared.by(settings.workers, listener, counts=settings.metrics)


def _work(settings: Settings, run: Callable[[Supervisor], int], supervisor: Supervisor) -> None:
    """One worker process."""
    from outlast.host.exits import leave
    from outlast.observe.log import configure

    configure(settings.log_level, log_form(settings))
    settings.conceal()
    leave(run(supervisor))


def _listen(host: str, port: int, instead: str = "another --port") -> socket.socket:
    """Bind before anything is started: a taken port is the most common mistake. Raises StartRefused."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        raise StartRefused(
            f"can't listen on {_show(host)}:{port} ({error.strerror or error}): stop what listens there, "
            f"or choose {instead}"
        ) from error
    listener.setblocking(False)
    listener.set_inheritable(True)
    return listener


@contextlib.contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """The database's URL; if none is given, that of the embedded server, for as long as it is used.

    Raises StartRefused for an invalid URL.
    """
    if settings.db_url is not None:
        from outlast.store.address import Address

        try:
            address = Address.read(settings.db_url, "outlast", settings.db_sessions)
        except ValueError as error:
            raise StartRefused(f"SUPABASE_DB_URL: {error}") from None
        for line in address.warnings:
            _logger.warning("%s", line)
        yield settings.db_url
        return
    from outlast.host.embedded import EmbeddedPostgres

    with EmbeddedPostgres.start(settings.home) as server:
        yield server.url


def _secret_keys(settings: Settings) -> Mapping[str, str]:
    """The secret keys, by name; on the embedded database one is made if none is set."""
    if settings.secret_keys:
        return settings.secret_keys
    if settings.db_url is not None:
        _logger.warning("no secret key is set, so nobody can manage workflows: set SUPABASE_SECRET_KEY")
        return {}
    key = obtain_secret_key(settings.home)
    if key.made:
        path = settings.home / FILE_NAME
        _logger.info("made a secret key, which callers send as `apikey`: it is in %s", path)
    return {"default": key.value}


def with_jwt_secret(settings: Settings) -> Settings:
    """On the embedded database, let a kept secret sign tokens of users if no other key is set.

    Raises SecretKeyError.
    """
    if settings.db_url is not None or settings.jwt_secret or settings.jwks or settings.key_set_url:
        return settings
    own = settings.model_copy(update={"jwt_secret": obtain_jwt_secret(settings.home)})
    own.conceal()
    return own


def log_form(settings: Settings) -> Literal["text", "json"]:
    """Text for a terminal, JSON for a log collector."""
    if settings.log_format != "auto":
        return settings.log_format
    return "text" if sys.stderr.isatty() or settings.db_url is None else "json"


def _show(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _announce(settings: Settings, listener: socket.socket) -> None:
    """Print where the functions are served, as a terminal's first lines."""
    host, port = listener.getsockname()[:2]
    _logger.info(
        "serving functions of %s at http://%s:%d/functions/v1/", settings.functions, _show(host), port
    )
    if settings.serves_dashboard:
        _logger.info("the dashboard is at http://%s:%d/dashboard", _show(host), port)
    elif settings.dashboard is None:
        _logger.info("no dashboard, because others reach this host: set OUTLAST_DASHBOARD=true to serve it")
    if not settings.verify_jwt:
        _logger.info("callers are not asked who they are (--no-verify-jwt)")
