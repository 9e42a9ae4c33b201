"""Hypothesis keeps its files where no other test process has any."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import strategies
from hypothesis.configuration import storage_directory

from tests.scratch import PREFIX


def test_its_folder_is_of_this_process_and_of_this_run(pytestconfig: pytest.Config) -> None:
    home = storage_directory("unicode_data").home_directory
    assert home.name == f"hypothesis-{os.getpid()}"
    assert home.parent.name.startswith(PREFIX)
    strategies.text().validate()
    assert not home.is_relative_to(Path(pytestconfig.rootpath))
