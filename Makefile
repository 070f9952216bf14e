SHELL := bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast fmt lint type bench clean

help: ## list these verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.ready: pyproject.toml constraints.txt scripts/setup.sh
	@PYTHON=$(PYTHON) VENV=$(VENV) bash scripts/setup.sh
	@touch $@

setup: $(VENV)/.ready ## make .venv, check for Java, fetch Spark's jars

demo: $(VENV)/.ready ## three nights in a generated shop, start to end
	@$(BIN)/embedmill demo

test: $(VENV)/.ready lint type ## every check and every test, two files of tests at a time
	@bash scripts/setup_tests.sh
	@$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder --durations 25

test-fast: $(VENV)/.ready ## the tests that need no Spark, under a minute
	@$(PYTEST) -m "not spark and not bench" -q

fmt: $(VENV)/.ready ## format, and mend what can be mended
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix .

lint: $(VENV)/.ready ## style, and the import rules
	@$(BIN)/ruff format -q --check . && $(BIN)/ruff check -q .
	@$(BIN)/lint-imports

type: $(VENV)/.ready ## mypy --strict on the three packages
	@$(BIN)/mypy

bench: $(VENV)/.ready ## measurements; off by default, minutes each
	@$(PYTEST) -m bench tests/benchmarks -s

clean: ## remove what make and the demo made, but not your warehouse
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache
