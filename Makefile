# `make demo` and `make test` need python3 with venv, and nothing else. Run `make help` for the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The oldest pip that may be found is Debian 12's. Its warnings (old pip, caches, mirrors) are not about this project.
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# Some containers set this. The tests start hundreds of processes, and each would compile all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check conformance installs ray hubs docs page clean check-style check-mypy check-basedpyright check-docs
.DELETE_ON_ERROR:

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

# A recording beside the checkout, as the tests use it, if there is one; else a made-up game, and the demo says so.
GAME ?= $(firstword $(sort $(wildcard ../shared/data/chess_gpt5/*.json)))

demo: $(VENV)/.installed-base ## Show what speculation saves, with a game of chess, live; no key, browser, Stockfish or root
	@$(BIN)/spec-envs demo $(if $(GAME),--game '$(GAME)')

test: $(VENV)/.installed-test ## Run the tests; installs Debian's chess engines, sysbench, libcairo2 and chromium first, where it can
	@scripts/system-packages
	@scripts/node-packages
	@$(BIN)/python -m pytest -n auto --dist loadfile -m "not docs and not installs and not ray"

check: $(VENV)/.installed-dev ## Style, types, and the code of README, docs and examples
	@$(MAKE) --no-print-directory --keep-going --jobs 2 check-style check-basedpyright check-docs check-mypy

# The parts of `make check`, which runs two at a time: each takes a minute or more, and one processor.
check-style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check-mypy:
	$(BIN)/mypy
	$(BIN)/mypy examples tests

check-basedpyright:
	$(BIN)/basedpyright

check-docs:
	$(BIN)/python -m pytest -q -m docs tests/test_docs.py tests/test_site.py

# CI plays a short form: a few episodes, in one of every so many environments.
STORE_EPISODES ?= 2000
EPISODES ?= 10000
EVERY ?= 1

conformance: $(VENV)/.installed-conformance ## Play 10,000 episodes in environments of others, 2,000 of reads and writes (minutes)
	$(BIN)/python -m tests.wrappers.store --episodes $(STORE_EPISODES)
	$(BIN)/python -m tests.conformance --episodes $(EPISODES) --every $(EVERY)

ray: $(VENV)/.installed-ray ## Play episodes on a Ray cluster of two nodes, of which one is killed (minutes)
	$(BIN)/python -m pytest -m ray -v

installs: $(VENV)/.installed-test ## Install each extra alone, old and new dependencies, and beside other packages (minutes)
	$(BIN)/python -m pytest -m installs -v

hubs: ## Test what plugs into hubs, in environments of their own (minutes; needs the package index)
	@PYTHON=$(PYTHON) scripts/hubs

docs: $(VENV)/.installed-dev ## Draw the pictures of the pages anew, and build the site of docs/: site/index.html
	$(BIN)/python scripts/pictures.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "open site/index.html"

page: ## Build the page of traces and reports (spec_envs/pages/built) anew; needs npm
	cd frontend && npm install --no-save --no-audit --no-fund && npm run build

clean: ## Remove what the targets above made
	rm -rf $(VENV) .venvs frontend/node_modules build dist out site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each set of dependencies; a changed pyproject.toml installs again. What [dev] has, [test] need not install.
# Without bytecode of all modules: most of them are never imported, and Python makes that of the others by itself.
$(VENV)/.installed-base: EXTRA =
$(VENV)/.installed-test: EXTRA = [test]
$(VENV)/.installed-dev: EXTRA = [dev]
$(VENV)/.installed-conformance: EXTRA = [conformance]
$(VENV)/.installed-ray: EXTRA = [ray,test]
$(VENV)/.installed-base $(VENV)/.installed-test $(VENV)/.installed-dev $(VENV)/.installed-conformance $(VENV)/.installed-ray: pyproject.toml | $(BIN)/python
	@echo "installing spec-envs$(EXTRA) into $(VENV) ..."
	@$(PIP) install --no-compile --editable '.$(EXTRA)' & pip=$$!; seconds=0; \
	while sleep 1; kill -0 $$pip 2>/dev/null; do \
		seconds=$$((seconds + 1)); [ $$((seconds % 5)) -ne 0 ] || echo "  $$seconds s"; \
	done; wait $$pip
	@touch $@ $(if $(findstring dev,$(EXTRA)),$(VENV)/.installed-test)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, and this is " + sys.version)'
	@$(PYTHON) -m venv $(VENV)
