"""The methods of its loop that a body can't use: all I/O, and all that would change how it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outlast.core.errors import UsageError
from outlast.core.places import place_of_user

_REFUSED = {
    "a thread": "run_in_executor call_soon_threadsafe set_default_executor",
    "a look-up of a name": "getaddrinfo getnameinfo",
    "a network connection": (
        "create_connection create_unix_connection create_datagram_endpoint connect_accepted_socket start_tls "
        "sendfile sock_recv sock_recv_into sock_recvfrom sock_recvfrom_into sock_sendall sock_sendto "
        "sock_connect sock_accept sock_sendfile"
    ),
    "a server": "create_server create_unix_server",
    "a subprocess": "subprocess_exec subprocess_shell",
    "a file or pipe": (
        "add_reader remove_reader add_writer remove_writer connect_read_pipe connect_write_pipe"
    ),
    "a signal": "add_signal_handler remove_signal_handler",
    "another run of its event loop": "run_forever run_until_complete stop close",
    "a change of its event loop": "set_task_factory set_exception_handler set_debug",
}
"""Loop methods that are refused, by what a body asks for with them."""


def refusals() -> dict[str, Callable[..., None]]:
    """Methods for a loop, by name. Each refuses with the user's line and the remedy."""
    return {
        method: _make_refusal(method, meant)
        for meant, methods in _REFUSED.items()
        for method in methods.split()
    }


def _make_refusal(method: str, meant: str) -> Callable[..., None]:
    def refuse(loop: Any, *_: Any, **__: Any) -> None:
        file, line = place_of_user(loop._body)
        error = UsageError(
            f"{file}:{line} asks in a workflow's body for {meant} (loop.{method}): a body runs again after a "
            "crash, so it reaches nothing outside of it; put it into a step"
        )
        loop.driver.refused(error)

    return refuse
