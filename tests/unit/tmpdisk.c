// SPDX-License-Identifier: MIT
// Disk images in temporary directories, for tests.
#include "tests/unit/tmpdisk.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#define SECTOR 512

static void make_dir(struct tmpdisk *t)
{
	const char *top = getenv("TMPDIR");

	(void)snprintf(t->dir, sizeof(t->dir), "%s/ferry-disk-XXXXXX", top ? top : "/tmp");
	assert_non_null(mkdtemp(t->dir));
	(void)snprintf(t->path, sizeof(t->path), "%s/disk.img", t->dir);
}

static void make_sector(uint8_t *sector, uint64_t number)
{
	memset(sector, TMPDISK_FILL, SECTOR);
	memcpy(sector, &number, sizeof(number));
}

bool tmpdisk_is_fresh(const uint8_t *sector, uint64_t number)
{
	uint8_t want[SECTOR];

	make_sector(want, number);
	return memcmp(sector, want, SECTOR) == 0;
}

void tmpdisk_new(struct tmpdisk *t, size_t bytes)
{
	uint8_t sector[SECTOR];
	FILE *f;

	*t = (struct tmpdisk){ 0 };
	make_dir(t);
	f = fopen(t->path, "w");
	assert_non_null(f);
	for (size_t at = 0; at < bytes; at += SECTOR) {
		size_t n = bytes - at < SECTOR ? bytes - at : SECTOR;

		make_sector(sector, at / SECTOR);
		assert_int_equal(fwrite(sector, 1, n, f), n);
	}
	assert_int_equal(fclose(f), 0);
}

/* A mount that nobody else sees, as root or as root of a user namespace. */
static bool mount_tmpfs(const char *dir, size_t room)
{
	char options[64];

	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return false;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	(void)snprintf(options, sizeof(options), "size=%zu", room);
	return mount("tmpfs", dir, "tmpfs", 0, options) == 0;
}

bool tmpdisk_new_small(struct tmpdisk *t, size_t bytes, size_t room)
{
	int fd;

	*t = (struct tmpdisk){ 0 };
	make_dir(t);
	t->mounted = mount_tmpfs(t->dir, room);
	if (!t->mounted) {
		(void)rmdir(t->dir);
		return false;
	}
	fd = open(t->path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	(void)close(fd);
	return true;
}

void tmpdisk_free(struct tmpdisk *t)
{
	(void)unlink(t->path);
	if (t->mounted)
		(void)umount2(t->dir, MNT_DETACH);
	(void)rmdir(t->dir);
}

void tmpdisk_read(const struct tmpdisk *t, uint64_t offset, void *buf, size_t len)
{
	int fd = open(t->path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, buf, len, (off_t)offset), len);
	(void)close(fd);
}
