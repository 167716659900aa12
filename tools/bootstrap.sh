#!/usr/bin/env bash
# Make the environment: uv where it is missing, then everything the project names.
set -euo pipefail
venv=${1:-.venv}

find_uv() {
    if command -v uv >/dev/null 2>&1; then
        command -v uv
        return
    fi
    # A private environment for uv, so that a system Python that refuses pip (PEP 668) is no obstacle.
    local home="$venv-uv"
    if [ ! -x "$home/bin/uv" ]; then
        if python3 -m venv "$home" >/dev/null 2>&1 && "$home/bin/python" -m pip install -q uv >&2; then
            :
        else
            # Debian's python3 without python3-venv: pip into a folder of our own.
            rm -rf "$home" && mkdir -p "$home/bin"
            python3 -m pip install -q --break-system-packages --target "$home/lib" uv >&2 \
                || python3 -m pip install -q --target "$home/lib" uv >&2 \
                || { echo "uv cannot be installed: install uv or python3-pip and python3-venv." >&2; return 1; }
            ln -sf ../lib/bin/uv "$home/bin/uv"
        fi
    fi
    echo "$home/bin/uv"
}

bash "$(dirname "$0")/system_libraries.sh"
uv=$(find_uv)
if [ ! -x "$venv/bin/python" ]; then
    "$uv" venv -q --python "$(command -v python3)" "$venv"
fi
echo "Installing the packages (the first time takes a few minutes)…"
"$uv" pip install -q --python "$venv/bin/python" -e '.[all,distributed,dev]'
