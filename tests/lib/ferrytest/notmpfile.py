# SPDX-License-Identifier: MIT
"""Programs that find no file system with files without names, as NFS and FAT are."""
from .proc import run

# Stands before the C library's.
NO_TMPFILE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>

int open(const char *path, int flags, ...)
{
	int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");

	if ((flags & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return real(path, flags, 0600);
}
"""


def no_tmpfile(folder):
    """The environment of a program for which all are such; folder keeps what it needs."""
    (folder / "no.c").write_text(NO_TMPFILE)
    run("gcc", "-shared", "-fPIC", "-o", folder / "no.so", folder / "no.c")
    # A sanitizer would like to be the first.
    return {"LD_PRELOAD": str(folder / "no.so"), "ASAN_OPTIONS": "verify_asan_link_order=0"}
