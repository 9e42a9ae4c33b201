"""Metrics as Prometheus gets them from real hosts, and the board and the alerts that are made of them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from outlast.observe.metrics.families import FAMILIES
from tests.databases import new_database
from tests.hosts import SECRET, Host, Hosts, ask, until
from tests.pages import needs_curl

DOCS = Path(__file__).parents[2] / "docs" / "metrics"
FUNCTIONS = """
from datetime import timedelta

from outlast import Queue, every, sleep, step, workflow

tries = 0


@step(max_attempts=3, backoff=0.001)
async def flaky() -> int:
    global tries
    tries += 1
    if tries < 3:
        raise OSError("not yet")
    return tries


@step
async def fail() -> None:
    raise ValueError("no")


@workflow
async def pay(well: bool = True) -> int:
    if not well:
        await fail()
    return await flaky()


@workflow
async def doze() -> None:
    await sleep(timedelta(hours=1))


@workflow(queue=Queue("mail", concurrency=1))
async def mail() -> int:
    return 1


@workflow(schedule=every(seconds=1))
async def tick() -> int:
    return 1
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def families(text: str) -> dict[str, Metric]:
    return {each.name: each for each in text_string_to_metric_families(text)}


def values(text: str) -> dict[tuple[str, ...], float]:
    """Every sample, by its name and its labels."""
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in families(text).values()
        for sample in family.samples
    }


class Measured:
    """A host whose workflows have started, failed, slept, waited in a queue, and come by a schedule."""

    def __init__(self, hosts: Hosts, port: int) -> None:
        self.port = port
        self.host = hosts.start(metrics_port=port)
        self.ids = [
            self.host.post(f"paying/{name}", key, {}).headers["workflow-id"]
            for name, key in (("pay", "well"), ("mail", "well"))
        ]
        self.host.post("paying/pay", "bad", {"well": False})
        headers = {"apikey": SECRET, "prefer": "respond-async"}
        for key in ("dozes", "paused"):
            url = f"{self.host.url}/functions/v1/paying/doze"
            ask("POST", url, headers={**headers, "idempotency-key": key}, timeout=20)
        assert self.host.manage("POST", "paying/doze:paused/pause").status_code == 200
        lag = ("outlast_schedule_lag_seconds_count",)
        until(lambda: values(self.scrape()).get(lag), "a tick")
        waiting = ("outlast_db_workflows_open", "function=paying/doze", "state=waiting")
        until(lambda: values(self.scrape()).get(waiting), "the database's word of the sleeper")
        held = ("outlast_held", "function=paying/doze", "reason=paused")
        until(lambda: values(self.scrape()).get(held), "its word of what is paused")
        self.text = self.scrape()

    def scrape(self) -> str:
        answer = ask("GET", f"http://127.0.0.1:{self.port}/metrics", timeout=20)
        assert answer.status_code == 200
        return answer.text


@pytest.fixture(scope="module")
def measured(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "functions").mkdir()
    (folder / "functions" / "paying.py").write_text(FUNCTIONS)
    with new_database(postgres) as database:
        hosts = Hosts(folder, folder / "functions", database)
        try:
            yield Measured(hosts, free_port())
        finally:
            hosts.close()


