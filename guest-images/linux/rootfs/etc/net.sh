#!/bin/sh
# SPDX-License-Identifier: MIT
# Configure eth0: udhcpc calls it with an event, init with "static ADDRESS/PREFIX[,GATEWAY]".
case $1 in
static)
	interface=eth0
	ip=${2%%,*}
	mask=${ip#*/}
	ip=${ip%/*}
	[ "$2" = "${2#*,}" ] || router=${2#*,}
	;;
bound | renew) ;;
deconfig)
	ip addr flush dev "$interface"
	exit
	;;
*)
	exit
	;;
esac

ip addr replace "$ip/$mask" dev "$interface"
[ -z "$router" ] || ip route replace default via "${router%% *}"
# shellcheck disable=SC2154 # from udhcpc
for server in $dns; do
	echo "nameserver $server"
done >/tmp/resolv.conf
echo "guest: $interface has $ip/$mask" >/dev/console
