#!/bin/sh
# SPDX-License-Identifier: MIT
# Build the Linux test guest, or find it in the cache. Prints its directory on standard output.
#
#   build.sh			build what is missing
#   build.sh --print-path	print the directory only, whether it exists or not
#
# The name of the directory has a hash of the recipe: another recipe, another directory. JOBS=n
# bounds make's jobs; XDG_CACHE_HOME and TMPDIR are respected. README.md: what is in the directory.
set -eu
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ferry
# shellcheck disable=SC2034 # the other parts use it
jobs=${JOBS:-$(nproc)}
here=$(cd "$(dirname "$0")" && pwd)
for f in lib kernel tools; do
	# shellcheck source=/dev/null
	. "$here/$f.sh"
done

recipe_files() {
	(cd "$here" && find "$@" -type f | LC_ALL=C sort)
}

# shellcheck disable=SC2046 # lists of file names without spaces
{
	kernel_key=$(hash_files $(recipe_files kernel.sh kernel.config lz4-store patches))
	tools_key=$(hash_files tools.sh busybox.config dropbear.h)
	image_key=$(hash_files $(recipe_files build.sh lib.sh cmdline init.c rootfs))
}
key=$(echo "$kernel_key $tools_key $image_key" | sha256sum | cut -c1-16)
dir=$cache/linux-guest-$key

# The guest's own key and the one that may log in: new with every build, so the tree has no secrets.
make_keys() {
	"$tools/dropbearkey" -t ed25519 -f "$1/etc/dropbear/dropbear_ed25519_host_key" \
		>"$work/hostkey" 2>&1
	sed -n 's/^ssh-ed25519 \([^ ]*\).*/guest ssh-ed25519 \1/p' "$work/hostkey" >"$2/known_hosts"
	ssh-keygen -q -t ed25519 -N '' -C ferry-test -f "$2/id_ed25519"
	cp "$2/id_ed25519.pub" "$1/root/.ssh/authorized_keys"
	cat >"$2/ssh_config" <<-END
		# ssh -F $dir/ssh_config -p PORT guest
		Host *
			HostName 127.0.0.1
			User root
			IdentityFile $dir/id_ed25519
			IdentitiesOnly yes
			UserKnownHostsFile $dir/known_hosts
			HostKeyAlias guest
			StrictHostKeyChecking yes
			LogLevel ERROR
	END
}

make_tree() {
	for d in bin dev etc/dropbear mnt proc root/.ssh sys tmp; do
		mkdir -p "$1/$d"
	done
	chmod 700 "$1/root" "$1/root/.ssh"
	cp -R "$here/rootfs/." "$1"
	cp "$tools/busybox" "$tools/dropbear" "$1/bin"
	# The shell finds the applets itself. A link costs milliseconds in the initrd; these two are
	# what init starts.
	ln -s busybox "$1/bin/sh"
	ln -s busybox "$1/bin/udhcpc"
	ln -s bin "$1/sbin"
	ln -s /tmp/resolv.conf "$1/etc/resolv.conf"
	make_kernel_headers "$work"
	build_init "$1/init"
}

# Everything belongs to root, whoever builds. /dev/console is in the kernel's own archive.
pack_initrd() {
	(cd "$1" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0)
}

# No metadata checksums: CRC32C by emulated code takes milliseconds for each block. No journal: it
# is a base image for throwaway guests.
pack_rootfs() {
	truncate -s 64M "$2"
	set -- mke2fs -q -F -t ext4 -O ^metadata_csum,^has_journal -L guest -d "$1" "$2"
	[ "$(id -u)" -eq 0 ] || set -- unshare -r "$@"
	quietly "$@"
}

build_guest() {
	work=$1
	say "image: packing"
	mkdir "$1/tree"
	make_tree "$1/tree"
	make_keys "$1/tree" "$2"
	pack_initrd "$1/tree" >"$2/initrd.img"
	# Only where pages are read when they are used: unpacking these would take a second.
	cp "$tools/iperf3" "$tools/fio" "$1/tree/bin"
	pack_rootfs "$1/tree" "$2/rootfs.img"
	cp "$here/cmdline" "$kernel/vmlinux" "$kernel/bzImage" "$kernel/System.map" \
		"$kernel/kernel.config" "$2"
	ln -s "../${kernel##*/}/vmlinux.debug" "$2" # as large as all the rest
}

case $#:${1-} in
0:) ;;
1:--print-path)
	echo "$dir"
	exit
	;;
*) die "usage: build.sh [--print-path]" ;;
esac

# Another recipe's, of an older checkout most likely: $cache has no other end. In use is what is
# asked for.
drop_unused() {
	touch -c "$dir" "$cache/linux-kernel-$kernel_key" "$cache/linux-tools-$tools_key"
	find "$cache" -mindepth 1 -maxdepth 1 -type d -name 'linux-*-*' -mtime +30 -exec rm -rf {} +
}

mkdir -p "$cache"
exec 9>"$cache/linux-guest.lock"
flock 9
if [ ! -d "$dir" ]; then
	kernel=$(part kernel "$kernel_key")
	tools=$(part tools "$tools_key")
	dir=$(part guest "$key")
fi
drop_unused || say "older parts could not be removed from $cache"
echo "$dir"
