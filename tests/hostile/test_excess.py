"""Functions that want too much: a bound with a remedy in its message, and the others served meanwhile."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from outlast.core.bounds import OUTPUT_BYTES_MAX
from outlast.core.codec import Codec
from outlast.core.errors import NotSerializable
from outlast.core.failures import decode_failure, encode_failure
from tests.hostile.hosts import Target
from tests.http.harness import check_problem

MB = 100


@pytest.mark.parametrize("function", ["returns", "answers", "records"])
def test_a_result_that_is_too_large_is_refused_with_a_remedy(target: Target, function: str) -> None:
    name = f"growing/{function}"
    answer = target.call(name, {"mb": MB}, key="much")
    check_problem(answer, 500, "workflow_error", more={"workflow_id"})
    line = target.until_said(f"{name}:much failed: NotSerializable: ")
    assert f"at most {OUTPUT_BYTES_MAX} are recorded" in line
    assert "raise OUTLAST_OUTPUT_BYTES_MAX" in line
    assert len(line) < 1000


@pytest.mark.parametrize("function", ["raises", "raises_in_step", "refuses"])
def test_an_error_that_is_too_large_is_cut(target: Target, function: str) -> None:
    answer = target.call(f"growing/{function}", {"mb": MB}, key="much")
    check_problem(answer, 500, "workflow_error", more={"workflow_id"})
    (size,) = target.query(
        "select length(error::text) from outlast.workflow_status where workflow_id = %s",
        f"growing/{function}:much",
    )[0]
    assert size < 1_000_000
    assert target.call("calm", {"n": 2}).json() == 4


def test_others_are_served_while_too_much_is_returned(target: Target) -> None:
    """Not at once: the loop makes the JSON. But none fails, and none waits for a commit of that size."""
    with ThreadPoolExecutor(4) as threads:
        large = [threads.submit(target.call, "growing/returns", {"mb": MB}) for _ in range(2)]
        calm = [threads.submit(target.call, "calm", {"n": n}) for n in range(20)]
        assert [each.result().json() for each in calm] == [2 * n for n in range(20)]
        assert {each.result().status_code for each in large} == {500}


def test_what_fits_is_recorded(target: Target) -> None:
    answer = target.call("growing/returns", {"mb": 10}, key="fits")
    assert len(answer.json()) == 10_000_000
    assert target.call("growing/returns", {"mb": 10}, key="fits").content == answer.content


def test_a_handler_may_answer_what_it_likes(target: Target) -> None:
    assert len(target.client.get(f"/functions/v1/growing/hands_out?mb={MB}").content) == MB * 1_000_000


@pytest.mark.parametrize("function", ["recurses", "recurses_awaiting"])
def test_a_recursion_without_end_fails(target: Target, function: str) -> None:
    answer = target.call(f"growing/{function}", key="deep")
    check_problem(answer, 500, "workflow_error", more={"workflow_id"})
    target.until_said(f"growing/{function}:deep failed: RecursionError")
    assert target.call("calm", {"n": 2}).json() == 4


def test_a_result_nested_without_end_is_kept_as_a_text(target: Target) -> None:
    """Its work is done."""
    answer = target.call("growing/nests", key="n")
    assert answer.status_code == 200
    assert isinstance(answer.json(), str)
    target.until_said("growing/nests:n succeeded; its result is stored as plain JSON")


def test_the_bound_is_exact_and_names_what_was_too_large() -> None:
    fits = "x" * (OUTPUT_BYTES_MAX - 2)
    for codec in (Codec(str, of="step 'a'"), Codec(of="step 'a'")):
        assert codec.through(fits)[1] == fits
        with pytest.raises(NotSerializable, match=rf"step 'a' is {OUTPUT_BYTES_MAX + 1} bytes"):
            codec.encode(f"{fits}x")


def test_large_arguments_and_attributes_of_errors_are_dropped() -> None:
    error = ValueError("short", "x" * 1_000_000)
    error.kept = 1  # type: ignore[attr-defined]
    error.dropped = ["x" * 1_000_000]  # type: ignore[attr-defined]
    began = time.monotonic()
    text = encode_failure(error)
    assert len(text) < 100_000, time.monotonic() - began
    decoded = decode_failure(text, "step", {})
    assert isinstance(decoded, ValueError)
    assert decoded.args[0] == "short"
    assert vars(decoded)["kept"] == 1
    assert "dropped" in "".join(decoded.__notes__)
