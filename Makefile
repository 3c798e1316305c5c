# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
LOCK := .ci/requirements.lock
# Most tests wait for engines: a few more workers than cores.
JOBS ?= 3
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lab check lint unit kill-matrix bench js lock clean

demo: .venv/base  ## Set up, start the embedded fleet, show servers, apps, secrets and findings.
	@$(BIN)/opskit demo

lab: .venv/lab  ## Set up JupyterLab and open the notebooks on the embedded fleet.
	$(BIN)/opskit lab --demo

test: .venv/dev packages lint unit  ## Set up everything, real engines included, and run all checks.

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

unit: .venv/dev
	OPSKIT_REQUIRE_ENGINES=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

kill-matrix: .venv/dev packages  ## Kill runs at every moment on real swarms, and finish them both ways.
	OPSKIT_REQUIRE_ENGINES=1 OPSKIT_KILL_MATRIX=all $(BIN)/python -m pytest -n $(JOBS) -m swarm \
		tests/operations/test_crash.py tests/operations/test_crash_others.py tests/operations/test_crash_pass.py \
		tests/operations/test_stacks_crash.py

bench: .venv/dev packages  ## Time opskit beside its peers; see benchmarks/README.md.
	$(BIN)/python benchmarks/run.py

.PHONY: packages
packages:  ## Real Docker Engine, sshd, pass, Chromium, databases: Debian packages, when root.
	@.ci/packages

.venv/python:
	$(PYTHON) -m venv .venv
	@touch $@

.venv/base: pyproject.toml $(LOCK) | .venv/python
	$(PIP) install -q -c $(LOCK) -e .
	@touch $@

.venv/lab: pyproject.toml $(LOCK) | .venv/python
	$(PIP) install -q -c $(LOCK) -e '.[lab]'
	@touch $@ .venv/base

.venv/dev: pyproject.toml $(LOCK) | .venv/python
	$(PIP) install -q -c $(LOCK) -e '.[lab,dev]'
	@touch $@ .venv/lab .venv/base

js:  ## Make the forms' bundle anew after a change in opskit/widgets/js (needs npm).
	cd opskit/widgets/js && npm ci --no-audit --no-fund && npm run build

lock:  ## Renew the versions CI installs.
	uv pip compile --quiet --universal --extra lab --extra dev --no-header --no-annotate -o $(LOCK) pyproject.toml

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache
