"""`outlast doctor`: what is wrong with settings, files, database and workflows, each with its remedy."""

from __future__ import annotations
