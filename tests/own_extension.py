"""A copy of a Postgres server that has one extension more: what stands in for pg_net, made as an extension.

Where extensions are looked for is compiled in, relative to the server's programs (find_my_exec and
make_relative_path in Postgres's src/port/path.c). So a tree of the same shape, of links but for the programs,
has its own.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

CONTROL = """
comment = 'stands in for pg_net'
default_version = '1.0'
relocatable = false
"""
PROGRAMS = ("postgres", "initdb", "pg_ctl")


def server_with(extension: str, script: str, bin_folder: Path, folder: Path) -> Path:
    """The folder of the programs of a server, made below `folder`, which has this extension too."""
    shared = Path(
        subprocess.run(
            [bin_folder / "pg_config", "--sharedir"], check=True, capture_output=True, text=True, timeout=30
        ).stdout.strip()
    )
    own_bin, own_shared = (folder / each.resolve().relative_to("/") for each in (bin_folder, shared))
    own_bin.mkdir(parents=True)
    own_shared.mkdir(parents=True)
    for name in PROGRAMS:
        shutil.copy2(bin_folder / name, own_bin / name)
    (own_bin.parent / "lib").symlink_to(bin_folder.parent / "lib")
    for each in shared.iterdir():
        if each.name != "extension":
            (own_shared / each.name).symlink_to(each)
    extensions = own_shared / "extension"
    extensions.mkdir()
    for each in (shared / "extension").iterdir():
        (extensions / each.name).symlink_to(each)
    (extensions / f"{extension}.control").write_text(CONTROL)
    (extensions / f"{extension}--1.0.sql").write_text(script)
    return own_bin
