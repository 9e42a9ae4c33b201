"""The address that a call comes from: that of its connection, or the one that trusted proxies report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

Address = IPv4Address | IPv6Address

_FORWARDED = b"x-forwarded-for"
_SCHEME = b"x-forwarded-proto"
_CALLER_BITS = 64
"""The prefix of one IPv6 subscriber, who has all addresses below it (RFC 6177)."""


class Addresses:
    """Believes `X-Forwarded-For` and `X-Forwarded-Proto` of the proxies in `trusted` (networks) alone."""

    def __init__(self, trusted: Sequence[str] = (), unbelieved: Callable[[str], None] | None = None) -> None:
        """`unbelieved` is called once, with the first untrusted address that sends X-Forwarded-For."""
        self._trusted = [ip_network(each) for each in trusted]
        self._unbelieved = unbelieved

    def resolve(self, scope: Scope) -> None:
        """Set the scope's `client` and `scheme` to the caller's, as far as proxies can be trusted."""
        client = scope.get("client")
        peer = read_address(client[0]) if client else None
        if client is None or peer is None:
            return
        fields = scope["headers"]
        # guard: anybody-says-who-calls
        if not self._trusts(peer):
            if self._unbelieved is not None and _FORWARDED in dict(fields):
                told, self._unbelieved = self._unbelieved, None
                told(str(peer))
            if (plain := _plain(client[0])) != client[0]:
                scope["client"] = (plain, client[1])
            return
        hops = [value.decode("latin-1") for name, value in fields if name == _FORWARDED]
        caller = self._caller(peer, ",".join(hops))
        scope["client"] = (str(caller), client[1] if caller == peer else 0)
        schemes = [value for name, value in fields if name == _SCHEME]
        if schemes and (scheme := schemes[-1].decode("latin-1").strip().lower()) in ("http", "https"):
            scope["scheme"] = scheme

    def _caller(self, peer: Address, hops: str) -> Address:
        """The nearest hop that is no trusted proxy. Each proxy appends the address that called it."""
        caller = peer
        for hop in reversed(hops.split(",")):
            address = read_address(hop)
            if address is None:
                break
            caller = address
            if not self._trusts(address):
                break
        return caller

    def _trusts(self, address: Address) -> bool:
        return bool(self._trusted) and any(address in network for network in self._trusted)


@lru_cache(4096)
def read_address(text: str) -> Address | None:
    """An address out of `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]` or `[::1]:80`; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def caller_address(scope: Scope) -> str:
    """The key under which calls are counted: an IPv4 address or an IPv6 network; `-` if unknown."""
    client = scope.get("client")
    return _caller(client[0]) if client else "-"


@lru_cache(4096)
def _caller(text: str) -> str:
    address = read_address(text)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, _CALLER_BITS), strict=False))
    return str(address or text)


@lru_cache(4096)
def _plain(text: str) -> str:
    """An address without its port and brackets."""
    return str(read_address(text))
