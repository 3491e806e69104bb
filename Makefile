# Works on a machine with make and Python 3.11 to 3.13: the first target that needs it builds
# .venv from the locked and hashed requirements.

VENV ?= .venv
# One more than two idle processors: tests wait, too.
JOBS ?= 3
BIN := $(VENV)/bin
# A module stays in one process, whose servers and brokers it shares.
PYTEST = $(BIN)/pytest -n $(JOBS) --no-loadscope-reorder
STAMP := $(VENV)/.installed
PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
COMPILE := uv pip compile --quiet --universal --upgrade --exclude-newer "1 week" --generate-hashes \
  --no-annotate --no-header
SUPPORTED := import sys; raise SystemExit(not (3, 11) <= sys.version_info < (3, 14))

# The build backend is a program that is found on the PATH.
export PATH := $(abspath $(BIN)):$(PATH)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(STAMP) ## A year of flights through both layers, on this machine (ARGS="--rate 2000")
	$(BIN)/fastdata demo $(ARGS)

.PHONY: test
test: lint ## Lint, types and all that needs no server and no luck (ARGS="tests/measures -k law")
	$(PYTEST) --dist loadfile -m "not (services or processes or nightly)" $(ARGS)

.PHONY: test-services
test-services: JOBS = 4
test-services: fetch ## The tests on real servers and with worker processes, none of them skipped
	$(PYTEST) --dist loadfile -m "(services or processes) and not nightly" --require-services $(ARGS)

.PHONY: test-nightly
test-nightly: export FASTDATA_TEST_SEEDS ?= 100000
test-nightly: export FASTDATA_TEST_EXAMPLES ?= 5000
test-nightly: export FASTDATA_TEST_KILLS ?= 100
test-nightly: export FASTDATA_TEST_MUTATIONS ?= 1000000
test-nightly: fetch ## New schedules and examples, kills, years, large data: hours
	$(PYTEST) --dist worksteal -m "nightly or hypothesis" --require-services \
	  --timeout 3600 $(ARGS)

.PHONY: services
services: fetch ## Kafka, Cassandra, PostgreSQL, a registry and S3 to work with (ARGS="--json")
	@$(BIN)/python -m tests.support.services run $(ARGS)

.PHONY: fetch
fetch: $(STAMP) ## Download what the services need (the others do it when they need it)
	@$(BIN)/python -m tests.support.services fetch

.PHONY: bench
bench: $(STAMP) ## What it costs, beside its peers (ARGS="--quick", ten minutes on idle processors)
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: lint
lint: $(STAMP) ## Ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.PHONY: format
format: $(STAMP) ## Mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: setup
setup: $(STAMP) ## Build the virtual environment (the others do it when they need it)

$(STAMP): requirements.lock pyproject.toml
	@found=; for python in $(PYTHONS); do \
	  if "$$python" -c '$(SUPPORTED)' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "fastdata needs Python 3.11, 3.12 or 3.13; tried: $(PYTHONS)." >&2; \
	  echo "Name yours: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.12" >&2; \
	  exit 1; \
	fi; \
	[ -x $(BIN)/python ] || "$$found" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: \
	  -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: docs
docs: $(STAMP) ## Write the table of docs/settings.md
	$(BIN)/python -m tests.support.settings_page

.PHONY: lock
lock: ## Resolve the dependencies anew, a week behind the newest (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv on the PATH" >&2; exit 1; }
	$(COMPILE) --group build -o requirements-build.lock
	$(COMPILE) --group dev --all-extras pyproject.toml -o requirements.lock
	$(COMPILE) --constraint requirements.lock --all-extras pyproject.toml \
	  -o requirements-worker.lock

.PHONY: clean
clean: ## Remove caches and builds (rm -rf .venv to begin afresh)
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find fastdata agents tests -name __pycache__ -type d -prune -exec rm -rf {} +
