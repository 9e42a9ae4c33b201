"""Tokens as Supabase signs them: keys, the key set that tells of them, and a server on loopback for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from outlast.core.clock import Clock

SECRET = "a legacy secret of the tests that is long enough"
AUDIENCE = "authenticated"


@dataclass(frozen=True)
class Key:
    """A signing key. `public` is what a key set says of it."""

    algorithm: str
    private: Any
    kid: str | None = None

    @property
    def public(self) -> dict[str, Any]:
        kind = ECAlgorithm if self.algorithm == "ES256" else RSAAlgorithm
        document = json.loads(kind.to_jwk(self.private.public_key()))
        name = {} if self.kid is None else {"kid": self.kid}
        return {**document, **name, "alg": self.algorithm, "use": "sig"}

    @property
    def public_pem(self) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, form)

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        headers = {**({} if self.kid is None else {"kid": self.kid}), **header}
        return jwt.encode(claims, self.private, self.algorithm, headers=headers)


LEGACY = Key("HS256", SECRET)


def now_s() -> int:
    """The time as tokens have it."""
    return int(Clock().now_s())


def elliptic(kid: str | None = "ec-1") -> Key:
    return Key("ES256", ec.generate_private_key(ec.SECP256R1()), kid)


def rivest(kid: str | None = "rsa-1") -> Key:
    return Key("RS256", rsa.generate_private_key(65537, 2048), kid)


def claims_of(subject: str | None, issuer: str | None, **more: Any) -> dict[str, Any]:
    """A user's claims, as GoTrue makes them; None as a value leaves a claim out."""
    claims = {
        "sub": subject,
        "iss": issuer,
        "aud": AUDIENCE,
        "role": "authenticated",
        "exp": now_s() + 3600,
        "iat": now_s() - 1,
        "email": None if subject is None else f"{subject}@example.com",
        "app_metadata": {"provider": "email"},
        "user_metadata": {"name": subject},
        "session_id": "11111111-2222-3333-4444-555555555555",
        **more,
    }
    return {name: value for name, value in claims.items() if value is not None}


@dataclass
class Project:
    """A project's auth endpoint: its key set, and how often that was asked for."""

    keys: list[Key]
    url: str = ""
    asked: int = 0
    status: int = 200
    held: threading.Event | None = None
    body: bytes | None = None
    server: Any = field(default=None, repr=False)

    @property
    def issuer(self) -> str:
        return f"{self.url}/auth/v1"

    def token(self, subject: str | None, key: Key | None = None, **claims: Any) -> str:
        """A token of this project; `None` as a claim leaves it out."""
        return (key or self.keys[0]).sign(claims_of(subject, **{"issuer": self.issuer, **claims}))

    def document(self) -> bytes:
        return self.body or json.dumps({"keys": [key.public for key in self.keys]}).encode()


@contextmanager
def project(*keys: Key) -> Iterator[Project]:
    """A project on loopback: its key set, and a stand-in for its Data API that tells what it was sent."""
    made = Project(list(keys or (elliptic(),)))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            made.asked += "jwks" in self.path
            if made.held is not None:
                made.held.wait(20)
            body = made.document()
            if self.path.startswith("/rest/v1/"):
                names = ("apikey", "authorization")
                body = json.dumps([{name: self.headers[name] for name in names}]).encode()
            self.send_response(made.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        if made.held is not None:
            made.held.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
