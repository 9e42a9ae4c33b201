# syntax=docker/dockerfile:1
# By its digest, so that the same file builds the same image. Take a newer one when Python or Debian mends something.
ARG PYTHON_IMAGE=python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

# ---- build: an environment with the locked dependencies and the package, its bytecode compiled
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/outlast && python -m venv /opt/build

# Dependencies first: this layer is made again only when the lock changes. What builds the package, and what lists
# all that is in the image (an SBOM in CycloneDX's form), stays here.
COPY requirements/runtime.lock requirements/build.lock requirements/supply.lock requirements/
RUN /opt/outlast/bin/python -m pip install --no-compile --require-hashes -r requirements/runtime.lock \
    && /opt/build/bin/python -m pip install --no-compile --require-hashes -r requirements/build.lock \
    && /opt/build/bin/python -m pip install --no-compile --require-hashes -r requirements/supply.lock

COPY pyproject.toml README.md LICENSE ./
COPY runtime runtime
COPY supabase/migrations supabase/migrations
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/outlast/bin/python -m pip install --no-compile --no-deps --no-index /wheels/*.whl \
    && /opt/outlast/bin/python -m pip uninstall --yes pip \
    && /opt/outlast/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/outlast/lib \
    && mkdir -p /opt/outlast/share/sbom \
    && /opt/build/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
        --output-file /opt/outlast/share/sbom/outlast.cdx.json /opt/outlast/bin/python

# ---- run: nothing is written outside /tmp, so the root filesystem may be read-only
FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin outlast
COPY --from=build /opt/outlast /opt/outlast
WORKDIR /app
COPY supabase supabase
COPY functions functions
ENV PATH=/opt/outlast/bin:$PATH \
    PORT=8080 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]

# Exec form, no shell in between: SIGTERM reaches the host, which hands its workflows over.
ENTRYPOINT ["outlast"]
CMD ["serve", "--host", "0.0.0.0"]
