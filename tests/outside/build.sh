#!/bin/sh
# Builds the outside verifier into the file that is named. Go and golang.org/x/mod come from Debian's packages, as they are: no
# module is downloaded. With LETHE_INSTALL_GO=1 they are installed where they are missing (root). Ends with 1 where it can't be built.
set -eu
target=$1
cd "$(dirname "$0")"

library=/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog

if ! command -v go >/dev/null 2>&1 || [ ! -d "$library" ]; then
    if [ "${LETHE_INSTALL_GO:-}" = 1 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "installing golang-go and golang-golang-x-mod-dev" >&2
        apt-get update -qq >/dev/null 2>&1 || true
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends golang-go golang-golang-x-mod-dev >/dev/null || true
    fi
fi
if ! command -v go >/dev/null 2>&1 || [ ! -d "$library" ]; then
    echo "lethe: nothing was verified: Go, or Debian's golang-golang-x-mod-dev, is missing and could not be installed." >&2
    echo "  as root:   apt-get install golang-go golang-golang-x-mod-dev" >&2
    exit 1
fi
GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS= exec go build -o "$target" .
