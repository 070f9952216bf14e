#!/usr/bin/env bash
# Make Airflow's own environment: its Spark provider brings a pyspark that must not meet the project's.
# Called by make after setup.sh; VENV is the project's environment, AIRFLOW_VENV the one to make.
set -euo pipefail
VENV=${VENV:-.venv}
AIRFLOW_VENV=${AIRFLOW_VENV:-.venv-airflow}

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
stop() { printf 'setup_airflow: %s\n' "$*" >&2; exit 1; }

[ -x "$VENV/bin/python" ] || stop "there is no Python at $VENV/bin. Run: make setup"
say "Airflow into $AIRFLOW_VENV (500 MB)"
[ -x "$AIRFLOW_VENV/bin/python" ] ||
  "$VENV/bin/python" -m uv venv -q --clear --python "$VENV/bin/python" "$AIRFLOW_VENV"
"$VENV/bin/python" -m uv pip install -q --compile-bytecode --python "$AIRFLOW_VENV/bin/python" \
  -c constraints-airflow.txt apache-airflow apache-airflow-providers-apache-spark apache-airflow-providers-http ||
  stop "the packages could not be installed, see above; run make airflow-setup again when that is mended"
