"""Joins the web floor of one instance: what HTTP reaches of the engine, the workflows and the functions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import NamedTuple

from starlette.types import ASGIApp

from outlast.core.lines import ReadLines, no_lines
from outlast.core.observations import ForwardedUnbelieved, Observer
from outlast.engine.engine import Engine
from outlast.functions.catalog import Catalog
from outlast.host.settings import Settings
from outlast.sdk.context import MakeClients
from outlast.store.sessions import PostgresSessions
from outlast.store.workflows import PostgresWorkflows
from outlast.web.app import Web
from outlast.web.callers.admission import Admission
from outlast.web.callers.audit import Audit
from outlast.web.callers.credentials import ApiKeys
from outlast.web.callers.key_sets import KeySet, fetch_from
from outlast.web.callers.origins import Neighbours
from outlast.web.callers.shares import Shares
from outlast.web.callers.stored import Stored
from outlast.web.callers.tokens import Tokens
from outlast.web.dashboard.gate import Gate
from outlast.web.dashboard.pages import Pages
from outlast.web.dashboard.static import Assets
from outlast.web.dashboard.viewers import Keys
from outlast.web.dashboard.views import RAIL
from outlast.web.endpoints import management_app
from outlast.web.http.addresses import Addresses
from outlast.web.http.large_answers import LargeAnswers
from outlast.web.http.requests import RequestLog
from outlast.web.invoking.handlers import HostAccess
from outlast.web.invoking.invoke import Invoker
from outlast.web.invoking.lifespans import Lifespans
from outlast.web.invoking.streaming import Streamer
from outlast.web.management.metrics import Scrape


class WebFloor(NamedTuple):
    """`app` serves HTTP; `requests` logs requests; `keys` and `lifespans` must be closed."""

    app: ASGIApp
    requests: RequestLog
    keys: KeySet
    lifespans: Lifespans


def web_floor(
    settings: Settings,
    engine: Engine,
    workflows: PostgresWorkflows,
    functions: Catalog,
    secret_keys: Mapping[str, str],
    observe: Observer,
    *,
    clients: MakeClients | None,
    schema_current: Callable[[], Awaitable[bool]],
    scrape: Scrape | None = None,
    read_lines: ReadLines = no_lines,
    sessions: PostgresSessions | None = None,
) -> WebFloor:
    """Must be called on the event loop that it will serve on.

    `schema_current` says whether the database's schema is up to date, and raises Unreachable. Without
    `sessions` there is no dashboard.
    """
    url = settings.key_set_url
    keys = KeySet(settings.jwks, settings.jwt_secret, None if url is None else fetch_from(url))
    stored = Stored(workflows, settings.stored_limits())
    shares = Shares(settings.caller_limits(), engine.runs_here, stored)
    admission = Admission(
        ApiKeys(secret_keys, settings.publishable_keys),
        Tokens(keys, settings.token_issuers, settings.jwt_audiences, engine.clock),
        verify_jwt=settings.verify_jwt,
        of_function=functions.verify_jwt,
        count=shares.count_request,
    )
    bodies = settings.body_limits()
    lifespans = Lifespans(engine.host, observe, settings.import_s_max)
    invoker = Invoker(engine, settings.sync_wait_s, bodies, shares, observe)
    requests = RequestLog(observe, settings.request_log, settings.request_log_per_s_max)
    audit = Audit(observe)
    gate = None
    if sessions is not None and settings.serves_dashboard and secret_keys:
        opened_by = Keys(secret_keys, settings.viewer_key)
        gate = Gate(sessions, opened_by, admission, audit, Pages(Assets(), RAIL))
    app = Web(
        functions=functions,
        invoker=invoker,
        streamer=Streamer(engine, invoker, shares, workflows),
        access=HostAccess(engine.host, clients, bodies, lifespans),
        shares=shares,
        bodies=settings.byte_budget(),
        answers=LargeAnswers(settings.byte_budget()),
        admission=admission,
        management=management_app(
            engine=engine,
            workflows=workflows,
            functions=functions,
            admission=admission,
            visible_steps=functions.visible_steps,
            shares=shares,
            schema_current=schema_current,
            failed_apps=lifespans.failed,
            version=version("outlast"),
            body_bytes_max=settings.body_bytes_max,
            openapi_to=settings.openapi,
            scrape=scrape,
            read_lines=read_lines,
            gate=gate,
            whole=lambda: app,
        ),
        requests=requests,
        cors_origins=settings.cors_origins,
        audit=audit,
        addresses=Addresses(settings.trusted_proxies, lambda address: observe(ForwardedUnbelieved(address))),
        neighbours=None if settings.verify_jwt else Neighbours(settings.known_hosts, settings.cors_origins),
    )
    return WebFloor(app, requests, keys, lifespans)
