"""The address of a caller behind a proxy, as the log and mounted applications have it."""

from __future__ import annotations

import re

import pytest

from tests.hosts import until
from tests.http.conftest import OPEN, Start
from tests.http.harness import Served, check_problem

THROUGH = {"x-forwarded-for": "198.51.100.1, 203.0.113.7"}


def addresses_told(host: Served) -> set[str]:
    """Those in the lines of refused requests, once there is one."""
    pattern = re.compile(r"/functions/v1/nowhere 404 .*?([0-9.]+)$", re.MULTILINE)
    until(lambda: pattern.search(host.process.said()), f"a line of a request: {host.process.said()}")
    return set(pattern.findall(host.process.said()))


@pytest.mark.parametrize(("trusted", "caller"), [("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.7")])
def test_only_trusted_proxies_say_who_calls(start_host: Start, trusted: str, caller: str) -> None:
    host = start_host(OPEN, trusted_proxies=trusted, FORWARDED_ALLOW_IPS="*")
    check_problem(host.call("nowhere", {}, headers=THROUGH), 404, "NOT_FOUND")
    assert addresses_told(host) == {caller}
    assert ("X-Forwarded-For isn't believed" in host.process.said()) == (trusted == "")
