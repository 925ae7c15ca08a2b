#!/bin/sh
# make verify-outside: verifies a real log with a program whose libraries are not of this project (tests/outside/*.go).
#
# LOG=FOLDER names a stack's home or an export, KEPT=FILE checkpoints that were kept, PROOFS="FILE…" proofs. Without LOG the tests
# make a real log, have it verified, and see it rejected once it is tampered with. Ends with 1 where a log does not hold or nothing
# could be verified.
set -eu
cd "$(dirname "$0")/../.."
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
LETHE_INSTALL_GO=1 tests/outside/build.sh "$built/outside"
if [ -n "${LOG:-}" ]; then
    # PROOFS is a list: it is split on purpose
    # shellcheck disable=SC2086
    "$built/outside" ${KEPT:+-kept "$KEPT"} "$LOG" ${PROOFS:-}
    exit
fi
LETHE_OUTSIDE="$built/outside" .venv/bin/python -m pytest -q -s tests/integration/audit/test_verified_outside.py