def test_a_scrape_counts_what_was_done(measured: Measured) -> None:
    found = values(measured.text)
    expected = {
        ("outlast_workflows_started_total", "function=paying/pay", "trigger=call"): 2,
        ("outlast_workflows_ended_total", "function=paying/pay", "status=SUCCESS"): 1,
        ("outlast_workflows_ended_total", "function=paying/pay", "status=ERROR"): 1,
        ("outlast_workflows_ended_total", "function=paying/mail", "status=SUCCESS"): 1,
        ("outlast_workflows_duration_seconds_count", "function=paying/pay"): 2,
        ("outlast_workflows_active_seconds_count", "function=paying/doze"): 2,
        ("outlast_step_attempts_total", "function=paying/pay", "step=flaky"): 3,
        (
            "outlast_step_duration_seconds_count",
            "function=paying/pay",
            "outcome=success",
            "step=flaky",
        ): 1,
        ("outlast_step_duration_seconds_count", "function=paying/pay", "outcome=error", "step=fail"): 1,
        ("outlast_queue_wait_seconds_count", "queue=mail"): 1,
        ("outlast_db_workflows_open", "function=paying/doze", "state=waiting"): 1,
        ("outlast_held", "function=paying/doze", "reason=paused"): 1,
        ("outlast_db_queue_depth", "queue=mail"): 0,
        ("outlast_db_up",): 1,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert found["outlast_schedule_ticks_total", "outcome=started", "schedule=paying.tick"] >= 1
    assert found["outlast_journal_commit_seconds_count",] >= 6


def test_every_family_is_told_with_help_and_never_an_id(measured: Measured) -> None:
    told = families(measured.text)
    assert set(told) == {each.name.removesuffix("_total") for each in FAMILIES}
    for each in FAMILIES:
        family = told[each.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (each.kind, each.help)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(each.labels), each.name
        if each.name.startswith(("outlast_db_queue", "outlast_db_work", "outlast_db_conn", "outlast_held")):
            assert "use max" in each.help
    for workflow_id in measured.ids:
        assert workflow_id not in measured.text


def test_the_host_itself_shows_them_to_holders_of_a_secret_key(measured: Measured) -> None:
    url = f"{measured.host.url}/metrics"
    assert ask("GET", url, timeout=20).status_code == 401
    answer = ask("GET", url, headers={"apikey": SECRET}, timeout=20)
    assert answer.headers["content-type"].startswith("text/plain")
    assert set(families(answer.text)) == set(families(measured.text))
    other = ask("GET", f"http://127.0.0.1:{measured.port}/workflows/v1", timeout=20)
    assert (other.status_code, other.text) == (404, "only GET /metrics is here\n")


# --- board and alerts ---------------------------------------------------------------------------------------


def board() -> list[str]:
    """The board's expressions, as Grafana sends them."""
    document = json.loads((DOCS / "grafana.json").read_text())
    found = [target["expr"] for panel in document["panels"] for target in panel["targets"]]
    return [each.replace("$__rate_interval", "1m").replace("$function", ".*") for each in found]


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((DOCS / "alerts.yml").read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def selectors(expression: Any) -> Iterator[Any]:
    """All selectors of series in a parsed expression. An unknown part is an error, not a part left out."""
    match type(expression).__name__:
        case "VectorSelector":
            yield expression
        case "MatrixSelector":
            yield expression.vector_selector
        case "Call":
            for each in expression.args:
                yield from selectors(each)
        case "AggregateExpr" | "ParenExpr" | "UnaryExpr":
            yield from selectors(expression.expr)
        case "BinaryExpr":
            yield from selectors(expression.lhs)
            yield from selectors(expression.rhs)
        case "NumberLiteral" | "StringLiteral":
            pass
        case other:
            raise AssertionError(f"an expression of a kind that nobody checks: {other}")


def labels_of(expression: str) -> set[str]:
    """The labels that it groups by."""
    return {each for found in re.findall(r"by \(([^)]*)\)", expression) for each in found.split(", ")}


def check(expression: str, text: str) -> None:
    """It can be parsed, and names only series and labels that a host shows."""
    known = {
        name: {*family.labels, *({"le"} if name.endswith("_bucket") else ())}
        for family in FAMILIES
        for name in (
            [f"{family.name}_{each}" for each in ("bucket", "count", "sum")]
            if family.kind == "histogram"
            else [family.name]
        )
    }
    found = list(selectors(promql_parser.parse(expression)))
    assert found, expression
    for each in found:
        assert each.name in known, each.name
        base = re.sub(r"_(bucket|count|sum|total)$", "", each.name)
        assert f"# TYPE {base}" in text, f"no host shows {each.name}"
        assert {matcher.name for matcher in each.matchers.matchers} <= known[each.name], expression
        assert labels_of(expression) <= known[each.name] | {"instance"}, expression


def test_board_and_alerts_are_made_of_what_a_host_shows(measured: Measured) -> None:
    rules = alerts()
    assert len(rules) == 8
    for expression in [*board(), *(each["expr"] for each in rules)]:
        check(expression, measured.text)
    for rule in rules:
        assert rule["annotations"].keys() == {"summary", "remedy"}
        used = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule)))
        assert used <= labels_of(rule["expr"]), rule["alert"]


@pytest.mark.parametrize(
    "expression",
    ["sum(rate(outlast_journal_commits_total[5m]))", "sum by (queue) (outlast_held)", "sum(outlast_held"],
)
def test_what_no_host_shows_is_noticed(expression: str, measured: Measured) -> None:
    with pytest.raises((AssertionError, ValueError)):
        check(expression, measured.text)


def test_every_family_is_on_the_board(measured: Measured) -> None:
    shown = {
        re.sub(r"_(bucket|count|sum)$", "", each.name)
        for expression in board()
        for each in selectors(promql_parser.parse(expression))
    }
    assert shown == {each.name for each in FAMILIES}


@needs_curl
def test_the_page_tells_of_every_family_and_its_commands_work(measured: Measured) -> None:
    page = (DOCS.parent / "metrics.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == {each.name for each in FAMILIES}
    commands = re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        here = command.replace("http://127.0.0.1:8000", measured.host.url)
        here = here.replace(":9464", f":{measured.port}")
        env = {**os.environ, "SUPABASE_SECRET_KEY": SECRET}
        done = subprocess.run(["bash", "-c", here], env=env, capture_output=True, text=True, timeout=30)
        assert set(families(done.stdout)) == set(families(measured.text)), done


# --- several workers ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_with_workers_one_scrape_is_the_truth_and_a_killed_worker_takes_nothing_along(
    postgres: str, tmp_path: Path
) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "paying.py").write_text(FUNCTIONS)
    with new_database(postgres) as database:
        hosts = Hosts(tmp_path, tmp_path / "functions", database)
        try:
            port = free_port()
            host = hosts.start("--workers", "2", metrics_port=port)
            _check_workers(host, port)
        finally:
            hosts.close()


def host_says(host: Host, text: str) -> bool:
    return text in host.said()


def _check_workers(host: Host, port: int) -> None:
    ended = ("outlast_workflows_ended_total", "function=paying/mail", "status=SUCCESS")

    def counts() -> list[float]:
        """What several scrapes say, whichever workers take them."""
        texts = [ask("GET", f"http://127.0.0.1:{port}/metrics", timeout=20).text for _ in range(6)]
        return [values(each).get(ended, 0.0) for each in texts]

    for n in range(20):
        assert host.post("paying/mail", f"a{n}", {}).json() == 1
    assert counts() == [20.0] * 6
    workers = Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text().split()
    assert len(workers) == 2
    for pid in map(int, workers):  # both, so whatever each had counted is a dead one's
        os.kill(pid, signal.SIGKILL)
        until(partial(host_says, host, f"worker {pid} ended with -9"), "its end")
    until(lambda: host.asked("/readyz") == 200, "another worker")
    until(lambda: counts() == [20.0] * 6, "the counts of the dead")
    assert host.post("paying/mail", "b", {}).json() == 1
    assert counts() == [21.0] * 6
