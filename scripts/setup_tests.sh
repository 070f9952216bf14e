#!/usr/bin/env bash
# Install the programs that some tests start themselves; a test whose program is absent skips, and says so.
# Called by make test. Nothing is left running: a test starts what it needs, on loopback, and stops it.
set -euo pipefail

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
as_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# Debian keeps Postgres' server off PATH: every version has a folder of its own.
for folder in /usr/lib/postgresql/*/bin; do PATH=$PATH:$folder; done

# need PROGRAM PACKAGE: have PROGRAM, from Debian's PACKAGE.
need() {
  command -v "$1" >/dev/null && return
  if ! as_root; then
    say "tests that need $1 will skip. To run them: sudo apt-get install $2   (macOS: brew install ${2%-server})"
    return
  fi
  say "installing $2 for the tests"
  if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$2"; } >/dev/null 2>&1; then
    say "$2 could not be installed: tests that need $1 will skip"
    return
  fi
  # Debian starts what it installs, now and at boot; the tests start their own.
  systemctl disable --now "$2" >/dev/null 2>&1 || true
}

need chromium chromium         # tests/end_to_end looks at the night's report in it
need redis-server redis-server # tests/spark_jobs/publish fills an online store in it
need initdb postgresql         # the same, and a user is forgotten in it
