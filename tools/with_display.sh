#!/usr/bin/env bash
# Run a command with a display: the one there is, else Xvfb. With --optional, without one if need be.
set -euo pipefail
optional=
if [ "${1:-}" = --optional ]; then
    optional=1
    shift
fi
if [ -n "${DISPLAY:-}" ] || [ "$(uname -s)" != Linux ] || [ -n "$optional" ]; then
    exec "$@"
fi
command -v Xvfb >/dev/null 2>&1 || { echo "There is no display and no Xvfb: install xvfb." >&2; exit 1; }
# Xvfb finds a free number by itself and tells it on a file descriptor.
number=$(mktemp)
trap 'rm -f "$number"' EXIT
Xvfb -displayfd 3 -screen 0 1600x1000x24 -nolisten tcp 3>"$number" >/dev/null 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -f "$number"' EXIT
for _ in $(seq 100); do
    [ -s "$number" ] && break
    sleep 0.1
done
export DISPLAY=":$(cat "$number")"
"$@"
