"""`outlast new`: writes a function's file to start from."""

from __future__ import annotations

import keyword
import shlex
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING
from uuid import uuid4

import click

from outlast.cli.command import Command, env_file_option, json_option, read_settings
from outlast.cli.failures import CommandFailed
from outlast.cli.files import print_written, write_new
from outlast.cli.screen import print_json
from outlast.core.names import is_function_name
from outlast.core.places import from_here

if TYPE_CHECKING:
    from outlast.host.settings import Settings

_EXAMPLE = '{"name": "Ada"}'
_TAKEN = frozenset({"ada", "context", "greet", "outlast", "step", "workflow"})
_TEMPLATE = Template('''\
"""POST /functions/v1/$name: greets, and survives anything on the way."""

from outlast import $imports


@step(max_attempts=3)
async def greet(name: str) -> str:
    """A step is tried again when it raises. Once its output is recorded, it never runs again."""
    return f"Hello, {name}!"


$body
''')
_TEST = Template('''\
"""The test of $name.py: `pytest $folder`. What the fixture can do: docs/testing.md."""

$imports
$found

def test_it_greets(outlast: Outlast) -> None:
    $user
    run = $outlast.run($given)
    assert run.result == {"message": "Hello, $greeted!"}


def test_it_survives_a_crash_at_any_point(outlast: Outlast) -> None:
    $user
    report = $outlast.crash_everywhere($given)
    assert report.crashes > 0
''')
_AS_USER = 'ada = outlast.as_user({"sub": "1", "email": "ada@example.com"})'
_BODY = '''\
@workflow$options
async def $identifier(name: str = "world") -> dict[str, str]:
    """The body's fields come in as parameters; what is returned is the answer."""
    return {"message": await greet(name)}'''
_BODY_FOR_USERS = '''\
@workflow$options
async def $identifier() -> dict[str, str]:
    """For signed-in users alone; who calls is known from their token."""
    return {"message": await greet(context().caller.email or "stranger")}'''
_OPTIONS = {
    None: "",
    "none": '(auth="none")',
    "apikey": '(auth=["publishable", "secret"])',
    "user": '(auth="user")',
}


@click.command(cls=Command)
@click.argument("name", required=False)
@click.option("--dockerfile", is_flag=True, help="Write a Dockerfile for this folder's functions instead.")
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), help="The folder of functions. Default: functions."
)
@click.option(
    "--auth",
    type=click.Choice(["none", "apikey", "user"]),
    help="Who may call it: anybody, who has a key of the project, or signed-in users. "
    "Default: as the host's gateway says.",
)
@env_file_option
@json_option
def new(
    name: str | None,
    dockerfile: bool,
    folder: Path | None,
    auth: str | None,
    env_file: Path | None,
    as_json: bool,
) -> None:
    """Write functions/NAME.py, a workflow with one step, and functions/_NAME_test.py, its test.

    With --dockerfile write the files to build an image of this folder instead.
    """
    if dockerfile:
        _write_image(name, as_json)
        return
    if name is None:
        raise click.UsageError("say a NAME for the function, or --dockerfile", click.get_current_context())
    if not is_function_name(name):
        raise click.BadParameter(f"{name!r}: say a letter, then letters, digits, _ and -", param_hint="NAME")
    settings = read_settings(functions=folder, env_file=env_file)
    path = settings.functions / f"{name}.py"
    _write(path, _text(name, auth))
    test = _write_test(path, name, auth)
    host = settings.url or f"http://127.0.0.1:{settings.port}"
    key = str(uuid4()) if auth in ("none", "apikey") else "first"  # strangers must not guess others' keys
    fields = [*_credentials(auth, settings), f"-H 'Idempotency-Key: {key}'"]
    if auth != "user":
        fields.append(f"-H 'Content-Type: application/json' -d '{_EXAMPLE}'")
    curl = " ".join((f"curl -X POST {host}/functions/v1/{name}", *fields))
    if as_json:
        print_json(
            {
                "name": name,
                "path": str(from_here(path)),
                "test": None if test is None else str(test),
                "curl": curl,
            }
        )
        return
    folder = from_here(path.parent)
    beside = "" if test is None else f"wrote {test}, its test: run it by `pytest {folder}`\n"
    next_ = "Start the host with `outlast serve --reload`, then call it:"
    click.echo(f"wrote {from_here(path)}\n{beside}\n{next_}\n\n  {curl}")


def _write_image(name: str | None, as_json: bool) -> None:
    if name is not None:
        raise click.UsageError("--dockerfile takes no NAME", click.get_current_context())
    print_written(*write_image(Path.cwd()), as_json=as_json)
    if not as_json:
        click.echo("\nBuild the image with `docker build -t NAME .`; docs/deploy.md says how to run it")


def _text(name: str, auth: str | None) -> str:
    """The file's text for these callers."""
    body = Template(_BODY_FOR_USERS if auth == "user" else _BODY)
    return _TEMPLATE.substitute(
        name=name,
        imports="context, step, workflow" if auth == "user" else "step, workflow",
        body=body.substitute(options=_OPTIONS[auth], identifier=_identifier(name)),
    )


