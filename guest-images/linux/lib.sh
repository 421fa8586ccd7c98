# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# shellcheck disable=SC2154 # build.sh sets here and cache
# Shared by the scripts that build the Linux test guest.

say() {
	echo "linux-guest: $*" >&2
}

die() {
	say "$*"
	exit 1
}

# Run a command with its output in $log; show the end of it if the command fails.
quietly() {
	"$@" >>"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		die "failed: $* (see $log)"
	}
}

# A key of the contents of files, which are named relative to the recipe.
hash_files() {
	(cd "$here" && sha256sum "$@" | sha256sum | cut -c1-16)
}

# Lines of a configuration fragment without its comments.
settings() {
	sed -e 's/[[:space:]]*#.*//' -e '/^$/d' "$1"
}

# Fail if the configuration $2 does not have what the fragment $1 asks for.
check_settings() {
	settings "$1" | while read -r line; do
		case $line in
		*=n) ! grep -q "^${line%n}" "$2" ;;
		*) grep -qxF "$line" "$2" ;;
		esac || die "$1: no effect: $line"
	done
}

# part NAME KEY: print the directory of a part of the guest, built by build_NAME if it is absent.
# To be called in a subshell.
part() {
	part=$cache/linux-$1-$2
	if [ ! -d "$part" ]; then
		tmp=$(mktemp -d "${TMPDIR:-/tmp}/ferry-linux-$1.XXXXXX")
		trap 'rm -rf "$tmp"' EXIT
		log=$cache/linux-$1.log
		mkdir -p "$tmp/out"
		: >"$log"
		"build_$1" "$tmp" "$tmp/out"
		rm -rf "$part.new"
		cp -a "$tmp/out" "$part.new"
		mv "$part.new" "$part"
	fi
	echo "$part"
}
