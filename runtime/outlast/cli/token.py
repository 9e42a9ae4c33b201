"""`outlast token`: a user's token for trying functions with `auth="user"`, where the secret is at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from outlast.cli.command import Command, env_file_option, json_option, read_settings
from outlast.cli.failures import CommandFailed
from outlast.cli.screen import tell
from outlast.core.clock import Clock

EXPIRES_S_MAX = 7 * 86_400


@click.command(cls=Command)
@click.option(
    "--user", required=True, metavar="ID", help="The user's id, the token's `sub`: a UUID at Supabase."
)
@click.option(
    "--role",
    type=click.Choice(["authenticated"]),
    default="authenticated",
    show_default=True,
    help="The Postgres role that row-level security sees.",
)
@click.option("--email", help="The user's address, which `context().caller.email` gives.")
@click.option(
    "--expires",
    "expires_s",
    metavar="SECONDS",
    type=click.IntRange(1, EXPIRES_S_MAX),
    default=3_600,
    show_default=True,
    help="For how long it is good.",
)
@env_file_option
@json_option
def token(
    user: str, role: str, email: str | None, expires_s: int, env_file: Path | None, as_json: bool
) -> None:
    """Print a token as Supabase Auth would give it to a user, for development.

    It is signed with SUPABASE_JWT_SECRET, or on the embedded database with the secret kept in .outlast/. A
    hosted project signs its own tokens: sign in there.
    """
    import jwt

    from outlast.host.serve import with_jwt_secret

    if not user.strip() or not user.isprintable():
        raise click.BadParameter("say who: a UUID, or any text", param_hint="--user")
    settings = with_jwt_secret(read_settings(env_file=env_file))
    if settings.jwt_secret is None:
        raise CommandFailed(
            "no_jwt_secret",
            "this project's tokens are signed elsewhere: sign in with its Auth, or set SUPABASE_JWT_SECRET",
        )
    now_s = int(Clock().now_s())
    claims: dict[str, Any] = {
        "sub": user,
        "role": role,
        "aud": next(iter(settings.jwt_audiences), "authenticated"),
        "iat": now_s,
        "exp": now_s + expires_s,
        "is_anonymous": False,
    }
    if settings.token_issuers:
        claims["iss"] = settings.token_issuers[0]
    if email is not None:
        claims["email"] = email
    signed = jwt.encode(claims, settings.jwt_secret, algorithm="HS256")
    tell({"token": signed, "claims": claims}, signed, as_json=as_json)
