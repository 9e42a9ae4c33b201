"""The clients call the same host that the HTTP tests do."""

from __future__ import annotations

from tests.http.conftest import host, start_host

__all__ = ["host", "start_host"]
