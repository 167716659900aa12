#!/usr/bin/env bash
# On Linux: the libraries that Qt and OpenGL need, and Xvfb where there is no display.
set -euo pipefail
[ "$(uname -s)" = Linux ] || exit 0

missing=()
# Read once: a pipe that grep leaves early would fail under pipefail.
# /sbin is not on the path of every user, so ldconfig is called by its place.
libraries=$(/sbin/ldconfig -p 2>/dev/null || ldconfig -p)
need() { # need LIBRARY PACKAGE
    [[ $libraries == *"$1"* ]] || missing+=("$2")
}
need libGL.so.1 libgl1
need libEGL.so.1 libegl1
need libOpenGL.so.0 libopengl0
need libglib-2.0.so.0 libglib2.0-0
need libxkbcommon-x11.so.0 libxkbcommon-x11-0
need libdbus-1.so.3 libdbus-1-3
need libxcb-cursor.so.0 libxcb-cursor0
need libxcb-icccm.so.4 libxcb-icccm4
need libxcb-image.so.0 libxcb-image0
need libxcb-keysyms.so.1 libxcb-keysyms1
need libxcb-randr.so.0 libxcb-randr0
need libxcb-render-util.so.0 libxcb-render-util0
need libxcb-shape.so.0 libxcb-shape0
need libxcb-xinerama.so.0 libxcb-xinerama0
need libxcb-xfixes.so.0 libxcb-xfixes0
need libfontconfig.so.1 libfontconfig1
if [ -z "${DISPLAY:-}" ] && ! command -v Xvfb >/dev/null 2>&1; then
    missing+=(xvfb)
fi
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing system packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
    echo "Qt needs system packages; run: sudo apt-get install ${missing[*]}" >&2
fi
