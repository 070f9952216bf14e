#!/usr/bin/env bash
# What some tests need besides the environment: programs that Debian and Ubuntu have as packages.
# Called by make test. Installs them as root; otherwise says how, and those tests skip.
set -euo pipefail

# command, and the package that has it
NEEDED=(
  "chromium chromium" # tests/end_to_end/test_report.py looks at the night's report in it
)

as_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

missing=()
for line in "${NEEDED[@]}"; do
  read -r command package <<<"$line"
  command -v "$command" >/dev/null || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if as_root; then
  printf '\033[1m==>\033[0m installing for the tests: %s\n' "${missing[*]}"
  if apt-get update -qq && apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null; then exit 0; fi
fi
printf 'tests that need %s will skip. To run them: sudo apt-get install %s\n' "${missing[*]}" "${missing[*]}" >&2
