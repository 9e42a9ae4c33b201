"""Whose word is taken for the address of a caller."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.web.http.addresses import Addresses, caller_address

PROXIES = ("10.0.0.0/8", "fd00::/8")


def resolved(peer: str, *fields: tuple[str, str], trusted: tuple[str, ...] = PROXIES) -> tuple[str, str]:
    headers = [(name.encode(), value.encode()) for name, value in fields]
    scope: dict[str, Any] = {"client": (peer, 1234), "scheme": "http", "headers": headers}
    Addresses(trusted).resolve(scope)
    return scope["client"][0], scope["scheme"]


@pytest.mark.parametrize(
    ("said", "caller"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),  # the first one is what the caller said
        ("198.51.100.1, 203.0.113.7, 10.2.2.2", "203.0.113.7"),
        ("203.0.113.7, nonsense, 10.2.2.2", "10.2.2.2"),
        ("203.0.113.7:5555", "203.0.113.7"),
        ("[2001:db8::1]:5555", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
        ("", "10.0.0.1"),
    ],
)
def test_a_trusted_proxy_tells_who_calls(said: str, caller: str) -> None:
    assert resolved("10.0.0.1", ("x-forwarded-for", said)) == (caller, "http")
    assert resolved("::ffff:10.0.0.1", ("x-forwarded-for", said)) == (caller, "http")


def test_what_a_proxy_adds_as_a_field_of_its_own_comes_last() -> None:
    fields = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.7")]
    assert resolved("fd00::1", *fields)[0] == "203.0.113.7"


def test_a_trusted_proxy_tells_the_scheme() -> None:
    assert resolved("10.0.0.1", ("x-forwarded-proto", "https")) == ("10.0.0.1", "https")
    assert resolved("10.0.0.1", ("x-forwarded-proto", "gopher"))[1] == "http"


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "203.0.113.7", "192.168.0.1"])
def test_nobody_else_is_believed(peer: str) -> None:
    fields = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https")]
    assert resolved(peer, *fields) == (peer, "http")
    assert resolved(peer, *fields, trusted=()) == (peer, "http")


def test_an_unbelieved_proxy_is_told_of_once() -> None:
    told: list[str] = []
    addresses = Addresses(PROXIES, told.append)
    for peer in ("10.0.0.1", "203.0.113.7", "203.0.113.8"):
        addresses.resolve(
            {"client": (peer, 1), "scheme": "http", "headers": [(b"x-forwarded-for", b"192.0.2.1")]}
        )
    assert told == ["203.0.113.7"]


def test_a_network_of_ipv6_counts_as_one_caller() -> None:
    callers = {caller_address({"client": (f"2001:db8::{each}", 1)}) for each in ("1", "2", "ffff")}
    assert callers == {"2001:db8::/64"}
    assert caller_address({"client": ("203.0.113.7", 1)}) == "203.0.113.7"
