SHELL := bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
AIRFLOW_VENV := .venv-airflow
PYTEST := $(BIN)/python -m pytest
# A processor for each of two processes: torch would start as many threads as there are, in both.
IN_PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder
PRODUCT := encoders spark_jobs validation feature_repo scripts

.DEFAULT_GOAL := help
.PHONY: help setup demo airflow airflow-setup test test-fast test-slow fmt lint type bench clean

help: ## list these verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.ready: pyproject.toml constraints.txt scripts/setup.sh
	@PYTHON=$(PYTHON) VENV=$(VENV) bash scripts/setup.sh
	@touch $@

setup: $(VENV)/.ready ## make .venv, check for Java, fetch Spark's jars

$(AIRFLOW_VENV)/.ready: $(VENV)/.ready constraints-airflow.txt scripts/setup_airflow.sh
	@VENV=$(VENV) AIRFLOW_VENV=$(AIRFLOW_VENV) bash scripts/setup_airflow.sh
	@touch $@

airflow-setup: $(AIRFLOW_VENV)/.ready

airflow: $(AIRFLOW_VENV)/.ready ## Airflow's UI over the nightly DAG; PORT=8080 CONFIG=demo/config.toml
	@$(BIN)/python scripts/airflow_ui.py $${PORT:+--port "$$PORT"} $${CONFIG:+--config "$$CONFIG"}

demo: $(VENV)/.ready ## three nights in a generated shop, start to end
	@$(BIN)/embedmill demo

test: $(VENV)/.ready ## every check, and every test but the slow ones
	@$(MAKE) --no-print-directory -j 2 --output-sync airflow-setup lint type
	@bash scripts/setup_tests.sh
	@OMP_NUM_THREADS=1 $(PYTEST) $(IN_PARALLEL) --durations 25

test-fast: $(VENV)/.ready ## the tests that need Python alone, and little time: no Spark, Airflow, database or browser
	@OMP_NUM_THREADS=1 $(PYTEST) $(IN_PARALLEL) -q -m "not (spark or airflow or server or bench or heavy or slow)"

test-slow: $(VENV)/.ready $(AIRFLOW_VENV)/.ready ## the longest tests: nights under Airflow, on a cluster, on a full disk, killed in every stage; two hours
	@$(PYTEST) -m slow

fmt: $(VENV)/.ready ## format, and mend what can be mended
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix .

lint: $(VENV)/.ready ## style, the import rules, and what is imported against what is declared
	@$(BIN)/ruff format -q --check . && $(BIN)/ruff check -q .
	@$(BIN)/lint-imports
	@$(BIN)/deptry $(PRODUCT) --optional-dependencies-dev-groups analysts,bench,dev
	@$(BIN)/deptry $(PRODUCT) tests

type: $(VENV)/.ready ## mypy --strict on the three packages
	@$(BIN)/mypy

bench: $(VENV)/.ready ## measurements; off by default, minutes each
	@$(BIN)/python -m uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[dev,bench]'
	@$(PYTEST) -m bench tests/benchmarks -s

clean: ## remove what make and the demo made, but not your warehouse
	rm -rf $(VENV) $(AIRFLOW_VENV) .airflow demo .pytest_cache .mypy_cache .ruff_cache
