#!/usr/bin/env bash
# Make the environment: uv where it is missing, then everything the project names.
set -euo pipefail
venv=${1:-.venv}

find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    echo "Python 3.11 or newer is needed: install it first." >&2
    return 1
}

find_uv() {
    if uv --version >/dev/null 2>&1; then
        command -v uv
        return
    fi
    # A private environment for uv, so that a system Python that refuses pip (PEP 668) is no obstacle.
    local home="$venv-uv"
    [ -x "$home/bin/uv" ] || install_uv "$home" || {
        echo "uv cannot be installed: install uv, or python3-venv and python3-pip." >&2
        return 1
    }
    echo "$home/bin/uv"
}

install_uv() {
    if ! "$python" -c 'import ensurepip' 2>/dev/null && ! "$python" -m pip --version >/dev/null 2>&1; then
        # Debian's bare python3 has neither venv nor pip.
        [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
        echo "Installing system packages: python3-pip" >&2
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-pip; } >/dev/null
    fi
    if "$python" -m venv "$1" >/dev/null 2>&1; then
        "$1/bin/python" -m pip install -q uv >&2
        return
    fi
    # No venv: pip into a folder of our own, which leaves the system's packages alone.
    rm -rf "$1" && mkdir -p "$1/bin"
    "$python" -m pip install -q --break-system-packages --target "$1/lib" uv >&2 \
        || "$python" -m pip install -q --target "$1/lib" uv >&2 || return 1
    ln -sf ../lib/bin/uv "$1/bin/uv"
}

bash "$(dirname "$0")/system_libraries.sh"
python=$(find_python)
uv=$(find_uv)
if [ ! -x "$venv/bin/python" ]; then
    "$uv" venv -q --python "$python" "$venv"
fi
echo "Installing the packages (the first time takes a few minutes)…"
"$uv" pip install -q --python "$venv/bin/python" -e '.[all,distributed,dev]'
