"""`outlast new --dockerfile`: what an image of a project's functions is built from."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from string import Template

from outlast.cli.failures import CommandFailed
from outlast.cli.files import write_new

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
    """Write into `folder` what is missing, never over a file: what was written, and what was there.

    Raises CommandFailed where there is a Dockerfile already.
    """
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
