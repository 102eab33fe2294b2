# Two commands matter: `make run` and `make test`. Both set everything up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := --constraint constraints.txt --editable '.[demo,postgres,dev]'

export DO_NOT_TRACK = 1
export DVC_NO_ANALYTICS = 1
export PREFECT_SERVER_ANALYTICS_ENABLED = false
export BENTOML_DO_NOT_TRACK = True
export GX_ANALYTICS_ENABLED = false
unexport PYTHONDONTWRITEBYTECODE  # else each process compiles what it imports, which takes longer than most tests

.DEFAULT_GOAL := help
.PHONY: help setup browser postgres run test test-unit test-slow bench bench-families bench-serving bench-drift bench-gpu stack check format client serve clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(STAMP)  ## make .venv and install everything

# torch goes first: a later resolver would bring a build for a GPU, gigabytes of it. uv takes a third of pip's time;
# where it cannot reach the index that pip is configured for, pip does it. Modules are compiled when they are first
# imported: most of the 43,000 never are, and to compile them takes longer than to install them.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt torch uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(PACKAGES) || \
	  $(BIN)/python -m pip install --quiet --no-compile $(PACKAGES)
	touch $@

run: $(STAMP)  ## data -> models -> tested Bento
	$(BIN)/tierrec run

# Browser tests need a chromium; as root on Debian it is fetched once, elsewhere the distribution's is used.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq >/dev/null && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null 2>&1; } || \
	  echo "chromium is missing and could not be installed: browser tests will fail; install chromium" >&2

# Tests of the feedback store want a PostgreSQL server's programs.
postgres:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || { [ "$$(id -u)" = 0 ] && \
	  command -v apt-get >/dev/null && apt-get update -qq >/dev/null && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null 2>&1; } || \
	  echo "PostgreSQL is missing and could not be installed: tests of the store will fail; install postgresql" >&2

# Tests run in three processes on two cores, since many wait for servers; the order of files puts the longest first.
# Threads that wait in a loop would take a core from the other processes.
XDIST := -n 3 --dist loadscope --no-loadscope-reorder
test test-unit test-slow: export OMP_NUM_THREADS = 1
test test-unit test-slow: export OMP_WAIT_POLICY = PASSIVE

test: $(STAMP) browser postgres  ## all tests but the slow ones
	$(BIN)/python -m pytest $(XDIST) -m 'not slow'

test-unit: $(STAMP)  ## the unit tests that take less than a second each
	$(BIN)/python -m pytest $(XDIST) tests/unit -m 'not medium' --hypothesis-profile quick

test-slow: $(STAMP) browser postgres  ## further faults and variants: kills in every phase, a second Prefect database
	$(BIN)/python -m pytest $(XDIST) -m slow

bench: $(STAMP)  ## models on public data sets beside their peers: benchmarks/results.md; ONLY=gowalla for one
	$(BIN)/python -m benchmarks.models $(if $(ONLY),--only $(ONLY))

bench-families: $(STAMP)  ## tiers, multi-task, cold users, cold items, policy on the finished run: results.md; ONLY=tiers for one
	$(BIN)/python -m benchmarks.families $(ONLY)

bench-serving: $(STAMP) postgres  ## measure the service beside a bare one: benchmarks/serving.json
	$(BIN)/python -m benchmarks.serving

bench-drift: $(STAMP)  ## false alarms, power and cost of the drift verdict: benchmarks/drift/drift.json
	$(BIN)/python -m benchmarks.drift.gate_trials
	$(BIN)/python -m benchmarks.drift.end_to_end
	$(BIN)/python -m benchmarks.drift.feed_faults
	$(BIN)/python -m benchmarks.drift.other_shifts
	$(BIN)/python -m benchmarks.drift.benchmark

bench-gpu: $(STAMP)  ## samples a second of the deep models on whatever device there is
	$(BIN)/python -m benchmarks.scale.gpu

stack: $(STAMP)  ## Prefect, workers, deployments and the service on this machine
	$(BIN)/tierrec stack up

check: $(STAMP)  ## lint, format, types, layers, stage dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m flows.deps

format: $(STAMP)  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

client: $(STAMP)  ## write the Python client's models from the service's OpenAPI document
	PYTHONPATH=clients/python $(BIN)/python -m generate

serve: $(STAMP)  ## serve the packaged recommender on port 3000
	$(BIN)/tierrec serve

clean:  ## remove what the pipeline made (not .venv)
	rm -rf data/raw data/validation data/quarantine data/prepared data/split data/tiers data/models \
	  data/candidates data/blend data/reference data/churn data/campaigns data/evaluation data/report data/package .bentoml .prefect
