// SPDX-License-Identifier: MIT
// Capture files: their blocks, byte for byte, and what a full disk leaves.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/io.h"
#include "vmm/capture/pcapng.h"

static const struct pcapng_interface lan = {
	.name = "net0", .description = "a nic", .filter = "arp", .snaplen = 96
};

static int temporary(void)
{
	char path[] = "/tmp/ferry-pcapng-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	(void)unlink(path);
	return fd;
}

static size_t size_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (size_t)st.st_size;
}

static uint32_t u32_at(int fd, size_t at)
{
	uint32_t value = 0;

	assert_int_equal(pread(fd, &value, sizeof(value), (off_t)at), sizeof(value));
	return value;
}

/* Walks over all blocks: each has its length at both ends. Returns how many of @type. */
static unsigned count_blocks(int fd, uint32_t type)
{
	size_t at = 0, size = size_of(fd);
	unsigned nr = 0;

	while (at < size) {
		uint32_t len = u32_at(fd, at + 4);

		assert_int_equal(len % 4, 0);
		assert_in_range(len, 12, size - at);
		assert_int_equal(u32_at(fd, at + len - 4), len);
		nr += u32_at(fd, at) == type;
		at += len;
	}
	return nr;
}

/* The draft's layout, with the numbers of a little-endian machine. */
static void test_bytes(void **state)
{
	static const uint8_t wanted[] = {
		/* the packet's block begins */
		6, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0,
		/* time, upper and lower half; bytes captured, on the wire */
		2, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 60, 0, 0, 0,
		/* data, padded */
		'h', 'e', 'l', 'l', 'o', 0, 0, 0,
		/* flags: outbound; frames dropped; end of options */
		2, 0, 4, 0, 2, 0, 0, 0, 4, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		/* the length again */
		64, 0, 0, 0
	};
	_cleanup_close_ int fd = temporary();
	uint8_t bytes[sizeof(wanted)];
	struct pcapng w;
	size_t before;

	(void)state;
	assert_int_equal(pcapng_open(&w, fd, &lan), 0);
	assert_int_equal(pcapng_flush(&w), 0);
	before = size_of(fd);
	assert_int_equal(u32_at(fd, 0), 0x0a0d0d0a);
	assert_int_equal(u32_at(fd, 8), 0x1a2b3c4d);
	assert_int_equal(count_blocks(fd, 1), 1);
	assert_int_equal(pcapng_packet(&w, &(struct pcapng_packet){ .time_ns = 0x200000001,
								    .data = "hello",
								    .bytes = 5,
								    .frame_bytes = 60,
								    .direction = PCAPNG_OUTBOUND,
								    .dropped = 7 }),
			 0);
	assert_int_equal(pcapng_flush(&w), 0);
	assert_int_equal(size_of(fd) - before, sizeof(wanted));
	assert_int_equal(pread(fd, bytes, sizeof(bytes), (off_t)before), sizeof(bytes));
	assert_memory_equal(bytes, wanted, sizeof(wanted));
	assert_int_equal(pcapng_statistics(&w, &(struct pcapng_statistics){ .seen = 9 }), 0);
	assert_int_equal(pcapng_flush(&w), 0);
	assert_int_equal(count_blocks(fd, 5), 1);
	assert_int_equal(count_blocks(fd, 6), 1);
	pcapng_close(&w);
	pcapng_close(&w);
}

/* Packets of all sizes, more than the buffer holds; the largest is cut. */
static void test_sizes(void **state)
{
	const uint32_t max = PCAPNG_BUFFER_BYTES;
	_cleanup_close_ int fd = temporary();
	char *data = test_calloc(1, max);
	struct pcapng w;
	unsigned nr = 0;

	(void)state;
	assert_int_equal(pcapng_open(&w, fd, &lan), 0);
	for (uint32_t bytes = 0; bytes <= max; bytes += bytes < 100 ? 1 : bytes / 3, nr++)
		assert_int_equal(pcapng_packet(&w, &(struct pcapng_packet){ .data = data,
									    .bytes = bytes,
									    .frame_bytes = bytes }),
				 0);
	assert_int_equal(pcapng_flush(&w), 0);
	assert_int_equal(count_blocks(fd, 6), nr);
	assert_int_equal(w.packets, nr);
	pcapng_close(&w);
	test_free(data);
}

/* Names that are longer than the file allows, or missing. */
static void test_names(void **state)
{
	_cleanup_close_ int fd = temporary();
	char *longer = test_calloc(1, 100000);
	struct pcapng w;

	(void)state;
	memset(longer, 'x', 99999);
	for (int round = 0; round < 2; round++) {
		struct pcapng_interface interface = { .name = round ? longer : NULL,
						      .description = round ? longer : NULL,
						      .filter = round ? longer : NULL };

		assert_int_equal(pcapng_open(&w, fd, &interface), 0);
		assert_int_equal(pcapng_flush(&w), 0);
		pcapng_close(&w);
	}
	assert_int_equal(count_blocks(fd, 1), 2);
	test_free(longer);
}

/* A file that may not grow any more has whole blocks alone. */
static void test_full_disk(void **state)
{
	_cleanup_close_ int fd = temporary();
	struct rlimit before, limit;
	char data[1000] = "";
	struct pcapng w;
	int rc = 0;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 10000;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(pcapng_open(&w, fd, &lan), 0);
	for (int i = 0; i < 20 && rc == 0; i++)
		rc = pcapng_packet(&w, &(struct pcapng_packet){ .data = data,
								.bytes = sizeof(data),
								.frame_bytes = sizeof(data) });
	assert_int_equal(rc, 0);
	assert_int_equal(pcapng_flush(&w), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	(void)signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(count_blocks(fd, 6), 9);
	pcapng_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
