#!/bin/bash
# SPDX-License-Identifier: MIT
# What ferry does, on this machine and for real: boot, disk, network, control.
set -eu
cd "$(dirname "$0")/.."

ferry=${O:-build}/ferry
guests=${O:-build}/guest-images
dir=$(mktemp -d)
guest=
trap '[ -z "$guest" ] || kill "$guest" 2>/dev/null || true; rm -rf "$dir"' EXIT

step() { printf '\n\033[1m== %s\033[0m\n' "$1"; }
show() {
	printf '$ %s\n' "$*"
	"$@"
}

step 'Can this host run guests?'
if ! "$ferry" doctor >"$dir/doctor" 2>&1; then
	cat "$dir/doctor"
	exit 1
fi
tail -n 1 "$dir/doctor"

step 'A throwaway guest: boots, prints, powers off'
show time -p "$ferry" run --ephemeral --kernel "$guests/hello.elf"

step 'A guest with a disk: writes, reads and verifies every sector, 16 requests in flight'
truncate -s 256M "$dir/disk.img"
show "$ferry" run --ephemeral --kernel "$guests/blk.elf" --vcpus 2 \
	--disk "$dir/disk.img,serial=demo-disk" --append 'ops=20000 depth=16 flush=100'

step 'The same disk as a throwaway overlay: the image stays as it is'
before=$(sha256sum <"$dir/disk.img")
show "$ferry" run --ephemeral --kernel "$guests/blk.elf" \
	--disk "$dir/disk.img,overlay" --append 'ops=5000 depth=16'
[ "$before" = "$(sha256sum <"$dir/disk.img")" ] && echo 'the image is unchanged'

step 'A guest on user networking: DHCP, and a ping each 100 ms'
show "$ferry" run --ephemeral --kernel "$guests/net.elf" --net user \
	--append 'ip=dhcp ping=10.0.2.2 count=10 interval_ms=100 quit=done'

step 'A guest that stays: list it, pause it, resume it, press its power button'
"$ferry" run --name demo --console none --kernel "$guests/idle.elf" --memory 64M &
guest=$!
until "$ferry" info demo >/dev/null 2>&1; do
	kill -0 "$guest" # ends the demo if the guest is gone
done
show "$ferry" list
show "$ferry" pause demo
show "$ferry" info demo
show "$ferry" resume demo
show "$ferry" shutdown demo
wait "$guest"
guest=
show "$ferry" list

step 'That worked. README.md tells how to go on.'
