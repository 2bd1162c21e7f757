#!/usr/bin/env bash
# Run the tests: ./run_tests.sh [PYTEST ARGUMENT...]; paths are those of the checkout, as in tests/runs/test_runs.py.
#     ./run_tests.sh -m "not slow"    without whole notebooks and kills: while you work
#     ./run_tests.sh --shuffle 7      in another order
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail

# The checkout, wherever this is called from, also through a symbolic link.
script="${BASH_SOURCE[0]}"
while [ -h "$script" ]; do
    folder="$(CDPATH='' cd -P -- "$(dirname -- "$script")" && pwd)"
    script="$(readlink "$script")"
    case "$script" in /*) ;; *) script="$folder/$script" ;; esac
done
ROOT="$(CDPATH='' cd -P -- "$(dirname -- "$script")" && pwd)"
. "$ROOT/scripts/environment.sh"

beft_environment
cd "$ROOT"
exec "$BEFT_PYTHON" -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder "$@"
