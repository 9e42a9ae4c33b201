"""A resource and a verb of the tests: rows of the tables, and nothing else."""

from __future__ import annotations

from outlast.core.resources import WORKFLOW_PATH, Column, Filter, Kind, Resource
from outlast.core.status import Change
from outlast.core.verbs import Argument, Verb

NOTES = Resource(
    name="notes",
    path=f"{WORKFLOW_PATH}/notes",
    schema="Note",
    columns=(
        Column("number", Kind.COUNT),
        Column("text", Kind.JSON, recorded=True),
        Column("author", Kind.TEXT, nullable=True, secret=True),
    ),
    filters=(Filter("author", Kind.TEXT, "By this author.", "Only this author's."),),
    order=("number",),
    order_kinds=(Kind.COUNT,),
    about="List notes",
    help="List notes.",
    empty="no notes",
    secret=False,
)
REST = Verb(
    name="rest",
    paths=(f"{WORKFLOW_PATH}/rest",),
    change=Change.SUSPEND,
    about="Let it rest",
    done="It rests.",
    help="Let a workflow rest.",
    past="rested",
    arguments=(Argument("seconds", 1, 60, "For how long."),),
)
