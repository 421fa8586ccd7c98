#!/bin/sh
# Install the packages of packages.txt that are missing, and say which.
set -eu
cd "$(dirname "$0")"

missing=
for pkg in $(sed -e 's/#.*//' packages.txt | awk 'NF { print $1 }'); do
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
apt-get update -q
# shellcheck disable=SC2086 # a list of names
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