def _write_test(path: Path, name: str, auth: str | None) -> Path | None:
    """Write a test beside the function, for pytest only; None if it exists."""
    test = path.with_name(f"_{name}_test.py")
    identifier = _identifier(name)
    plain = name.isidentifier() and not keyword.iskeyword(name)  # a file with such a name can be imported
    # The name on a host. Another folder is on pytest's path itself.
    module = f"functions.{name}" if path.parent.name == "functions" else name
    own, ours = f"from {module} import {identifier}", "from outlast.testing import Outlast"
    imports = f"{ours}\n\n{own}" if plain else f"from importlib import import_module\n\n{ours}"
    text = _TEST.substitute(
        name=name,
        folder=from_here(path.parent),
        imports=imports,
        found="" if plain else f'\n{identifier} = import_module("{module}").{identifier}\n',
        user=_AS_USER if auth == "user" else "",
        outlast="ada" if auth == "user" else "outlast",
        given=identifier if auth == "user" else f'{identifier}, name="Ada"',
        greeted="ada@example.com" if auth == "user" else "Ada",
    ).replace("    \n", "")
    return from_here(test) if write_new(test, text.encode()) else None


def _credentials(auth: str | None, settings: Settings) -> list[str]:
    """The options that identify the caller of curl's request."""
    if auth == "none":
        return []
    if auth == "user":
        return ['-H "Authorization: Bearer <token of a signed-in user>"']
    key = "$SUPABASE_PUBLISHABLE_KEY" if auth == "apikey" else "$SUPABASE_SECRET_KEY"
    if auth is None and settings.secret_key is None and settings.db_url is None:
        key = f"$(cat {shlex.quote(str(from_here(settings.home / 'secret_key')))})"
    return [f'-H "apikey: {key}"']


def _write(path: Path, text: str) -> None:
    """Write a new file, never over an existing one. Raises CommandFailed."""
    index = path.with_suffix("") / "index.py"
    if index.exists() or not write_new(path, text.encode()):
        there = from_here(index if index.exists() else path)
        raise CommandFailed("function_exists", f"{there} is there already: choose another name")


def _identifier(name: str) -> str:
    """The Python name of the workflow in the file."""
    identifier = name.replace("-", "_")
    # pytest takes names that begin with `test` for tests.
    taken = keyword.iskeyword(identifier) or identifier in _TAKEN or identifier.startswith("test")
    return f"workflow_{identifier}" if taken else identifier


DOCKERFILE = Template("""\
# syntax=docker/dockerfile:1
ARG PYTHON_VERSION=3.13

# ---- build: an environment with what requirements.txt names, its bytecode compiled
FROM python:${version}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/outlast
COPY requirements.txt ./
COPY wheels wheels
RUN /opt/outlast/bin/python -m pip install --no-compile --find-links wheels -r requirements.txt \\
    && /opt/outlast/bin/python -m pip uninstall --yes pip \\
    && /opt/outlast/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/outlast/lib

# ---- run: nothing is written outside /tmp, so the root filesystem may be read-only
FROM python:${version}-slim
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin outlast
COPY --from=build /opt/outlast /opt/outlast
WORKDIR /app
COPY $folders ./
ENV PATH=/opt/outlast/bin:$$PATH \\
    PORT=8080 \\
    PYTHONDONTWRITEBYTECODE=1 \\
    PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \\
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', \
int(os.environ['PORT']), timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]

# Exec form, no shell in between: SIGTERM reaches the host, which hands its workflows over.
ENTRYPOINT ["outlast"]
CMD ["serve", "--host", "0.0.0.0"]
""")
_IGNORE = """\
# Only what the image is made from; never secrets or data.
*
!requirements.txt
!wheels
!functions
!supabase
**/__pycache__
**/.env
**/.env.*
supabase/.branches
supabase/.temp
supabase/signing_keys.json
"""
_WHEELS = """\
Wheels that no package index has, such as one of Outlast's own source:
pip wheel --no-deps --wheel-dir wheels PATH
"""


def write_image(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write the files that `folder` lacks, never over a file; return those written, and those that existed.

    Raises CommandFailed if there is a Dockerfile already.
    """
    from importlib.metadata import version

    dockerfile = folder / "Dockerfile"
    if dockerfile.exists():
        raise CommandFailed(
            "dockerfile_exists", f"{dockerfile.name} is there already: move it away for a new one"
        )
    folders = [each for each in ("functions", "supabase") if (folder / each).is_dir()] or ["functions"]
    copied = "\nCOPY ".join(f"{each} {each}" for each in folders)
    files = {
        dockerfile: DOCKERFILE.substitute(version="${PYTHON_VERSION}", folders="@").replace(
            "@ ./", copied, 1
        ),
        folder / ".dockerignore": _IGNORE,
        folder / "requirements.txt": f"outlast=={version('outlast')}\n",
        folder / "wheels" / "README": _WHEELS,
    }
    written = [path for path, text in files.items() if write_new(path, text.encode())]
    return written, [path for path in files if path not in written]
