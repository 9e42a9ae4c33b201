"""`outlast doctor`: what is wrong with settings, files, database and work, each with its remedy."""

from __future__ import annotations
