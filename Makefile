# Order Book Platform. `make test` and `make demo` work as the first command after cloning: they need Python >= 3.11
# with venv, and set up everything else in .venv from the hash-pinned requirements.lock.

PYTHON ?=
PORT ?= 3000
PYTEST_ARGS ?= -n auto --dist loadfile --no-loadscope-reorder

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := .venv-bench
PEERS_STAMP := $(PEERS)/.installed
DEMO_SYMBOLS := SIMULATED:BTC-USDT-PERP SIMULATED:ETH-USDT
DEMO_DAYS := 2024-08-08 2024-08-09
DEMO_MESSAGES ?= 20000
# The values that platform.toml comes with, should it have been changed since.
DEMO_SETTINGS = OBP_CONFIG="$(CURDIR)/platform.toml" OBP_LAKE_ROOT=data/lake OBP_DATA_ROOT=data/store \
	OBP_FIRST_DAY=2024-08-08 \
	OBP_INSTRUMENTS='[{"symbol": "SIMULATED:BTC-USDT-PERP"}, {"symbol": "SIMULATED:ETH-USDT"}]'

# Wherever the caller's shell points: this project's environment is .venv alone.
unexport PYTHONPATH PYTHONHOME
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup instance test test-quick test-without-jit test-with-bounds
.PHONY: check check-lint check-types check-rooms check-dependencies check-defs check-wheel
.PHONY: docs demo ui bench lock lock-bench clean

help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile

# --- the environment ------------------------------------------------------------------------------------------------

setup: $(STAMP) ## create .venv with the pinned packages (every other target does it when needed)

# A Python whose pip works is kept; a broken or missing .venv is made anew.
$(STAMP): requirements.lock pyproject.toml order_book_platform/version.py
	@set -e; \
	if ! $(BIN)/python -c 'import pip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; then \
		found=; unsuitable=; \
		for python in $(or $(PYTHON),python3.11 python3.12 python3.13 python3.14 python3 python); do \
			command -v "$$python" >/dev/null 2>&1 || continue; \
			"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null || continue; \
			if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then found="$$python"; break; fi; \
			unsuitable="$$python"; \
		done; \
		if [ -z "$$found" ] && [ -n "$$unsuitable" ]; then \
			echo "make: $$unsuitable cannot create virtual environments: expected its modules venv and ensurepip." >&2; \
			echo "      Install them (Debian and Ubuntu: apt install python3-venv) or name another: make PYTHON=/path/to/python" >&2; \
			exit 1; \
		elif [ -z "$$found" ]; then \
			echo "make: expected Python >= 3.11 and < 3.15, found none that is called $(or $(PYTHON),python3.11 … python3.14 or python3)." >&2; \
			echo "      Install one or name it: make PYTHON=/path/to/python" >&2; \
			exit 1; \
		fi; \
		rm -rf $(VENV); \
		"$$found" -m venv $(VENV); \
	fi
	@echo "Installing the pinned packages into $(VENV); this takes a minute, once."
	@$(BIN)/python -m pip install --quiet --quiet --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --quiet --no-deps --no-build-isolation --editable .
	@touch $@

HOME_OF_DAGSTER := $(CURDIR)/.dagster
WITH_DAGSTER = DAGSTER_HOME="$(HOME_OF_DAGSTER)" VIRTUAL_ENV="$(CURDIR)/$(VENV)" PATH="$(CURDIR)/$(BIN):$$PATH"

# Dagster reads its instance settings from DAGSTER_HOME: the link keeps dagster.yaml the one place to change them.
instance: $(STAMP)
	@mkdir -p .dagster && ln -sf ../dagster.yaml .dagster/dagster.yaml

# --- tests and checks -----------------------------------------------------------------------------------------------

# A Dagster home of its own, gone afterwards; settings from the caller's environment stay out.
IN_A_HOME = home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && cp dagster.yaml "$$home" && \
	env -u OBP_CONFIG DAGSTER_HOME="$$home" $(BIN)/python
RUN_TESTS = $(IN_A_HOME) -m pytest $(PYTEST_ARGS)

test: $(STAMP) ## all tests
	@$(RUN_TESTS)

test-quick: $(STAMP) ## in a minute: tests of what differs from BASE (where origin/main was left), and those that tell most
	@$(IN_A_HOME) .ci/quick_tests.py --base "$(BASE)" $(PYTEST_ARGS)

test-without-jit: $(STAMP) ## tests of the kernels as plain Python, without numba's compiler
	@export NUMBA_DISABLE_JIT=1; $(RUN_TESTS) order_book_platform_tests/kernels

test-with-bounds: $(STAMP) ## tests of the kernels with every index checked
	@export NUMBA_BOUNDSCHECK=1 OBP_EXAMPLES=1000; $(RUN_TESTS) order_book_platform_tests/kernels

