#!/bin/sh
# Install the real servers and browsers that the service tests need, where Debian's package tool is at hand.
#
#     scripts/services.sh [NAME ...]        all of the table below without a name
#
# What is there already is left alone. Exit code 3 where something is missing and cannot be installed here.
set -eu

# name | a command that shows that it is there | Debian packages
table='
chromium | chromium --version | chromium
'

trim() { echo "$1" | sed 's/^ *//; s/ *$//'; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_install() {
    command -v apt-get >/dev/null 2>&1 && as_root true 2>/dev/null
}

missing=
packages=
known=
while IFS='|' read -r name probe debian; do
    name=$(trim "$name")
    if [ -z "$name" ]; then continue; fi
    known="$known $name"
    if [ $# -gt 0 ] && ! echo " $* " | grep -q " $name "; then continue; fi
    if sh -c "$(trim "$probe")" >/dev/null 2>&1; then
        echo "services: $name is there"
    else
        missing="$missing $name"
        packages="$packages $(trim "$debian")"
    fi
done <<TABLE
$table
TABLE

for name in "$@"; do
    case " $known " in
    *" $name "*) ;;
    *) echo "services: there is no service $name; there are:$known" >&2 && exit 2 ;;
    esac
done

if [ -z "$missing" ]; then exit 0; fi
if ! can_install; then
    echo "services: missing:$missing; they cannot be installed here (that takes apt-get, and root or sudo without a password). Install Debian's packages$packages or their like by hand." >&2
    exit 3
fi
echo "services: installing$packages"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # the names are words of the table above
as_root apt-get update -qq && as_root apt-get install -y -qq --no-install-recommends $packages >/dev/null || {
    echo "services: apt-get could not install$packages (see above); is the network there?" >&2
    exit 3
}
