# The Python environment of run_all.sh and run_tests.sh, which set ROOT to the checkout and source this file.
#
#     beft_environment    finds or makes an environment that holds what requirements.lock pins; prints nothing if
#                         there is one; sets BEFT_PYTHON and BEFT_SAFE_PATH and exports PYTHONPATH
#     beft_extra NAME     the same for requirements-NAME.lock besides, in the environment found: installed into our .venv
#     beft_bare_python    the same with any Python 3.10 or newer, whatever it holds: enough for --help and --list
#     beft_exec ARGS      becomes BEFT_PYTHON
#
# The active environment is used where it fits and never changed. Otherwise .venv is made in the checkout; three
# files in it are ours: beft-setup.lock (held while setting up), beft-setup.log (pip's output) and beft-setup.done
# (written last; without it, or with that of another lock file or folder, .venv is made anew).
#
# Written for bash 3.2 (macOS) under `set -euo pipefail`.

BEFT_PYTHON=
BEFT_SAFE_PATH=
BEFT_CANDIDATES="python3 python python3.13 python3.12 python3.11 python3.10"
BEFT_SPACE_GB=3
# What pip's log says when it gets no answer, from its own words and those of urllib3, OpenSSL and the C library.
BEFT_UNREACHABLE='NewConnectionError|[Nn]ew connection|ConnectTimeout|Connection(Reset|Refused|Aborted)?Error'
BEFT_UNREACHABLE="$BEFT_UNREACHABLE|[Cc]onnection (refused|reset|aborted|timed out|broken)"
BEFT_UNREACHABLE="$BEFT_UNREACHABLE|ReadTimeout|[Rr]ead timed out|name resolution|Name or service not known|nodename nor servname|unreachable"
BEFT_UNREACHABLE="$BEFT_UNREACHABLE|ProxyError|Tunnel connection failed|SSLError|CERTIFICATE_VERIFY_FAILED"
BEFT_UNREACHABLE="$BEFT_UNREACHABLE|Could not fetch URL|HTTP error [0-9]|(Client|Server) Error"
beft_lock="$ROOT/requirements.lock"
beft_check="$ROOT/scripts/check_lock.py"
beft_venv="$ROOT/.venv"
beft_log="$beft_venv/beft-setup.log"
beft_difference=
beft_child=

beft_fail() { # LINE...: one message, and the end
    printf 'error: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
    exit 2
}

beft_say() { printf '%s\n' "$@" >&2; }

beft_environment() {
    # 1. The active environment. `python` counts only where it is not python3's neighbour, which is the same Python.
    local name path folder=''
    for name in python3 python; do
        path="$(command -v "$name")" || continue
        [ "${path%/*}" != "$folder" ] || continue
        folder="${path%/*}"
        if [ "$folder" -ef "$beft_venv/bin" ] && [ -e "$beft_venv/beft-setup.lock" ]; then
            continue # ours, and activated: step 2 also asks whether it was set up to its end
        fi
        if beft_fits "$path"; then
            beft_use_active
            return
        fi
    done

    # 2. The .venv of an earlier start, or 3. a new one.
    beft_reason="the active Python does not fit: ${beft_difference:-there is none}"
    beft_venv_fits || beft_make_venv
    beft_use_venv
}