check: check-lint check-types check-rooms check-dependencies check-defs ## lint, format, types, layering, dependencies, Dagster definitions

check-lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

check-types: $(STAMP)
	@$(BIN)/mypy
	@$(BIN)/mypy .ci/*.py docs/conf.py

check-rooms: $(STAMP)
	@$(BIN)/lint-imports

# The package must use what it declares and declare what it uses; all else may use the extra `dev` too.
check-dependencies: $(STAMP)
	@$(BIN)/deptry order_book_platform
	@$(BIN)/deptry --ignore DEP002,DEP004 order_book_platform_tests benchmarks docs

check-defs: $(STAMP) instance
	@$(WITH_DAGSTER) $(BIN)/dg check defs

check-wheel: $(STAMP) ## build the wheel, install it in an empty environment, use it there
	@$(BIN)/python .ci/check_wheel.py

# Warnings are told of pages that are read anew only, so all of them are.
docs: $(STAMP) ## documentation and API reference into docs/_build, every warning an error
	@$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going docs docs/_build

# --- using it -------------------------------------------------------------------------------------------------------

demo: $(STAMP) instance ## simulate two instruments on two days, run every asset, print where the results are
	@set -e; export $(DEMO_SETTINGS) DAGSTER_HOME="$(HOME_OF_DAGSTER)"; seed=1; \
	for symbol in $(DEMO_SYMBOLS); do for day in $(DEMO_DAYS); do \
		$(BIN)/obp simulate --out data/lake --symbol $$symbol --day $$day --messages $(DEMO_MESSAGES) --seed $$seed; \
		$(BIN)/obp materialize --symbol $$symbol --day $$day; \
		seed=$$((seed + 1)); \
	done; done; \
	for kind in "Books:reconstructed_books/*books-*.parquet" "Features:rl_features/*features.parquet" \
		"Assessments:data_assessment/*report.md" "Fidelity, with plots:fidelity_report/*report.html"; do \
		echo; echo "$${kind%%:*}"; \
		find data/store -path "data/store/$${kind#*:}" | sort | sed 's/^/  /'; \
	done; \
	echo; echo "What really happened (to compare with): data/lake/truth"; \
	echo "Next: make ui, or $(BIN)/obp book --symbol $(firstword $(DEMO_SYMBOLS)) --day $(firstword $(DEMO_DAYS)) --at $(firstword $(DEMO_DAYS))T00:10:00"

# Dagster treats SIGTERM like SIGINT, and a shell has what it starts with `&` ignore that one: it would never stop.
# A shell cannot undo this for its children; Python can.
STOPPABLE = $(BIN)/python -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])'

ui: $(STAMP) instance ## Dagster's web UI and daemon on port 3000 (another: make ui PORT=4000)
	@exec env $(WITH_DAGSTER) $(STOPPABLE) $(BIN)/dg dev --port $(PORT)

bench: $(STAMP) $(PEERS_STAMP) ## benchmarks: the replay loop beside other systems, a day through all assets, the start of a process
	@$(BIN)/obp bench replay
	@$(BIN)/obp bench day
	@$(BIN)/obp bench start

# What the replay loop is measured beside has an environment of its own: it wants an older numpy.
$(PEERS_STAMP): benchmarks/requirements.lock | $(STAMP)
	@rm -rf $(PEERS)
	@$(BIN)/python -m venv $(PEERS)
	@echo "Installing hftbacktest, lakeapi and cryptofeed into $(PEERS); this takes a minute, once."
	@$(PEERS)/bin/python -m pip install --quiet --quiet --require-hashes --no-deps -r benchmarks/requirements.lock
	@touch $@

# --- upkeep ---------------------------------------------------------------------------------------------------------

# Pins stay as they are unless pyproject.toml asks for others; UPGRADE=--upgrade takes the newest ones.
lock: ## write requirements.lock anew for all extras, platforms and Python versions (newest: UPGRADE=--upgrade)
	@test -x $(BIN)/uv || $(MAKE) --no-print-directory setup
	@$(BIN)/uv pip compile pyproject.toml --quiet --all-extras --universal --generate-hashes --no-annotate \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(UPGRADE) \
		--output-file requirements.lock

lock-bench: $(STAMP) ## write benchmarks/requirements.lock anew (newest: UPGRADE=--upgrade)
	@$(BIN)/uv pip compile benchmarks/requirements.in --quiet --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock-bench" $(UPGRADE) \
		--output-file benchmarks/requirements.lock

clean: ## remove what was built; data/ and .dagster/ stay
	@rm -rf $(VENV) $(PEERS) build dist docs/_build docs/reference *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .grimp_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
