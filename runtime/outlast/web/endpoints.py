"""The application that answers everything except functions: workflows, health, OpenAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from outlast.core.callbacks import PATH as CALLBACKS
from outlast.core.lines import ReadLines, no_lines
from outlast.core.resources import EVENTS, LOGS, RESOURCES, STEPS, WORKFLOWS
from outlast.core.verbs import SEND
from outlast.engine.engine import Engine
from outlast.functions.catalog import Catalog
from outlast.store.workflows import PostgresWorkflows
from outlast.web.callbacks.endpoints import CallbackRoutes
from outlast.web.callers.admission import Admission
from outlast.web.callers.shares import Shares
from outlast.web.dashboard.api import Api
from outlast.web.dashboard.gate import Gate
from outlast.web.dashboard.views import answer_dashboard, dashboard_routes
from outlast.web.http.answers import Answer, json_answer
from outlast.web.http.calls import Call
from outlast.web.http.routes import Endpoint, Routes
from outlast.web.management.events import EventRoutes
from outlast.web.management.health import Health
from outlast.web.management.listings import Listings, logs_page
from outlast.web.management.metrics import METRICS, Scrape, metrics
from outlast.web.management.owned import Owned, VisibleSteps
from outlast.web.management.verbs import VerbRoutes
from outlast.web.management.workflows import WorkflowRoutes
from outlast.web.openapi.document import OpenApi
from outlast.web.openapi.views import OpenTo


def management_app(
    *,
    engine: Engine,
    workflows: PostgresWorkflows,
    functions: Catalog,
    admission: Admission,
    visible_steps: VisibleSteps,
    shares: Shares,
    schema_current: Callable[[], Awaitable[bool]],
    failed_apps: Callable[[], Collection[str]],
    version: str,
    body_bytes_max: int,
    openapi_to: OpenTo = "caller",
    scrape: Scrape | None = None,
    read_lines: ReadLines = no_lines,
    gate: Gate | None = None,
    whole: Callable[[], ASGIApp] | None = None,
) -> ASGIApp:
    """An ASGI application for HTTP scopes. It raises ProblemError and OutlastError for its caller to answer.

    `visible_steps` says which steps of a function show their outputs to owners of its workflows. `shares`
    count a caller's waits and streams. `schema_current` says whether the database's schema is up to
    date, and raises Unreachable. `failed_apps` names functions whose application's startup failed.
    `version` is Outlast's; `body_bytes_max` bounds a message.
    `openapi_to` says who sees what of `/openapi.json`. Without `scrape` there are no metrics.
    `read_lines` gives what workflows have logged. Without `gate` there is no dashboard.
    `whole` gives the application of which this is a part, with functions.
    """
    owned = Owned(workflows, admission, visible_steps)
    of_workflows = WorkflowRoutes(engine, workflows, owned, shares)
    listings = Listings(workflows, owned)
    of_events = EventRoutes(engine, workflows, owned, shares, listings)
    of_verbs = VerbRoutes(engine, workflows, owned, listings, body_bytes_max)
    of_callbacks = CallbackRoutes(engine, workflows, functions, shares.count_request, body_bytes_max)
    probes = Health(engine, functions, schema_current, failed_apps)
    openapi = OpenApi(functions, version, admission, openapi_to)

    async def home(call: Call) -> Answer:
        """What this is and where to go on."""
        links = {
            "openapi": "/openapi.json",
            **{each.name: each.path for each in RESOURCES if each.of is None},
            "health": "/healthz",
            "ready": "/readyz",
        }
        if openapi_to == "off":
            del links["openapi"]
        if scrape is not None:
            links["metrics"] = METRICS
        return json_answer({"name": "outlast", "version": version, "links": links})

    documents = [] if openapi_to == "off" else [("GET", "/openapi.json", openapi.answer)]
    scraped = [] if scrape is None else [("GET", METRICS, partial(metrics, admission, scrape))]
    messages = [("POST", path, of_verbs.send) for path in SEND.paths]
    verbs = list(of_verbs.routes())
    pages: list[tuple[str, str, Endpoint]] = []
    api = Api(lambda call: routes.answer(call), whole)
    if gate is not None:
        pages = [*gate.routes(), *dashboard_routes(api, gate)]
    routes = Routes(
        [
            ("GET", "/", home),
            *documents,
            *scraped,
            *pages,
            ("GET", "/healthz", probes.alive),
            ("GET", "/readyz", probes.ready),
            ("GET", f"{CALLBACKS}{{token}}", of_callbacks.show),
            ("POST", f"{CALLBACKS}{{token}}", of_callbacks.answer),
            *reversed(messages),  # the longest first, because an id may contain slashes
            ("GET", STEPS.path, of_workflows.steps),
            ("GET", EVENTS.path, of_events.events),
            ("GET", LOGS.path, partial(logs_page, owned, read_lines)),
            *(each for each in verbs if each[1] != WORKFLOWS.item_path),
            *listings.routes(),
            # These match all the others of workflows.
            *(each for each in verbs if each[1] == WORKFLOWS.item_path),
            ("GET", WORKFLOWS.item_path, of_workflows.show),
            *listings.item_routes(),
        ]
    )

    answer: Endpoint = routes.answer
    if gate is not None:
        answer = partial(answer_dashboard, answer=routes.answer, api=api, gate=gate)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive)
        await call.answer(partial(answer, call), send)

    return app
