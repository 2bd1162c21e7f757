#!/usr/bin/env bash
# Regenerate every result of a profile and render its report: ./run_all.sh [PROFILE] [OPTION...], see --help.
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

# These two answer at once, before anything is installed.
for argument; do
    case "$argument" in
        --help | -h | --list)
            beft_bare_python
            beft_exec -m beft_lib run "$@"
            ;;
    esac
done

beft_environment
case " $* " in *" --engine ray "* | *" --engine=ray "*) beft_extra ray ;; esac
beft_exec -m beft_lib run "$@" # exec: a signal, and the exit status, are the driver's own
