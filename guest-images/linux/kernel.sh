# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# shellcheck disable=SC2154 # lib.sh and build.sh set here, jobs, log
# The kernel of the Linux test guest: Debian's linux-source-6.1, our patches, our configuration.

# Emulated string instructions cost one step for each element: the larger the elements, the
# better.
kernel_cflags="-mmemset-strategy=rep_8byte:-1:noalign -mmemcpy-strategy=rep_8byte:-1:noalign"

# Types, functions and lines are enough for crash and gdb's backtraces. Where each variable is at
# each instruction would be three quarters of what debug information costs to compile.
debug_cflags="-fno-var-tracking -fno-var-tracking-assignments"

# The map keeps the directory of the build, another each time, out of the debug information: ccache
# would find nothing.
kernel_make() {
	quietly nice -n 10 make -s -C "$src" -j"$jobs" CC="$kernel_cc" \
		KCFLAGS="$kernel_cflags $debug_cflags -fdebug-prefix-map=$src=." \
		LZ4="$here/lz4-store" KBUILD_BUILD_TIMESTAMP=2026-01-01 \
		KBUILD_BUILD_USER=ferry KBUILD_BUILD_HOST=ferry "$@"
}

build_kernel() {
	src=$1/linux-source-6.1
	kernel_cc=gcc
	if command -v ccache >/dev/null; then
		kernel_cc="ccache gcc"
		export CCACHE_BASEDIR="$1"
	fi
	tarball=/usr/src/linux-source-6.1.tar.xz
	[ -r $tarball ] || die "$tarball: missing; install linux-source-6.1 (make deps)"

	say "kernel: unpacking and patching"
	tar -xf $tarball -C "$1"
	for p in "$here"/patches/*.patch; do
		quietly patch -d "$src" -p1 -i "$p"
	done
	settings "$here/kernel.config" >"$1/fragment"
	kernel_make KCONFIG_ALLCONFIG="$1/fragment" allnoconfig
	check_settings "$here/kernel.config" "$src/.config"

	say "kernel: compiling with $jobs jobs (some minutes; log: $log)"
	kernel_make vmlinux bzImage
	cp "$src/arch/x86/boot/bzImage" "$src/System.map" "$2"
	cp "$src/.config" "$2/kernel.config"
	strip -s -o "$2/vmlinux" "$src/vmlinux"
	cp "$src/vmlinux" "$2/vmlinux.debug"
}
