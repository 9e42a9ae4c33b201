"""The dashboard over TCP and without scripts: what pages show and do, hostile values, a viewer's view."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx
import pytest

from outlast.web.dashboard.views import DASHBOARD, RAIL, VIEWS
from tests.hosts import NO_CERTIFICATES, SECRET
from tests.http.conftest import Start
from tests.http.harness import LIMIT_S, Served

VIEWER = "viewer_key_of_these_tests_0123"
STATIC = Path(__file__).parents[2] / "runtime/outlast/web/dashboard/static"
ASSETS_BYTES_MAX = 120 * 1024
HOSTILE = "<script>alert(1)</script>\u202egpj.exe\u0001"
ERROR = {
    "code": "workflow_error",
    "failure": {
        "type": "Refused",
        "message": f"{HOSTILE} password=hunter2hunter2",
        "traceback": 'Traceback:\n  File "/app/functions/orders.py", line 3, in ship\n    no\nRefused: no\n',
    },
}
_VOID = {"meta", "link", "input", "br", "path", "rect", "hr", "img"}


class Page(HTMLParser):
    """What a page holds: its elements with their attributes, and its text. Each element must be closed."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        assert answer.headers["content-type"] == "text/html; charset=utf-8", answer.text
        self.status = answer.status_code
        self.source = answer.text
        self.feed(answer.text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.elements.append((tag, found))
        assert not [name for name in found if name.startswith("on") or name == "style"], found
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        return [
            found
            for name, found in self.elements
            if name == tag and all(found.get(key) == value for key, value in attributes.items())
        ]

    @property
    def links(self) -> list[str]:
        return [found["href"] for found in self.all("a")]


class Reader:
    """A client that asks for pages with a key."""

    def __init__(self, host: Served, key: str) -> None:
        self.host = host
        headers = {"accept": "text/html", "apikey": key}
        self.client = httpx.Client(
            base_url=host.url, timeout=LIMIT_S, verify=NO_CERTIFICATES, headers=headers
        )

    def page(self, path: str, status: int = 200) -> Page:
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        return Page(answer)

    def post(self, path: str, **fields: str | list[str]) -> httpx.Response:
        return self.client.post(path, data=fields)


def insert(host: Served, workflow_id: str, status: str = "SUCCESS", **columns: object) -> str:
    """A workflow's row; its path below the dashboard."""
    given = {
        "workflow_id": workflow_id,
        "function": "orders/ship",
        "status": status,
        "completed_at": None if status in ("PENDING", "ENQUEUED") else "now()",
        **columns,
    }
    names = ", ".join(given)
    values = ", ".join("now()" if value == "now()" else "%s" for value in given.values())
    host.query(
        f"insert into outlast.workflow_status (started_at, {names}) values (now(), {values})",
        *[value for value in given.values() if value != "now()"],
    )
    return f"{DASHBOARD}/workflows/{quote(workflow_id, safe='')}"


@pytest.fixture(scope="module")
def served(start_host: Start) -> Served:
    return start_host(viewer_key=VIEWER)


@pytest.fixture
def reader(served: Served) -> Iterator[Reader]:
    made = Reader(served, SECRET)
    yield made
    made.client.close()


@pytest.fixture
def viewer(served: Served) -> Iterator[Reader]:
    made = Reader(served, VIEWER)
    yield made
    made.client.close()


def test_every_view_of_the_rail_has_a_page_with_a_title_and_a_way_around(reader: Reader) -> None:
    for address, word, _ in RAIL:
        page = reader.page(address)
        assert page.all("html", lang="en")
        assert page.all("a", href="#main", **{"class": "skip"})
        assert len(page.all("h1")) == 1
        assert page.all("main", id="main")
        assert page.all("a", href=address, **{"aria-current": "page"}), word
        assert not page.all("script", src="")
        assert all(each["type"] == "module" for each in page.all("script"))
        for field in page.all("input") + page.all("select"):
            assert field.get("type") == "hidden" or "name" in field or "data-choose-all" in field


@pytest.mark.parametrize(
    "override",
    [
        '{"concurrency": "five"}',
        '{"per_key": 1e30}',
        '{"rate": {"n": 0, "per": 1}}',
        '{"rate": {"n": 1, "per": 1e-400}}',
        '{"max_backlog": "all"}',
        "[1]",
    ],
)
def test_a_queue_that_cannot_be_read_takes_no_list_and_no_page_with_it(reader: Reader, override: str) -> None:
    host, name = reader.host, "cannot-be-read"
    host.query(
        "insert into outlast.queues (name, base, override) values (%s, '{}', %s) on conflict (name)"
        " do update set override = excluded.override returning 1",
        name,
        override,
    )
    columns = {"function": "hello", "queue": name, "claimable_at": "now()", "rank": "now()"}
    run = insert(host, name, "ENQUEUED", **columns)
    try:
        for path in (DASHBOARD, f"{DASHBOARD}/queues", run):
            reader.page(path)
        for path in ("/workflows/v1", f"/workflows/v1/{name}", "/queues/v1", f"/queues/v1/{name}"):
            answer = host.admin.get(path)
            assert answer.status_code == 200, answer.text
        assert host.query("select count(waiting_on) from outlast.workflow_summaries")
    finally:
        host.query("delete from outlast.workflow_status where workflow_id = %s returning 1", name)
        host.query("delete from outlast.queues where name = %s returning 1", name)


def test_views_are_in_the_table_once() -> None:
    rows = [(each.method, each.path) for each in VIEWS]
    assert len(rows) == len(set(rows))


def test_an_empty_list_says_so_and_what_to_do(reader: Reader) -> None:
    page = reader.page(f"{DASHBOARD}?function=nobody")
    assert "No run passes these filters." in page.text
    assert DASHBOARD in page.links


def test_hostile_ids_and_values_are_text(reader: Reader) -> None:
    strange = f"a/b\"{HOSTILE}%2F'<b>".replace("\u0001", "")
    path = insert(
        reader.host,
        strange,
        "ERROR",
        error=json.dumps(ERROR),
        input=json.dumps({"html": HOSTILE}),
        attributes=json.dumps({"x": HOSTILE}),
    )
    for page in (reader.page(f"{DASHBOARD}?prefix={quote(strange)}"), reader.page(path)):
        assert "<script>alert" not in page.source
        assert "<b>" not in page.source
        assert "\u202e" not in page.source
        assert "\\u202e" in page.text
        assert "hunter2" not in page.source
    assert path in reader.page(f"{DASHBOARD}?prefix={quote(strange)}").links
    assert reader.client.get(f"{path}/value/input").headers["content-type"] == "text/plain; charset=utf-8"


def test_ids_in_commands_are_words_of_a_shell(reader: Reader) -> None:
    strange = "run:$(id)"
    path = insert(reader.host, strange)
    reader.host.query(
        "insert into outlast.messages (workflow_id, message, number) "
        "select %s, '1', g from generate_series(1, 200) g returning 1",
        strange,
    )
    text = reader.page(path).text
    assert text.count("outlast workflows messages") == 1
    assert f"outlast workflows messages '{strange}'" in text


def test_what_no_text_can_hold_ends_and_is_shown(reader: Reader) -> None:
    broken = '{"code": "workflow_error", "failure": {"type": "X", "message": "a\\u0000b \\ud800"}}'
    path = insert(reader.host, "with-nul", "ERROR", error=broken.replace(" \\ud800", ""))
    assert "X: a" in reader.page(path).text
    assert "with-nul" in reader.page(f"{DASHBOARD}/errors?function=orders/ship").source
    groups = reader.host.query("select outlast.error_group('f', %s::json) is not null", broken)
    assert groups == [(True,)]


def test_large_values_are_cut_and_whole_behind_a_link(reader: Reader) -> None:
    large = "x" * (4 * 2**20)
    path = insert(reader.host, "large", output=json.dumps(large), input="[1.10, 12345678901234567890]")
    page = reader.page(path)
    assert len(page.source) < 60_000
    assert "The first 4 KiB of 4.0 MiB" in page.text
    assert f"{path}/value/output" in page.links
    assert reader.client.get(f"{path}/value/output").text == json.dumps(large)
    assert "1.10" in page.text
    assert "12345678901234567890" in page.text


def test_an_unknown_run_and_a_bad_filter_are_told(reader: Reader) -> None:
    assert "there is no workflow" in reader.page(f"{DASHBOARD}/workflows/none", 404).text
    assert "must be a date" in reader.page(f"{DASHBOARD}?since=yesterday", 400).text
    assert "nothing called 'explode'" in reader.page(f"{DASHBOARD}/workflows/none/do/explode", 404).text


def test_pages_follow_each_other_by_keys(reader: Reader) -> None:
    for place in range(103):
        insert(reader.host, f"paged-{place:03d}", function="paged")
    first = reader.page(f"{DASHBOARD}?function=paged")
    (following,) = [found["href"] for found in first.all("a", rel="next")]
    second = reader.page(f"{DASHBOARD}{following}")
    ids = [re.findall(r">(paged-\d+)<", page.source) for page in (first, second)]
    assert (len(ids[0]), len(ids[1])) == (100, 3)
    assert len({*ids[0], *ids[1]}) == 103
    assert not second.all("a", rel="next")
    assert "function=paged" in following


def test_a_page_that_is_the_same_is_not_sent_again(reader: Reader) -> None:
    path = insert(reader.host, "still")
    first = reader.client.get(path)
    again = reader.client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == "no-store"


def test_errors_are_grouped_and_each_group_is_found_and_retried(reader: Reader) -> None:
    for place in range(3):
        insert(reader.host, f"failed-{place}", "ERROR", function="grouped", error=json.dumps(ERROR))
    other = {**ERROR, "failure": {**ERROR["failure"], "type": "Other"}}  # type: ignore[dict-item]
    insert(reader.host, "failed-3", "ERROR", function="grouped", error=json.dumps(other))
    insert(reader.host, "stopped", "CANCELLED", function="grouped", error='{"code": "workflow_cancelled"}')
    page = reader.page(f"{DASHBOARD}/errors?function=grouped")
    assert "orders.py ship" in page.text
    groups = [link for link in page.links if "error_group=" in link and "bulk" not in link]
    assert len(groups) == 2
    found = [reader.page(link).source for link in groups]
    assert sorted(len(set(re.findall(r">(failed-\d)<", each))) for each in found) == [1, 3]
    (retry,) = [
        link
        for link, source in zip([each for each in page.links if "/bulk?" in each], found, strict=True)
        if "failed-0" in source
    ]
    tried = reader.page(retry)
    assert "3 runs pass this filter now" in tried.text
    group = re.search(r"error_group=(\w+)", retry)[1]  # type: ignore[index]
    fields = {"verb": "retry", "to": "filter", "f.error_group": group}
    refused = reader.post(f"{DASHBOARD}/bulk", **fields, expect="4")
    assert refused.status_code == 409
    assert "3" in Page(refused).text
    done = reader.post(f"{DASHBOARD}/bulk", **fields, expect="3", why="mended")
    assert done.status_code == 303, done.text
    assert done.headers["location"].startswith(f"{DASHBOARD}/bulks/outlast%3Abulk%3A")


def test_a_bulk_has_all_the_filters_of_the_list(reader: Reader) -> None:
    for key, plan in (("both", "pro"), ("one", "free")):
        attributes = json.dumps({"team": "filters", "plan": plan})
        insert(reader.host, f"filtered-{key}", "ERROR", error=json.dumps(ERROR), attributes=attributes)
    listed = reader.page(f"{DASHBOARD}?attribute=team:filters&attribute=plan:pro&status=ERROR&status=SUCCESS")
    fields = [(each["name"], each["value"]) for each in listed.all("input", type="hidden") if "value" in each]
    chosen = [pair for pair in fields if pair[0].startswith("f.")]
    tried = reader.page(f"{DASHBOARD}/bulk?{urlencode([('verb', 'retry'), ('to', 'filter'), *chosen])}")
    assert "1 run passes this filter now" in tried.text
    assert '"attribute": ["team:filters", "plan:pro"]' in tried.text


def test_the_filter_bar_has_all_that_is_filtered_by(reader: Reader) -> None:
    """Sent again it gives the same list: no value is lost, and there is a field for one more."""
    page = reader.page(f"{DASHBOARD}?attribute=team:a&attribute=plan:pro&status=ERROR&status=SUCCESS,PENDING")
    assert [each["value"] for each in page.all("input", name="attribute")] == ["team:a", "plan:pro", ""]
    assert len(page.all("select", name="status")) == 3
    chosen = [each["value"] for each in page.all("option") if "selected" in each]
    assert chosen == ["ERROR", "SUCCESS,PENDING"]


def test_the_chosen_are_done_one_by_one_and_each_outcome_is_told(reader: Reader) -> None:
    insert(reader.host, "chosen-1", "ERROR", error=json.dumps(ERROR))
    insert(reader.host, "chosen-2")
    asked = reader.page(f"{DASHBOARD}/bulk?verb=retry&to=chosen&id=chosen-1&id=chosen-2")
    assert "Retry 2 chosen runs?" in asked.text
    done = Page(reader.post(f"{DASHBOARD}/bulk", verb="retry", to="chosen", id=["chosen-1", "chosen-2"]))
    assert "1 of 2 were retried." in done.text
    assert "Refused" in done.text
    assert reader.host.status("chosen-2") == "SUCCESS"
    assert "nothing is chosen" in reader.page(f"{DASHBOARD}/bulk?verb=retry&to=chosen", 422).text


def test_a_verb_is_shown_where_it_is_allowed_and_done_by_its_form(reader: Reader) -> None:
    path = insert(reader.host, "to-retry", "ERROR", error=json.dumps(ERROR))
    page = reader.page(path)
    shown = [link.rpartition("/")[2] for link in page.links if link.startswith(f"{path}/do/")]
    assert "retry" in shown
    assert "pause" not in shown
    assert "resume" not in shown
    form = reader.page(f"{path}/do/retry")
    assert form.all("form", method="post", action=f"{path}/do/retry")
    assert "outlast workflows retry to-retry" in form.text
    assert "select * from outlast.retry_workflow(workflow_id => 'to-retry');" in form.text
    done = reader.post(f"{path}/do/retry", why="it was mended")
    assert (done.status_code, done.headers["location"]) == (303, f"{path}?done=retry")
    after = reader.page(f"{path}?done=retry")
    assert "It was retried." in after.text
    assert "it was mended" in after.text
    again = reader.post(f"{path}/do/retry")
    assert again.status_code == 409
    assert "ENQUEUED" in Page(again).text or "only one that is" in Page(again).text


def test_a_list_and_a_run_are_told_as_commands(reader: Reader) -> None:
    page = reader.page(f"{DASHBOARD}/commands?function=it%27s&status=ERROR&queue=")
    assert "/workflows/v1?function=it%27s&status=ERROR'" in page.text
    assert "outlast workflows list --function 'it'\"'\"'s' --status ERROR" in page.text
    sql = (
        "select s.* from outlast.find_workflows(function => 'it''s', status => array['ERROR'], most => 100) f"
        " join outlast.workflow_summaries s using (workflow_id) order by f.place;"
    )
    assert sql in page.text
    assert reader.host.query(sql) == []
    path = insert(reader.host, "told")
    assert "outlast workflows show told" in reader.page(f"{path}/commands").text


def test_a_fork_leads_to_the_new_run(reader: Reader) -> None:
    path = insert(reader.host, "to-fork", "ERROR", error=json.dumps(ERROR), input="{}")
    done = reader.post(f"{path}/do/fork", **{"from": "start"})
    assert (done.status_code, done.headers["location"]) == (
        303,
        f"{DASHBOARD}/workflows/to-fork~2?done=fork",
    )


def test_what_a_form_can_t_read_is_told_beside_what_was_typed(reader: Reader) -> None:
    path = insert(reader.host, "to-set")
    refused = reader.post(f"{path}/do/set", attributes="{not json")
    assert refused.status_code == 422
    page = Page(refused)
    assert "attributes can't be" in page.text
    assert "{not json" in page.text


def test_a_timeline_has_its_steps_their_instances_and_pages(reader: Reader) -> None:
    path = insert(reader.host, "long")
    reader.host.query(
        "insert into outlast.operation_outputs (workflow_id, step_id, name, kind, completion_order, attempts,"
        " started_at, completed_at, output, instance) select 'long', n::text, 'work', 'step', n, 1,"
        " now() + n * interval '1 s', now() + n * interval '1 s' + interval '0.5 s', '1',"
        " case when n < 300 then 'vm-one' else 'vm-two' end from generate_series(1, 450) n"
    )
    page = reader.page(path)
    assert page.source.count('scope="row"') >= 200
    (table,) = [each for each in page.all("table") if "data-steps" in each]
    assert (table["data-last"], table["data-block"]) == ("450", "200")
    assert "vm-one" in page.text
    second = reader.page(f"{path}/steps?from=201")
    assert "taken over" in second.text
    assert "vm-two" in second.text
    last = reader.page(f"{path}/steps?from=401")
    assert not last.all("a", rel="next")
    assert last.all("a", rel="prev")
    step = reader.page(f"{path}?step=7")
    assert "vm-one" in step.text
    assert "There is no such step" in reader.page(f"{path}?step=none").text


def test_a_viewer_sees_no_value_and_no_button(reader: Reader, viewer: Reader) -> None:
    secret = "what nobody sees"
    path = insert(
        reader.host,
        "veiled",
        "ERROR",
        error=json.dumps({**ERROR, "failure": {**ERROR["failure"], "message": secret}}),  # type: ignore[dict-item]
        input=json.dumps(secret),
        attributes=json.dumps({"who": secret}),
    )
    reader.host.query(
        "insert into outlast.operation_outputs"
        " (workflow_id, step_id, name, kind, completion_order, attempts, output) values"
        " ('veiled', '1', 'work', 'step', 1, 1, %s), ('veiled', '2', 'publish told', 'publish', 2, 0, %s)",
        json.dumps(secret),
        json.dumps(secret),
    )
    reader.host.query(
        "insert into outlast.messages (workflow_id, message) values ('veiled', %s)", json.dumps(secret)
    )
    assert secret in reader.page(path).source
    for each in (
        path,
        f"{path}?step=1",
        f"{path}/steps",
        f"{DASHBOARD}?prefix=veiled",
        f"{DASHBOARD}/errors",
    ):
        page = viewer.page(each)
        assert secret not in page.source, each
        assert not [link for link in page.links if "/do/" in link or "/bulk?" in link], each
    assert viewer.client.get(f"{path}/value/input").status_code == 403
    assert viewer.client.get(f"{path}/do/retry").status_code == 403
    assert viewer.post(f"{path}/do/retry").status_code == 403
    assert viewer.client.get(f"{DASHBOARD}?error=nobody").status_code == 403


def test_assets_are_small_kept_and_all_that_pages_load(reader: Reader) -> None:
    page = reader.page(DASHBOARD)
    addresses = [each["href"] for each in page.all("link")] + [each["src"] for each in page.all("script")]
    total = 0
    edition = addresses[0].split("/")[3]
    for name in sorted(path.name for path in STATIC.iterdir()):
        answer = reader.client.get(f"{DASHBOARD}/static/{edition}/{name}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        total += len(gzip.compress(answer.content))
        again = reader.client.get(
            f"{DASHBOARD}/static/{edition}/{name}", headers={"if-none-match": answer.headers["etag"]}
        )
        assert again.status_code == 304
    assert all(each.startswith(f"{DASHBOARD}/static/{edition}/") for each in addresses)
    assert total <= ASSETS_BYTES_MAX
    assert reader.client.get(f"{DASHBOARD}/static/old/app.mjs").headers["cache-control"] == "no-cache"
    assert reader.client.get(f"{DASHBOARD}/static/{edition}/..%2Fviews.py").status_code == 404


def test_a_host_that_nobody_looks_at_imports_no_templates() -> None:
    said = "import outlast.host.instance, sys; print('jinja2' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", said], text=True) == "False\n"


