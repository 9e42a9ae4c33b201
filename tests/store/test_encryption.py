"""The way to another host is encrypted unasked; a certificate is checked where the URL asks for it.

The other host is this machine by its address in the network: there a stand-in ends TLS before Postgres.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from psycopg.conninfo import conninfo_to_dict

from outlast.store.connections import Database
from outlast.store.gate import NoConnection

_ASKS_FOR_TLS = bytes.fromhex("0000000804d2162f")


def own_address() -> str | None:
    """This machine's address in a network, if it has one."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing
        address: str = probe.getsockname()[0]
        if not ipaddress.ip_address(address).is_loopback:
            return address
    return None


ADDRESS = own_address()
needs_network = pytest.mark.skipif(ADDRESS is None, reason="SKIPPED LOUDLY: this machine is in no network")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of its own authority for ADDRESS, with its key in the same file."""
    assert ADDRESS is not None
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    begins = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(begins)
        .not_valid_after(begins + datetime.timedelta(days=36_500))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ADDRESS))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(pem) + private)
    return path


@asynccontextmanager
async def terminated(database: str, certificate: Path | None, host: str) -> AsyncIterator[str]:
    """A server at `host` that encrypts if it has a certificate; its URL, without a word on encryption."""
    at = conninfo_to_dict(database)
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        with suppress(OSError, asyncio.IncompleteReadError):
            start = await reader.readexactly(8)
            if start == _ASKS_FOR_TLS:
                writer.write(b"N" if certificate is None else b"S")
                start = b""
                if certificate is not None:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(certificate)
                    await writer.start_tls(context)
            server, there = await asyncio.open_unix_connection(f"{at['host']}/.s.PGSQL.{at['port']}")
            there.write(start)
            await asyncio.gather(_forward(reader, there), _forward(server, writer))
        writer.close()

    door = await asyncio.start_server(serve, host, 0)
    yield f"postgresql://{at['user']}@{host}:{door.sockets[0].getsockname()[1]}/{at['dbname']}"
    door.close()
    await asyncio.wait(serving, timeout=20)


async def _forward(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while said := await source.read(65536):
            target.write(said)
            await target.drain()
    target.close()


async def is_encrypted(url: str) -> bool:
    async with await Database.at(url, "tests").connect() as connection:
        return bool(connection.pgconn.ssl_in_use)


@needs_network
async def test_the_way_to_another_host_is_encrypted_by_itself(database: str, certificate: Path) -> None:
    assert ADDRESS is not None
    async with terminated(database, certificate, ADDRESS) as url:
        assert await is_encrypted(url)
        assert not await is_encrypted(f"{url}?sslmode=disable")


@needs_network
async def test_nothing_is_sent_unencrypted_to_another_host(database: str) -> None:
    assert ADDRESS is not None
    async with terminated(database, None, ADDRESS) as url:
        with pytest.raises(NoConnection, match="SSL"):
            await is_encrypted(url)
        assert not await is_encrypted(f"{url}?sslmode=prefer")


@needs_network
async def test_a_certificate_is_checked_where_the_url_asks_for_it(database: str, certificate: Path) -> None:
    assert ADDRESS is not None
    async with terminated(database, certificate, ADDRESS) as url:
        assert await is_encrypted(f"{url}?sslmode=verify-full&sslrootcert={certificate}")
        with pytest.raises(NoConnection, match="certificate"):
            await is_encrypted(f"{url}?sslmode=verify-full&sslrootcert=system")
        with pytest.raises(NoConnection, match="certificate"):
            await is_encrypted(f"{url}?sslrootcert=system")


@needs_network
async def test_a_local_server_is_reached_with_encryption_and_without(
    database: str, certificate: Path
) -> None:
    for offered in (certificate, None):
        async with terminated(database, offered, "127.0.0.1") as url:
            assert await is_encrypted(url) is (offered is not None)
