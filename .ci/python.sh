#!/bin/sh
# Prints the Python that setup shall use: $PYTHON, or the newest supported one that really starts.
# A name on PATH is not enough: version switchers leave commands there that only print an error.
set -eu

usable() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if [ -n "${PYTHON:-}" ]; then
    if usable "$PYTHON"; then
        echo "$PYTHON"
        exit 0
    fi
    echo "PYTHON=$PYTHON does not start, or is older than 3.11." >&2
    exit 1
fi

for candidate in python3.13 python3.12 python3.11 python3; do
    if usable "$candidate"; then
        echo "$candidate"
        exit 0
    fi
done

echo "Python 3.11 or newer is needed and none was found." >&2
echo "On Debian 12 or Ubuntu 24.04: apt-get install python3 python3-venv. Or name one: make setup PYTHON=/path/to/python3.11" >&2
exit 1
