#!/bin/sh
# Install the real servers, browsers and peers that the service tests need: by Debian's package tool, and what Debian
# has not by the package tool of its own language into $PILEUS_SERVICES (default ~/.cache/pileus/services).
#
#     scripts/services.sh [NAME ...]        all of them without a name
#
# What is there already is left alone. Exit code 3 where something is missing and cannot be installed here.
set -eu

known='chromium axe nginx minio azurite hdfs tensorflow ray dask spark'
kept=${PILEUS_SERVICES:-${HOME:-/nonexistent}/.cache/pileus/services}
here=$(cd "$(dirname "$0")" && pwd)
hadoop=$kept/hadoop-3.4.1
venv=$here/../.venv
tensorflow=$kept/tensorflow-cpu-2.21.0

is_there() { # name
    case $1 in
    chromium) chromium --version ;;
    nginx) nginx -v || /usr/sbin/nginx -v ;;
    minio) [ -x "$kept/bin/minio" ] ;;
    axe) [ -f "$kept/axe/node_modules/axe-core/axe.min.js" ] ;;
    azurite) node --version && [ -d "$kept/azurite/node_modules/azurite" ] ;;
    hdfs) java -version && [ -d "$hadoop" ] ;;
    tensorflow) "$tensorflow/bin/python" --version ;;
    ray | dask) "$venv/bin/python" -m pip show "$(library_of "$1")" ;;
    spark) java -version && "$venv/bin/python" -m pip show pyspark ;;
    esac >/dev/null 2>&1
}

debian_of() { # name: the packages of Debian that it needs and that are not there
    case $1 in
    chromium) echo chromium ;;
    nginx) echo nginx-light ;;
    axe | azurite) lacks npm && echo nodejs npm ;;
    spark) lacks java && echo default-jre-headless ;;
    hdfs) lacks java && echo default-jre-headless; lacks mvn && echo maven ;;
    esac
    return 0
}

build() { # name: what Debian has not
    case $1 in
    minio) from_go github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c ;;
    axe) from_npm axe axe-core@4.14.1 ;;
    azurite) from_npm azurite azurite@3.35.0 ;;
    hdfs)
        mvn -q -B -f "$here/services/hdfs.xml" dependency:copy-dependencies \
            -DincludeScope=runtime "-DoutputDirectory=$hadoop.part" && mv "$hadoop.part" "$hadoop"
        ;;
    tensorflow) from_pip "$tensorflow" tensorflow-cpu==2.21.0 ;;
    ray | dask | spark) beside_pileus "$(library_of "$1")" ;;
    esac
}

from_go() {
    lacks go && fail "$1 is built by Go 1.24 or newer, which is not on PATH; install it from https://go.dev/dl"
    GOBIN=$kept/bin go install "$1"
}

from_npm() { # name, requirement
    npm install --no-audit --no-fund --silent --prefix "$kept/$1" "$2"
}

from_pip() { # folder of an environment of its own, requirement
    python=$(choose_python) ||
        fail "$2 has wheels for Python 3.10 to 3.13, and none of these with venv and pip is on PATH; install one"
    "$python" -m venv --clear --without-pip "$1.part" &&
        "$python" -m pip --python "$1.part/bin/python" install --quiet --no-input --disable-pip-version-check "$2" &&
        rm -rf "$1" && mv "$1.part" "$1"
}

library_of() { # name of an engine
    case $1 in dask) echo distributed ;; spark) echo pyspark ;; *) echo "$1" ;; esac
}

beside_pileus() { # library of an extra, at the version of constraints.txt
    [ -x "$venv/bin/python" ] || fail "$1 is installed into .venv, which is not there; make it first: make test"
    "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check -c "$here/../constraints.txt" "$1"
}

choose_python() { # one that the wheels are for
    for name in "$here/../.venv/bin/python" python3.13 python3.12 python3.11 python3.10 python3; do
        if "$name" -c "import pip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))" 2>/dev/null
        then echo "$name" && return; fi
    done
    return 1
}

lacks() { ! command -v "$1" >/dev/null 2>&1; }

fail() {
    echo "services: $1" >&2
    exit 3
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

install_debian() { # packages
    lacks apt-get || ! as_root true 2>/dev/null &&
        fail "missing:$missing; they cannot be installed here (that takes apt-get, and root or sudo without a password). Install Debian's packages $* or their like by hand."
    echo "services: installing $*"
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -qq && as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
        fail "apt-get could not install $* (see above); is the network there?"
}

for name in "$@"; do
    case " $known " in
    *" $name "*) ;;
    *) echo "services: there is no service $name; there are: $known" >&2 && exit 2 ;;
    esac
done

missing=
packages=
for name in ${*:-$known}; do
    if is_there "$name"; then
        echo "services: $name is there"
    else
        missing="$missing $name"
        packages="$packages $(debian_of "$name")"
    fi
done

# shellcheck disable=SC2086 # the names are words of the lists above
set -- $packages
if [ $# -gt 0 ]; then install_debian "$@"; fi
for name in $missing; do
    if is_there "$name"; then continue; fi
    echo "services: building $name"
    build "$name" || fail "$name could not be built (see above); is the network there?"
    is_there "$name" || fail "$name was installed and is still not to be found; look at $0"
done