def test_each_colour_is_said_for_light_and_for_dark() -> None:
    text = (STATIC / "tokens.css").read_text("utf-8")
    alone = [line for line in text.splitlines() if re.search(r"#|rgb", line) and "light-dark(" not in line]
    assert [line.split(":")[0].strip() for line in alone] == ["--green-fill", "--green-on-fill"]
    for scheme in ("light", "dark"):
        assert f':root[data-theme="{scheme}"] {{ color-scheme: {scheme}; }}' in text


def test_no_colour_stands_outside_the_tokens() -> None:
    for path in STATIC.glob("*.css"):
        if path.name != "tokens.css":
            assert not re.findall(r"#[0-9a-fA-F]{3,8}\b", path.read_text("utf-8")), path.name


REFUSED = {
    "rewind": ({"to": "no_such_step"}, 422, "no recorded step"),
    "fork": ({"from": "no_such_step"}, 422, "no recorded step"),
    "retry": ({"why": "no_such_reason"}, 409, "the workflow is SUCCESS"),
    "cancel": ({"why": "no_such_reason"}, 409, "ended"),
}


@pytest.mark.parametrize("verb", REFUSED)
def test_what_is_refused_is_told_beside_what_was_typed(reader: Reader, verb: str) -> None:
    fields, status, why = REFUSED[verb]
    failed = verb == "rewind"
    path = insert(reader.host, f"refuses-{verb}", "ERROR" if failed else "SUCCESS", error=json.dumps(ERROR))
    refused = reader.post(f"{path}/do/{verb}", **fields)
    page = Page(refused)
    assert (refused.status_code, why in page.text) == (status, True), page.text
    assert page.all("form", method="post", action=f"{path}/do/{verb}")
    assert "no_such_" in page.source


def test_of_the_chosen_one_that_refuses_keeps_no_other_from_its_turn(reader: Reader) -> None:
    for name in ("chosen-bare", "chosen-done"):
        insert(reader.host, name, "ERROR", error=json.dumps(ERROR), input="{}")
    reader.host.query(
        "insert into outlast.operation_outputs"
        " (workflow_id, step_id, name, kind, output, attempts, started_at, completed_at, completion_order)"
        " values ('chosen-done', '1', 'pay', 'step', '1', 1, now(), now(), 1)"
    )
    chosen = ["chosen-bare", "chosen-done"]
    done = reader.post(f"{DASHBOARD}/bulk", verb="fork", **{"from": "1"}, id=chosen)
    assert done.status_code == 200, done.text
    assert "no recorded step" in Page(done).text
    forks = "select workflow_id from outlast.workflow_status where forked_from = any(%s)"
    assert reader.host.query(forks, chosen) == [("chosen-done~2",)]
