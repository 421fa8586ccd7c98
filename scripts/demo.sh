#!/bin/bash
# SPDX-License-Identifier: MIT
# What ferry does, on this machine and for real: boot, disk, network, control.
set -eu
cd "$(dirname "$0")/.."

ferry=${O:-build}/ferry
guests=${O:-build}/guest-images
dir=$(mktemp -d)
guest=
receiver=
host1=ferry-demo1-$$
host2=ferry-demo2-$$

clean_up()
{
	for pid in $guest $receiver; do
		kill "$pid" 2>/dev/null || true
	done
	ip netns delete "$host1" 2>/dev/null || true
	ip netns delete "$host2" 2>/dev/null || true
	rm -rf "$dir"
}
trap clean_up EXIT

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

# Two hosts with a cable between them, each with a bridge for its guests.
make_hosts()
{
	ip netns add "$host1" && ip netns add "$host2" || return
	ip -n "$host1" link add cable type veth peer name cable netns "$host2"
	for host in "$host1" "$host2"; do
		ip -n "$host" link set lo up
		# With an address of its own: otherwise it would follow the taps that come and go.
		ip -n "$host" link add br0 address "02:00:00:99:00:0${host:10:1}" type bridge
		ip -n "$host" link set cable master br0 up
		ip -n "$host" link set br0 up
	done
	ip -n "$host1" address add 10.99.0.1/24 dev br0
	ip -n "$host2" address add 10.99.0.2/24 dev br0
}

if make_hosts 2>/dev/null; then
	step 'Live teleport to another host, while the guest pings the first one every 10 ms'
	on1=(ip netns exec "$host1" env "XDG_RUNTIME_DIR=$dir/host1")
	on2=(ip netns exec "$host2" env "XDG_RUNTIME_DIR=$dir/host2")
	to=tcp:10.99.0.2:8002
	listen=(--listen "$to" --insecure --allow 10.99.0.1 --net-allow bridge:br0)
	net=(--net 'tap,bridge=br0' --append)
	net+=('ip=10.99.0.100/24 ping=10.99.0.1 count=500 interval_ms=10 quit=done')
else
	step 'Live teleport to another process (this user may not make namespaces), during a ping'
	on1=(env "XDG_RUNTIME_DIR=$dir/host1")
	on2=(env "XDG_RUNTIME_DIR=$dir/host2")
	to=tcp:127.0.0.1:8002
	listen=(--listen "$to" --insecure)
	net=(--net user --append 'ip=dhcp ping=10.0.2.2 count=500 interval_ms=10 quit=done')
fi
mkdir -m 700 "$dir/host1" "$dir/host2"
mkfifo "$dir/said"
"${on2[@]}" "$ferry" receive "${listen[@]}" --console "file:$dir/console" >"$dir/said" &
receiver=$!
exec 3<"$dir/said"
read -r line <&3 && echo "$line"
"${on1[@]}" "$ferry" run --name web --memory 128M --kernel "$guests/net.elf" \
	--console "file:$dir/console" "${net[@]}" &
guest=$!
until grep -qs '^net: up' "$dir/console"; do
	kill -0 "$guest"
done
show "${on1[@]}" "$ferry" teleport web "$to" --report "${O:-build}/teleport.svg"
wait "$guest"
guest=
until [[ $line == *'has ended'* ]]; do # at the destination, when it has pinged enough
	read -r line <&3 && echo "$line"
done
grep '^net: ping' "$dir/console"
echo "the picture of it: ${O:-build}/teleport.svg"

step 'That worked. README.md tells how to go on.'
