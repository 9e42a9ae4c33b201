"""Resources and verbs of the tests: rows of the tables, and nothing else."""

from __future__ import annotations

import sys

import pytest

from outlast.core.resources import RESOURCES, WORKFLOWS, Column, Filter, Kind, Resource
from outlast.core.verbs import VERBS, Argument, Verb

NOTES = Resource(
    name="notes",
    path=f"{WORKFLOWS.item_path}/notes",
    schema="Note",
    columns=(
        Column("number", Kind.COUNT),
        Column("text", Kind.JSON, recorded=True),
        Column("author", Kind.TEXT, nullable=True, secret=True),
    ),
    filters=(Filter("author", Kind.TEXT, "By this author.", "Only this author's."),),
    order=("number",),
    about="List notes",
    empty="no notes",
    secret=False,
    of=WORKFLOWS,
)
REST = Verb(
    name="rest",
    noun=WORKFLOWS,
    about="Let it rest",
    done="It rests.",
    help="Let a workflow rest.",
    past="rested",
    arguments=(Argument("seconds", Kind.COUNT, "For how long.", 1, 60, required=True),),
    answer=(Column("number", Kind.COUNT),),
)
BOXES = Resource(
    name="boxes",
    path="/boxes/v1",
    schema="Box",
    columns=(
        Column("name", Kind.TEXT),
        Column("things", Kind.COUNT_AT_LEAST),
        Column("shut", Kind.FLAG),
        Column("lasts_s", Kind.DURATION, nullable=True),
    ),
    filters=(Filter("shut", Kind.FLAG, "Only shut ones.", "Only shut ones."),),
    order=("name",),
    about="List boxes",
    empty="no boxes",
    one="box",
    key="name",
    commands="Look at boxes.",
)
THINGS = Resource(
    name="things",
    path=f"{BOXES.item_path}/things",
    schema="Thing",
    columns=(Column("number", Kind.COUNT),),
    filters=(),
    order=("number",),
    about="List things in a box",
    help="List the things in a box.",
    empty="nothing",
    of=BOXES,
)
FILL = Verb(
    name="fill",
    noun=BOXES,
    about="Fill a box",
    done="It is full.",
    help="Fill a box.",
    past="filled",
    refused="It is shut.",
    arguments=(
        Argument("count", Kind.COUNT, "How many.", 1, 9, required=True),
        Argument("what", Kind.TEXT, "With what.", 1, 5),
        Argument("key", Kind.TEXT, "To which lock.", choices=("k", "j")),
        Argument("weight", Kind.NUMBER, "How heavy.", 0),
        Argument("within", Kind.DURATION, "How soon.", 0, 3_600),
        Argument("since", Kind.TIMESTAMP, "From then on."),
        Argument("gently", Kind.FLAG, "Gently."),
        Argument("label", Kind.JSON, "What is on it."),
    ),
)
CHANGE = Verb(
    name="set",
    noun=BOXES,
    method="PATCH",
    about="Change a box",
    done="It is changed.",
    help="Change a box.",
    past="changed",
    arguments=(
        Argument("room", Kind.COUNT, "How much fits in.", 1, 100, nullable=True, setting=True),
        Argument("lasts", Kind.DURATION, "How long it lasts.", 1, nullable=True, setting=True),
        Argument("why", Kind.TEXT, "Why.", 1, 100),
    ),
)
MAKE = Verb(
    name="make",
    noun=BOXES,
    own_paths=(BOXES.path,),
    about="Make a box",
    done="It is there.",
    help="Make a box.",
    past="made",
    arguments=(Argument("name", Kind.TEXT, "Its name.", 1, 9, required=True),),
    answer=(Column("number", Kind.COUNT),),
)


def add_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add them to the tables, wherever those are used."""
    tables = {"RESOURCES": (*RESOURCES, NOTES, BOXES, THINGS), "VERBS": (*VERBS, REST, FILL, CHANGE, MAKE)}
    for name, module in list(sys.modules.items()):
        if name.startswith("outlast."):
            for table, rows in tables.items():
                if hasattr(module, table):
                    monkeypatch.setattr(module, table, rows)
