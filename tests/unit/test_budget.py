"""How much may be in memory, and how much there is."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from outlast.core.budget import Budget
from outlast.host.memory import BUDGET_MIN_BYTES, bodies_bytes, budget_bytes, memory_limit_bytes

MIB = 2**20


def test_what_fits_is_let_in_and_what_never_would_once_all_is_quiet() -> None:
    budget = Budget(400)
    assert budget.json_bytes_max == 100
    assert budget.fits(40, 60)
    assert not budget.fits(40, 61)
    assert budget.fits(0, 10_000)
    assert budget.fits(10, 10_000)  # a little that always runs must not keep it out for ever
    assert not budget.fits(11, 10_000)
    assert (budget.left(30), budget.left(130)) == (70, 0)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "536870912\n"}, 512 * MIB),
        ({"memory/memory.limit_in_bytes": "268435456\n"}, 256 * MIB),
        ({"memory.max": "max\n"}, None),
        ({"memory.max": ""}, None),
        ({}, None),
    ],
)
def test_the_limit_is_the_containers_or_the_machines(
    tmp_path: Path, files: dict[str, str], limit: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    machine = memory_limit_bytes(tmp_path / "none")
    assert machine >= 512 * MIB
    assert memory_limit_bytes(tmp_path) == (limit or machine)


def test_a_limit_of_the_address_space_holds_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (300 * MIB, resource.RLIM_INFINITY))
    assert memory_limit_bytes(tmp_path) == 300 * MIB


def test_workers_share_it_and_a_small_one_still_works() -> None:
    assert budget_bytes(512 * MIB, 1) == 192 * MIB
    assert budget_bytes(1024 * MIB, 2) == 192 * MIB
    assert budget_bytes(64 * MIB, 1) == BUDGET_MIN_BYTES
    assert bodies_bytes(512 * MIB, 1) == 32 * MIB
    assert bodies_bytes(64 * MIB, 1) == 16 * MIB
    assert bodies_bytes(2**40, 2) == 256 * MIB
