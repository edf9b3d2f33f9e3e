# `make demo` and `make test` do everything on a fresh machine, set-up included. `make help` lists the rest.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# these load onnxruntime, OpenVINO, compiled code and mteb: in one process with all other tests, training crashed after them
OTHER_RUNTIMES := tests/export tests/search/test_scorer.py tests/checkpoints/test_auto.py

# a process for each core, up to four, each with one thread; in the order of tests/conftest.py, which has slow files first
AT_ONCE := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install demo chinese test docs gpu check format release clean

help: ## This list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

install: $(INSTALLED) ## Create .venv with everything that demo, test and check need

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "interbert needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@

demo: $(INSTALLED) ## Learn from images and write demo/index.html (SOURCE=..., TEXTS=... for your own)
	$(BIN)/interbert demo demo $(if $(SOURCE),--source '$(SOURCE)') $(if $(TEXTS),--text-columns '$(TEXTS)')

chinese: $(INSTALLED) ## Data set, BERT, model and topics from Chinese titles (SOURCE=..., TEXTS=..., TOPICS=... for your own)
	PATH="$(abspath $(BIN)):$$PATH" recipes/chinese.sh chinese $(if $(SOURCE),'$(SOURCE)' '$(TEXTS)' '$(TOPICS)')

test: $(INSTALLED) ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(AT_ONCE) $(addprefix --ignore=,$(OTHER_RUNTIMES))
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(AT_ONCE) $(OTHER_RUNTIMES)

docs: $(INSTALLED) ## Build the documentation into site/, strictly: a link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# a machine with a GPU often has no network, and what is needed: .venv where it is, else $(PYTHON) if it has the packages
define PRESENT
if [ -e $(INSTALLED) ]; then echo $(BIN)/python; \
elif $(PYTHON) -c 'import torch, transformers, accelerate, pytest' 2>/dev/null; then echo $(PYTHON); \
else $(MAKE) --no-print-directory install >&2 && echo $(BIN)/python; fi
endef

gpu: ## Test what only a GPU runs, and measure its share of the card's rate; without .venv by PYTHON if it has torch
	@set -e; python=$$($(PRESENT)); export PYTHONPATH=src; \
	set -x; \
	$$python -m pytest tests/gpu; \
	$$python benchmarks/short_attention.py; \
	$$python benchmarks/mfu.py --compile; \
	$$python benchmarks/mfu.py --varied --compile

check: $(INSTALLED) ## Format, lint and strict types, nothing changed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(INSTALLED) ## Format, and fix what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

release: $(INSTALLED) $(if $(MODEL),,demo) ## Wheel, sdist and an archive of a model into dist/ (MODEL=... for your own)
	$(BIN)/python .ci/release.py '$(or $(MODEL),demo/models/retrieval)'

clean: ## Remove .venv, caches, the site, the demo and the Chinese model
	rm -rf $(VENV) demo chinese site examples/work .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
