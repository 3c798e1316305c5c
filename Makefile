# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
LOCK := .ci/requirements.lock
# Most tests wait for engines: a few more workers than cores.
JOBS ?= 6
CORES ?= 2
# Of chaos, and of fuzz for each target; two hours are 120.
MINUTES ?= 10
PIP := $(BIN)/python -m pip --disable-pip-version-check

PYTEST := $(BIN)/python -m pytest
BARE := not swarm and not browser and not kernel and not nightly

.PHONY: demo test lab check lint fast unit full nightly kill-matrix chaos fuzz pythons bench pictures js lock clean

demo: .venv/base  ## Set up, start the embedded fleet, show servers, apps, secrets and findings.
	@$(BIN)/opskit demo

lab: .venv/base  ## Set up, and open the notebooks in JupyterLab on the embedded fleet.
	$(BIN)/opskit lab --demo

fast: .venv/dev  ## While working: no engine, no browser, no kernel, and nothing slow.
	$(PYTEST) -n $(CORES) --dist loadfile --no-loadscope-reorder -m "$(BARE) and not slow"

test: .venv/dev packages lint unit  ## Set up everything, real engines included, and run what CI runs.

full: test nightly kill-matrix chaos fuzz pythons  ## Everything there is; for the night.

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

unit: .venv/dev
	OPSKIT_REQUIRE_ENGINES=1 $(PYTEST) -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not nightly"

nightly: .venv/dev packages  ## What holds a promise in one more way: browsers, real swarms, long campaigns.
	OPSKIT_REQUIRE_ENGINES=1 $(PYTEST) -n $(JOBS) --dist loadfile --no-loadscope-reorder -m nightly

kill-matrix: .venv/dev packages  ## Kill or suspend runs at every moment, on real swarms too.
	OPSKIT_REQUIRE_ENGINES=1 OPSKIT_KILL_MATRIX=all $(PYTEST) -n $(JOBS) \
		tests/run/test_crash.py tests/run/test_crash_others.py \
		tests/run/test_crash_pass.py tests/run/test_stale.py tests/run/test_stale_stacks.py \
		tests/run/test_stacks_crash.py tests/steps/hooks/test_run.py

chaos: .venv/dev packages  ## Two operators, random operations and faults on real swarms; MINUTES and SEED.
	$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

fuzz: .venv/dev  ## Whatever others write is read or refused; MINUTES for each, TARGET one, SEED.
	$(BIN)/python -m tests.fuzz $(TARGET) --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

pythons:  ## All that needs no engine, browser or kernel, on each Python and the lowest versions.
	@.ci/pythons "$(BARE)"

bench: .venv/dev packages  ## Time opskit beside its peers; see benchmarks/README.md.
	$(BIN)/python benchmarks/run.py

pictures: .venv/dev packages  ## Photograph every notebook, form and picture; OUT is the folder.
	$(BIN)/python -m tests.browser.pictures $(or $(OUT),build/pictures) $(PARTS)

.PHONY: packages
packages:  ## Real Docker Engine, sshd, pass, Chromium, databases: Debian packages, when root.
	@.ci/packages

.venv/python:
	$(PYTHON) -m venv .venv
	@touch $@

.venv/base: pyproject.toml $(LOCK) | .venv/python
	$(PIP) install -q -c $(LOCK) -e .
	@touch $@

.venv/dev: pyproject.toml $(LOCK) | .venv/python
	$(PIP) install -q -c $(LOCK) -e '.[dev]'
	@touch $@ .venv/base

js:  ## Make the forms' bundle anew after a change in opskit/widgets/js (needs npm).
	cd opskit/widgets/js && npm ci --no-audit --no-fund && npm run build

lock: .venv/dev  ## Renew the versions CI installs.
	$(BIN)/uv pip compile --quiet --universal --extra dev --no-header --no-annotate -o $(LOCK) pyproject.toml

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache
