#!/bin/sh
# Make .venv and install Pileus with the given extras into it, at the versions of constraints.txt.
#
#     scripts/environment.sh train,serve
#
# Needs Python >= 3.11, pip and a package index, and nothing else. A second call does nothing until pyproject.toml,
# constraints.txt or the interpreter changes. PYTHON=/path/to/python settles which interpreter is used.
set -eu

extras=$1
cd "$(dirname "$0")/.."
venv=.venv

fail() {
    echo "environment: $1" >&2
    exit 1
}

is_version() { # interpreter, oldest minor version, first minor version that is too new
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c "import sys; sys.exit(not (3, $2) <= sys.version_info[:2] < (3, $3))" 2>/dev/null
}

choose_python() { # the versions that are tested, then any newer one
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if is_version "$name" 11 14; then echo "$name" && return; fi
    done
    for name in ${PYTHON:-python3 python3.14 python}; do
        if is_version "$name" 11 99; then echo "$name" && return; fi
    done
    return 1
}

make_venv() {
    python=$(choose_python) || fail "Python 3.11 or newer is needed and none was found on PATH; install one, or name it: make PYTHON=/path/to/python ..."
    echo "environment: making $venv with $("$python" --version)" >&2
    rm -rf "$venv"
    if "$python" -c "import venv, ensurepip" 2>/dev/null; then
        "$python" -m venv "$venv"
    else # Debian without python3-venv: no ensurepip, but perhaps a pip that installs elsewhere
        "$python" -m venv --without-pip "$venv" 2>/dev/null &&
            "$python" -m pip --python "$venv/bin/python" install --quiet pip ||
            fail "$python has neither ensurepip nor pip; install python3-venv or python3-pip, or name another: make PYTHON=/path/to/python ..."
    fi
}

fingerprint() {
    { "$venv/bin/python" --version && cat pyproject.toml constraints.txt && pwd; } | cksum
}

if [ -e "$venv" ] && ! is_version "$venv/bin/python" 11 99; then
    echo "environment: $venv has no working Python >= 3.11; making it anew" >&2
    rm -rf "$venv"
fi
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then make_venv; fi

for stamp in "$venv/.installed-$extras" "$venv/.installed-$extras,dev"; do
    if [ "$(cat "$stamp" 2>/dev/null)" = "$(fingerprint)" ]; then exit 0; fi
done
echo "environment: installing pileus[$extras] into $venv" >&2
"$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --no-compile \
    -c constraints.txt -e ".[$extras]" ||
    fail "the installation failed (see above); a package index must be reachable, or PIP_FIND_LINKS name a folder of wheels"
# pip would compile on one core, and not at all what is installed in place; what cannot be compiled is not imported.
"$venv/bin/python" -m compileall -qq -j 0 "$venv/lib" src || true
fingerprint >"$venv/.installed-$extras"
