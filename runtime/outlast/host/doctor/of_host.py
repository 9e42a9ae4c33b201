"""Finds what is wrong before the database is asked: settings, files, keys and functions."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from outlast.core.errors import UsageError
from outlast.core.observations import ignore
from outlast.core.places import from_here
from outlast.functions.catalog import Catalog
from outlast.host.doctor.findings import Finding, finding
from outlast.host.secret_key import FILE_NAME, JWT_FILE_NAME
from outlast.host.settings import LOOPBACK, Settings
from outlast.host.surroundings import Surroundings
from outlast.observe.redaction import redactor
from outlast.store.address import TRANSACTION_POOLER_PORT, Address

LEASE_S_MIN = 3.0


def look_at_host(settings: Settings) -> list[Finding]:
    """Check settings, files, keys and functions. The functions are imported."""
    return [*check_settings(settings), *check_files(settings)]


def check_settings(settings: Settings) -> Iterator[Finding]:
    """Check the settings."""
    for warning in settings.warnings:
        yield finding("unknown_setting", warning=warning)
    if not settings.verify_jwt and settings.host not in LOOPBACK:
        yield finding("callers_unverified", host=settings.host)
    if settings.lease_ttl_s < LEASE_S_MIN:
        yield finding("short_lease", lease_s=settings.lease_ttl_s)
    if settings.db_url is not None and not settings.secret_keys:
        yield finding("no_secret_key")
    if settings.db_sessions and settings.db_url and _port(settings.db_url) == TRANSACTION_POOLER_PORT:
        yield finding("pooler_for_sessions")


def check_files(settings: Settings) -> Iterator[Finding]:
    """Check the files on disk: kept secrets, and the functions, which are imported."""
    for name in (FILE_NAME, JWT_FILE_NAME):
        path = settings.home / name
        if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield finding("key_readable", path=str(from_here(path)))
    surroundings = Surroundings(settings, lambda _: None)
    catalog = Catalog(settings.functions, ignore, settings.import_s_max, surroundings.declare)
    try:
        catalog.load()
    except UsageError as error:
        yield finding("functions_missing", error=str(error))
        return
    files = catalog.files()
    if not files:
        yield finding("no_functions", folder=str(from_here(settings.functions)))
    for file in files:
        if file.error is not None:
            yield finding("function_broken", name=file.name, error=redactor.redact(file.error))
    asking = [
        each.name
        for file in files
        for each in file.workflows()
        if each.auth is not None and "user" in {mode.kind for mode in each.auth}
    ]
    signed = settings.jwks or settings.jwt_secret or settings.key_set_url
    if asking and settings.db_url is not None and not signed:
        yield finding("no_token_keys", functions=asking[0])


def _port(url: str) -> str | None:
    try:
        name = Address.read(url, "outlast/doctor", None).name
    except ValueError:
        return None
    return name.rpartition("/")[0].rpartition(":")[2]
