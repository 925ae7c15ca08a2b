#!/bin/sh
# Locks requirements/*.in into *.txt with hashes, for the Python that runs it; `make lock` calls it. No address of an index
# gets into the files. Versions that are locked stay; `make lock UPGRADE=--upgrade` takes the newest.
set -eu
cd "$(dirname "$0")"
for group in runtime dev bench postgresql; do
    CUSTOM_COMPILE_COMMAND="make lock" ../.venv/bin/python -m piptools compile --quiet --generate-hashes --strip-extras \
        --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host ${UPGRADE:-} \
        "$group.in" --output-file "$group.txt"
done
if grep -nE '://|find-links|index-url|trusted-host' ./*.txt; then
    echo "an address got into a locked file" >&2
    exit 1
fi