beft_extra() { # NAME
    local lock="$ROOT/requirements-$1.lock" difference
    difference="$("$BEFT_PYTHON" "$beft_check" "$lock" 2>/dev/null)" && return 0
    case "$BEFT_PYTHON" in
        "$beft_venv"/*) [ -e "$beft_venv/beft-setup.done" ] ;;
        *) false ;;
    esac || beft_fail "The active Python lacks what requirements-$1.lock pins: ${difference:-it could not be asked}." \
            "Install it (pip install -r requirements-$1.lock), or leave the environment: .venv is then used."
    beft_base="$BEFT_PYTHON"
    beft_claim_venv
    trap 'beft_interrupted 129' HUP
    trap 'beft_interrupted 130' INT
    trap 'beft_interrupted 143' TERM
    beft_say "Adding the packages of requirements-$1.lock to .venv (once). Log: $beft_log"
    beft_logged "$BEFT_PYTHON" -I -m pip install --no-deps --progress-bar off -r "$lock" || {
        trap - HUP INT TERM
        beft_fail "The packages of requirements-$1.lock could not be installed." "Log: $beft_log"
    }
    trap - HUP INT TERM
    exec 9>&-
}

beft_bare_python() {
    beft_find_python any
    BEFT_PYTHON="$beft_base"
    BEFT_SAFE_PATH="$("$BEFT_PYTHON" -c 'import sys; print("-P" if sys.version_info >= (3, 11) else "")')"
    beft_use_active
}

# -P keeps the current folder off sys.path: another checkout's beft_lib there must not be imported instead of ours.
beft_exec() { exec "$BEFT_PYTHON" ${BEFT_SAFE_PATH:+"$BEFT_SAFE_PATH"} "$@"; }

beft_use_active() { export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"; }

beft_use_venv() { # nothing from outside: what .venv holds is what the lock file says
    unset PYTHONHOME
    export PYTHONPATH="$ROOT"
}

# Whether a Python holds what the lock pins; if so it is BEFT_PYTHON, and if not, beft_difference says why.
beft_fits() { # PYTHON [OPTION] [ARGUMENTS OF check_lock.py]
    local python="$1" answer
    shift
    if answer="$("$python" ${1:+"$1"} "$beft_check" "$beft_lock" ${2:+"$2" "$3" "$4"} 2>/dev/null)"; then
        BEFT_PYTHON="${answer%%$'\n'*}"
        BEFT_SAFE_PATH="${answer#*$'\n'}"
        [ "$BEFT_SAFE_PATH" = -P ] || BEFT_SAFE_PATH=
        case "$BEFT_PYTHON" in
            /*) [ -x "$BEFT_PYTHON" ] && return 0 ;;
        esac
        BEFT_PYTHON=
        answer=
    fi
    beft_difference="${answer:-it could not be asked}"
    return 1
}

beft_venv_fits() {
    [ -x "$beft_venv/bin/python" ] || return 1
    beft_fits "$beft_venv/bin/python" -I --stamp "$beft_venv/beft-setup.done" "$ROOT" && return 0
    beft_reason="the one there was: $beft_difference"
    return 1
}

# Sets beft_base to the first Python on PATH that is new enough and can make environments ("any": need not).
beft_find_python() { # [any]
    local name path answer version old='' bare=''
    for name in $BEFT_CANDIDATES "$beft_venv/bin/python"; do
        path="$(command -v "$name")" || continue
        # The interpreter behind it, for it may be .venv's own, which is about to be made anew.
        answer="$("$path" -c '
import sys
print("%d.%d.%d" % sys.version_info[:3])
print(getattr(sys, "_base_executable", None) or sys.executable)
try:
    import ensurepip, venv
    print("venv")
except ImportError:
    print("bare")' 2>/dev/null)" || continue
        version="${answer%%$'\n'*}"
        case "$version" in
            3.[0-9].* | 3.[0-9] | [0-2].*) old="${old:-Python $version ($path)}" ; continue ;;
            3.*) ;;
            *) continue ;;
        esac
        beft_base="${answer#*$'\n'}"
        beft_base="${beft_base%%$'\n'*}"
        [ -x "$beft_base" ] || continue
        [ "${answer##*$'\n'}" = venv ] || [ "${1:-}" = any ] && return 0
        bare="${bare:-${version%.*}}"
    done
    if [ -n "$bare" ]; then
        beft_fail "Python $bare is here, but without the parts that make environments (venv, ensurepip)." \
            "On Debian and Ubuntu: sudo apt install python$bare-venv" \
            "Or activate an environment that holds requirements.lock (environment.yml makes one with conda)."
    elif [ -n "$old" ]; then
        beft_fail "Python 3.10 or newer is needed; found only $old." \
            "Install a newer Python, or activate an environment that has one, and start again."
    fi
    beft_fail "Python 3.10 or newer is needed; no python3 or python is on the PATH." \
        "Install Python, or activate an environment that has it, and start again."
}

beft_make_venv() {
    beft_find_python
    beft_claim_venv
    if beft_venv_fits; then # another start made it while this one waited
        exec 9>&-
        return 0
    fi
    beft_empty_venv
    beft_need_space

    trap 'beft_interrupted 129' HUP
    trap 'beft_interrupted 130' INT
    trap 'beft_interrupted 143' TERM
    beft_say "Setting up .venv with the packages of requirements.lock ($beft_reason)." \
        "Once, some minutes: about 0.4 GB to download, 2 GB on disk; several GB more with a CUDA build of PyTorch." \
        "Log: $beft_log"
    : >"$beft_log"
    {
        beft_logged "$beft_base" -I -m venv "$beft_venv" &&
            beft_logged "$beft_venv/bin/python" -I -m pip install --progress-bar off -r "$beft_lock" &&
            beft_logged "$beft_venv/bin/python" -I -m pip install --no-deps --no-build-isolation -e "$ROOT"
    } || beft_install_failed
    beft_fits "$beft_venv/bin/python" -I || {
        BEFT_PYTHON=
        beft_fail "The installation ended, but $beft_difference." \
            "Look for a pip constraint or setting that changes versions: pip config list." "Log: $beft_log"
    }
    "$BEFT_PYTHON" -I "$beft_check" "$beft_lock" --write-stamp "$beft_venv/beft-setup.done" "$ROOT"
    trap - HUP INT TERM
    exec 9>&-
    beft_say "Set up."
}

# One set-up at a time: a lock on file 9, which the kernel lets go of when the last process that holds it ends.
beft_claim_venv() {
    local answer
    case "$(ls -A "$beft_venv" 2>/dev/null)" in # looked at once: another start may be making it now, lock file first
        '' | *beft-setup.lock*) ;;
        *)
            beft_fail "$beft_venv was not made by this script and does not hold what requirements.lock pins." \
                "Move it away, or install the pins into it (pip install -r requirements.lock) and activate it."
            ;;
    esac
    answer="$(mkdir -p "$beft_venv" 2>&1 && touch "$beft_venv/beft-setup.lock" 2>&1)" ||
        beft_fail "Cannot write to $ROOT, where .venv would be made (${answer##*: })." \
            "Copy the checkout to a folder you may write to, or activate an environment that holds requirements.lock."
    exec 9>>"$beft_venv/beft-setup.lock"
    beft_flock try || {
        beft_say "Another start is setting up .venv; waiting for it to end."
        beft_flock wait
    }
}

beft_flock() { # try|wait; a file system that knows no locks is used without one
    "$beft_base" -I -c '
import fcntl, signal, sys
if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as it is in the background
    signal.signal(signal.SIGINT, signal.SIG_DFL)
try:
    fcntl.flock(9, fcntl.LOCK_EX | (fcntl.LOCK_NB if sys.argv[1] == "try" else 0))
except BlockingIOError:
    sys.exit(1)
except OSError:
    pass' "$1"
}

beft_empty_venv() { # the stamp first: what is left after an interruption here is not trusted
    rm -f "$beft_venv/beft-setup.done"
    find "$beft_venv/" -mindepth 1 -maxdepth 1 ! -name 'beft-setup.*' -exec rm -rf {} + ||
        beft_fail "Cannot empty $beft_venv to make it anew; remove it and start again."
}

beft_need_space() {
    local free
    free="$(df -Pk "$beft_venv" 2>/dev/null |
        awk 'NR > 1 { for (i = 2; i <= NF; i++) if ($i ~ /^[0-9]+%$/) { print $(i - 1); exit } }')" || free=
    case "$free" in '' | *[!0-9]*) return 0 ;; esac
    [ "$free" -ge $((BEFT_SPACE_GB * 1024 * 1024)) ] ||
        beft_fail "About $BEFT_SPACE_GB GB are needed for the packages; $((free / 1024)) MB are free where $ROOT is." \
            "Free some space, or move the checkout to a larger disk, and start again."
}

# In the background, so that a signal is answered at once and not when pip ends; in a process group of its own (set -m),
# so that it ends whole; and out of reach of settings that would send the packages somewhere else.
beft_logged() {
    local status=0
    set -m
    (
        unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_ROOT PIP_REQUIREMENT
        export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1
        exec "$@"
    ) >>"$beft_log" 2>&1 </dev/null &
    beft_child=$!
    set +m
    wait "$beft_child" || status=$?
    beft_child=
    return "$status"
}

beft_interrupted() { # STATUS
    trap - HUP INT TERM
    if [ -n "$beft_child" ]; then
        kill -- "-$beft_child" 2>/dev/null || true
        wait "$beft_child" 2>/dev/null || true
    fi
    beft_say "Set-up interrupted; the next start does it again."
    exit "$1"
}

beft_install_failed() {
    local first
    trap - HUP INT TERM
    beft_empty_venv
    first="$(grep -E -m 1 '^ *(ERROR|error|Error)' "$beft_log")" || first="$(tail -n 1 "$beft_log")"
    first="pip: $(printf '%s' "$first" | sed 's/^ *//' | cut -c 1-200)"
    if grep -qE 'No space left on device|Errno 28|Disk quota exceeded' "$beft_log"; then
        beft_fail "The disk became full while installing the packages; what was installed is removed again." \
            "Free some space where $ROOT, ${TMPDIR:-/tmp} and pip's cache are, and start again." \
            "Without an NVIDIA GPU, PyTorch's CPU wheels save several GB (PIP_EXTRA_INDEX_URL; see pytorch.org)." \
            "Log: $beft_log"
    elif grep -qE "$BEFT_UNREACHABLE" "$beft_log" || # or no version at all of a package that every platform has
        grep 'from versions: none' "$beft_log" | grep -qv 'requirement torch=='; then
        beft_fail "The package index could not be reached, or is not one." \
            "Check the network, the proxy (HTTPS_PROXY) and the index pip uses (PIP_INDEX_URL, pip config list)." \
            "$first" "Log: $beft_log"
    elif grep -q 'No matching distribution found' "$beft_log"; then
        beft_fail "pip found no build of a pinned package for this Python and platform ($(uname -sm))." \
            "PyTorch has them for Linux (x86-64, ARM) and for macOS 14 on Apple silicon; use Python 3.10 to 3.13." \
            "Or the index pip uses lacks it (PIP_INDEX_URL, pip config list)." \
            "pip: $(grep -m 1 -o 'No matching distribution found.*' "$beft_log")" "Log: $beft_log"
    fi
    beft_fail "The packages could not be installed." "$first" "Log: $beft_log"
}
