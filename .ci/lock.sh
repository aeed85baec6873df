#!/bin/sh
# Rewrites the lock files: every version and the hash of every file, but no address, so that any mirror serves them.
set -eu
cd "$(dirname "$0")/.."

python="$(sh .ci/python.sh)"
tool="$(mktemp -d)"
trap 'rm -rf "$tool"' EXIT
"$python" -m venv "$tool"
"$tool/bin/python" -m pip install --quiet --disable-pip-version-check uv

for name in requirements requirements-dev requirements-node; do
    "$tool/bin/uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
        --no-emit-index-url --no-emit-find-links "$name.in" --output-file "$name.txt"
done

npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved --no-audit --no-fund
if grep -n '://' requirements*.txt || grep -nE '"resolved": "[a-z]+://' package-lock.json; then
    echo "A lock file names an address; see above." >&2
    exit 1
fi
