# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# shellcheck disable=SC2086,SC2154 # autoconf is a list; lib.sh and build.sh set here, jobs, log
# User space of the Linux test guest: Debian's sources, linked statically with musl. Not Debian's
# binaries: glibc picks AVX code at run time, and a kernel without XSAVE loses those registers.

autoconf="--host=x86_64-linux-musl CC=musl-gcc"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The archive that this machine's apt takes Debian's packages from.
debian_archive() {
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1
}

# Fetch into the current directory with a private apt configuration; apt checks signatures.
fetch_sources() {
	apt=$1/apt
	debian=$(debian_archive)
	[ -n "$debian" ] || die "apt knows no archive of Debian: mend its list of sources"
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
	for suite in bookworm bullseye; do
		echo "deb-src [signed-by=$keyring] $debian $suite main"
	done >"$apt/sources.list"
	cat >"$apt/apt.conf" <<-END
		Dir::Etc::sourcelist "$apt/sources.list";
		Dir::Etc::sourceparts "-";
		Dir::State::lists "$apt/lists";
		Dir::Cache "$apt/cache";
		APT::Sandbox::User "";
	END
	export APT_CONFIG="$apt/apt.conf"
	quietly apt-get -q update
	for p in busybox dropbear fio; do
		quietly apt-get -q source --download-only $p/bookworm
	done
	# Upstream's release only: it needs no patch, and mirrors were seen without files of 3.12.
	quietly apt-get -q source --download-only --tar-only iperf3/bullseye
	for p in busybox dropbear fio; do
		quietly dpkg-source --no-check -x "$p"_*.dsc "$1/$p"
	done
	mkdir "$1/iperf3"
	quietly tar -xf iperf3_*.orig.tar.gz -C "$1/iperf3" --strip-components=1
}

# musl-gcc looks at no other headers: give it the kernel's, after its own.
make_kernel_headers() {
	mkdir -p "$1/include"
	for d in linux asm-generic mtd; do
		ln -sfn "/usr/include/$d" "$1/include/$d"
	done
	ln -sfn "/usr/include/$(gcc -print-multiarch)/asm" "$1/include/asm"
	cflags="-Os -g0 -fno-pie -ffunction-sections -fdata-sections -idirafter $1/include"
	ldflags="-static -no-pie -s -Wl,--gc-sections"
}

build_busybox() {
	quietly make -s allnoconfig
	settings "$here/busybox.config" >"$1/fragment"
	# the fragment first: the first mention of a symbol counts
	sed 's/=.*//' "$1/fragment" | while read -r sym; do
		echo "/^$sym=/d"
		echo "/^# $sym is not set/d"
	done >"$1/drop.sed"
	sed -f "$1/drop.sed" .config >.config.base
	cat "$1/fragment" .config.base >.config
	yes "" 2>/dev/null | quietly make -s oldconfig
	check_settings "$here/busybox.config" .config
	quietly make -s -j"$jobs" CC=musl-gcc EXTRA_CFLAGS="$cflags" EXTRA_LDFLAGS="$ldflags" \
		busybox
	cp busybox "$2"
}

build_dropbear() {
	cp "$here/dropbear.h" localoptions.h
	quietly ./configure $autoconf CFLAGS="$cflags" LDFLAGS="$ldflags" --enable-static \
		--disable-harden --disable-zlib --disable-pam --disable-lastlog --disable-utmp \
		--disable-utmpx --disable-wtmp --disable-wtmpx --disable-loginfunc \
		--enable-bundled-libtom
	quietly make -j"$jobs" PROGRAMS="dropbear dropbearkey"
	cp dropbear dropbearkey "$2"
}

build_iperf3() {
	quietly ./configure $autoconf CFLAGS="$cflags" LDFLAGS="$ldflags" --disable-shared \
		--enable-static-bin --without-openssl --without-sctp
	quietly make -j"$jobs" -C src iperf3
	strip -s -o "$2/iperf3" src/iperf3
}

build_fio() {
	quietly ./configure --cc=musl-gcc --extra-cflags="$cflags" --build-static \
		--disable-native --disable-numa --disable-rdma --disable-http --disable-shm \
		--disable-lex --disable-optimizations
	LDFLAGS=$ldflags quietly make -j"$jobs" fio
	strip -s -o "$2/fio" fio
}

build_init() {
	# shellcheck disable=SC2086 # lists of options
	quietly musl-gcc -std=c17 -Wall -Wextra -Werror $cflags $ldflags -o "$1" "$here/init.c"
}

build_tools() {
	for tool in apt-get dpkg-source musl-gcc; do
		command -v $tool >/dev/null || die "$tool: not found (make deps)"
	done
	make_kernel_headers "$1"
	say "tools: fetching Debian's sources of busybox, dropbear, iperf3 and fio"
	mkdir "$1/download"
	(cd "$1/download" && fetch_sources "$1")
	for p in busybox dropbear iperf3 fio; do
		say "tools: compiling $p"
		(cd "$1/$p" && "build_$p" "$1" "$2")
	done
}
