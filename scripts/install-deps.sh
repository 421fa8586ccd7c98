#!/bin/sh
# SPDX-License-Identifier: MIT
# Install the Debian packages of packages.txt that are missing, and say which.
# Arguments: the classes wanted (build, test, lint, ...); none means all.
set -eu
list=$(dirname "$0")/packages.txt

wanted() {
	awk -v classes=" $* " '
		/^#/ || NF < 3 { next }
		classes == "  " || index(classes, " " $2 " ") { print $1 }' "$list"
}

missing=
for pkg in $(wanted "$@"); do
	dpkg-query -W -f '${Status}' "$pkg" 2>/dev/null | grep -q ' installed$' ||
		missing="$missing $pkg"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "deps: missing:$missing; this is not a Debian system: install their equivalents" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "deps: missing:$missing; run 'sudo make deps'" >&2
	exit 1
fi
echo "deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q </dev/null
# shellcheck disable=SC2086 # a list of names
apt-get install -q -y --no-install-recommends $missing </dev/null
