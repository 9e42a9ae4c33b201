# Outlast's commands; `make` alone lists them. Needs Python 3.11 or newer and a package index, nothing else.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

PYTHONS := $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11
BIN := .venv/bin
# Compiled files are kept whatever the environment says: each test process and each host would compile anew.
unexport PYTHONDONTWRITEBYTECODE
SOURCES := runtime/outlast $(foreach each,tests benchmarks functions,$(if $(wildcard $(each)/*.py $(each)/*/*.py),$(each)))

# What the environment was made from: where it stands, and what was to be installed.
MADE_FROM = $$(pwd; cat pyproject.toml requirements/dev.lock | cksum)

.PHONY: help
help:  ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

.PHONY: serve
serve: venv  ## Run the functions under functions/ on this machine (ARGS="--port 9000" adds options)
	@exec $(BIN)/outlast serve --no-verify-jwt $(ARGS)

.PHONY: test
test: venv  ## Run the tests, in parallel and in random order (ARGS="-k name" adds options)
	@exec $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal -m "not slow and not long" $(ARGS)

.PHONY: slow
slow: venv  ## Run the tests that take more than a few seconds each, the whole model among them
	@exec $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal -m "slow and not long" --ignore tests/image $(ARGS)

.PHONY: long
long: venv  ## Run the tests that take minutes each, such as the dashboard over a million workflows
	@exec $(BIN)/python -m pytest -n 0 -m long $(ARGS)

.PHONY: crash
crash: venv  ## Break simulated hosts for a minute and real ones for three
	@$(BIN)/python -m tests.simulation --seconds 60 $(SIMULATION)
	@$(BIN)/python -m tests.torture --minutes 3 $(ARGS)

.PHONY: torture
torture: venv  ## The same for an hour, with real hosts alone (ARGS="--seed S --publish" adds options)
	@exec $(BIN)/python -m tests.torture --minutes 60 $(ARGS)

.PHONY: mutants
mutants: venv  ## Take the product's guards away one by one, and see that a test notices each
	@exec $(BIN)/python -m tests.mutants $(ARGS)

.PHONY: check
check: venv  ## Lint, formatting, types, and imports that run downhill
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy $(SOURCES)
	@$(BIN)/lint-imports --no-logo

.PHONY: bench
bench: venv  ## Measure what it costs and write benchmarks/README.md (ARGS="--quick --only recovery" adds options)
	@exec $(BIN)/python -m benchmarks $(ARGS)

.PHONY: screenshots
screenshots: venv  ## Make the pictures of the dashboard in docs/images anew, in a real Chromium (tests/browser/setup gets it)
	@$(BIN)/python -m tests.browser.screenshots

.PHONY: lock
lock:  ## Bring requirements/*.lock in line with pyproject.toml and dev.in; versions stay where they can
	@$(lock_both)

.PHONY: upgrade
upgrade:  ## The same, with every dependency at its newest version
	@UPGRADE=--upgrade; $(lock_both)

.PHONY: audit
audit:  ## Look up known vulnerabilities of the locked dependencies, where their source can be reached
	@set -e; $(find_python); \
	if ! cmp -s requirements/supply.lock build/supply/installed.lock; then \
	    "$$python" -m venv --clear build/supply; \
	    build/supply/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
	        --require-hashes -r requirements/supply.lock; \
	    cp requirements/supply.lock build/supply/installed.lock; \
	fi; \
	exec build/supply/bin/python requirements/audit.py requirements/dev.lock requirements/supply.lock

.PHONY: image
image:  ## Build the container image, outlast:local
	docker build --tag outlast:local .

.PHONY: image-test
image-test: venv  ## Build the image without an engine and run it, as tests/image/setup has made possible
	@exec $(BIN)/python -m pytest tests/image -m slow -n 0 --timeout 600 $(ARGS)

.PHONY: clean
clean:  ## Remove the environment and whatever was built; data under .outlast/ stays
	@rm -rf .venv dist build benchmarks/.cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find runtime tests functions benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# A finished environment says what it was made from in .venv/made-from. One that doesn't was interrupted, one
# that names another folder was moved, and one whose interpreter doesn't start is broken: all are made anew.
.PHONY: venv
venv:
	@set -e; want="$(MADE_FROM)"; have=$$(cat .venv/made-from 2>/dev/null || true); \
	if ! $(BIN)/python -c '' 2>/dev/null; then have=; fi; \
	if [ "$$want" = "$$have" ]; then exit 0; fi; \
	if [ "$${want%%[[:cntrl:]]*}" != "$${have%%[[:cntrl:]]*}" ]; then \
	    $(find_python); \
	    echo "Making .venv with $$("$$python" --version)"; \
	    "$$python" -m venv --clear .venv; \
	fi; \
	rm -f .venv/made-from; \
	echo "Installing the locked dependencies into .venv"; \
	$(pip_install) --require-hashes -r requirements/dev.lock $(or_tell); \
	$(pip_install) --no-deps --no-build-isolation --editable . $(or_tell); \
	echo "$$want" > .venv/made-from

# pip's own settings (index, proxy, certificates) hold; what it has to say is shown when it fails.
pip_install = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
or_tell = >.venv/install.log 2>&1 || { cat .venv/install.log >&2; exit 1; }

# The first interpreter that is new enough and can make virtual environments, in $$python.
define find_python
python=; \
for each in $(PYTHONS); do \
    if "$$each" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
        python="$$each"; break; \
    fi; \
done; \
if [ -z "$$python" ]; then \
    echo "Outlast needs Python 3.11 or newer with its venv module (Debian, Ubuntu: python3-venv); none of these is: $(strip $(PYTHONS))" >&2; \
    exit 1; \
fi
endef

# The locks name versions and hashes, never an index: they work with whichever index pip is set up for.
define lock_both
set -e; \
$(find_python); \
if [ ! -x build/uv/bin/uv ]; then \
    "$$python" -m venv --clear build/uv; \
    build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv; \
fi; \
compile="build/uv/bin/uv pip compile --quiet $$UPGRADE --universal --python-version 3.11 --generate-hashes"; \
compile="$$compile --no-emit-index-url --no-emit-find-links --no-annotate --no-header"; \
echo "Locking what running, developing and building need"; \
$$compile pyproject.toml --output-file requirements/runtime.lock; \
$$compile pyproject.toml --extra embedded --extra otel requirements/dev.in \
    --constraints requirements/runtime.lock --output-file requirements/dev.lock; \
$$compile requirements/build.in --constraints requirements/dev.lock --output-file requirements/build.lock; \
$$compile requirements/supply.in --constraints requirements/build.lock --output-file requirements/supply.lock
endef
