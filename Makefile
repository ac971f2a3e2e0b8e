# Everything runs in an environment of its own, made from the lock on first use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*)
STAMP := $(VENV)/.installed

PAPER ?= canet
EXP ?= synthetic
DATA ?=
ARGS ?=

export UV_COMPILE_BYTECODE = 1
export UV_LINK_MODE = copy
export HF_HUB_DISABLE_TELEMETRY = 1

.DEFAULT_GOAL := help
.PHONY: help install exp test lint bench clean

help: ## show this help
	@echo "make exp PAPER=canet [EXP=synthetic] [DATA=folder] [ARGS='key=value --smoke']"
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1|/' | column -t -s '|'

install: $(STAMP) ## make the environment from requirements.lock

$(STAMP): requirements.lock pyproject.toml $(wildcard plugins/*/pyproject.toml)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "installing the locked packages (about a minute)"
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --no-deps -e . $(addprefix -e ,$(PLUGINS))
	@touch $@

exp: $(STAMP) ## run an experiment of a paper: PAPER, EXP, DATA, ARGS
	@$(BIN)/retinalab exp $(PAPER) $(EXP) $(if $(DATA),data.root=$(DATA)) $(ARGS)

test: $(STAMP) ## run the tests, a process for each processor
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist worksteal --durations 10

lint: $(STAMP) ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

# what else lies there takes hours or finished runs, and is run by the command in its first lines
BENCHMARKS = $(wildcard experiments/bench/*_speed.py) $(addprefix experiments/bench/,growth.py many_gpus.py ellg_generation.py)

bench: $(STAMP) ## run the benchmarks; prints tables, writes JSON below runs/bench
	@for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

lock: ## write requirements.lock again from the bounds in pyproject.toml
	@$(BIN)/uv pip compile --universal --generate-hashes --no-header --no-annotate --quiet \
	  --no-emit-package retinalab pyproject.toml $(addsuffix /pyproject.toml,$(PLUGINS)) --extra dev --extra detection -o requirements.lock

clean: ## remove the environment and build leftovers; runs and prepared photographs stay
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
