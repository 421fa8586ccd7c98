// SPDX-License-Identifier: MIT
/* Talks on the virtio console: answers each line, until one says quit. */
#include "small.h"

#define LINE_BYTES 128u

static struct {
	struct virtio_dev dev;
	struct virtio_queue rx, tx;
	uint8_t *in, *out; /* a page each */
	char line[LINE_BYTES];
	size_t used;
} hvc;

static void offer_room(void)
{
	struct virtq_seg seg = { gpa_of(hvc.in), PAGE_BYTES };

	if (!virtq_add(&hvc.rx.vq, &seg, 0, 1, hvc.in))
		panic("small: console: the receive queue is full");
	virtio_kick(&hvc.rx);
}

static void say(const char *before, const char *text)
{
	int n = snprintf((char *)hvc.out, PAGE_BYTES, "%s%s\n", before, text);
	struct virtq_seg seg = { gpa_of(hvc.out), (uint32_t)n };

	(void)small_request(&hvc.dev, &hvc.tx, &seg, false);
}

/* False: the line was `quit`. */
static bool take_line(void)
{
	hvc.line[hvc.used] = '\0';
	hvc.used = 0;
	if (!strcmp(hvc.line, "quit"))
		return false;
	say("hvc echo ", hvc.line);
	return true;
}

static bool take_input(uint32_t len)
{
	for (uint32_t i = 0; i < len; i++) {
		if (hvc.in[i] == '\n' || hvc.in[i] == '\r') {
			if (!take_line())
				return false;
		} else if (hvc.used + 1 < LINE_BYTES) {
			hvc.line[hvc.used++] = (char)hvc.in[i];
		}
	}
	return true;
}

int small_console(void)
{
	uint64_t lines = param_number("lines", 0);
	char number[24];
	uint32_t len;

	hvc.in = memory_alloc_pages(1);
	hvc.out = memory_alloc_pages(1);
	small_open(&hvc.dev, VIRTIO_ID_CONSOLE, 0);
	virtio_queue_setup(&hvc.dev, &hvc.rx, 0, QUEUE_SIZE);
	virtio_queue_setup(&hvc.dev, &hvc.tx, 1, QUEUE_SIZE);
	virtio_start(&hvc.dev);
	for (uint64_t i = 0; i < lines; i++) {
		(void)snprintf(number, sizeof(number), "%lu", i);
		say("hvc line ", number);
	}
	say("hvc ready", "");
	do {
		offer_room();
		while (!virtq_pop(&hvc.rx.vq, &len))
			virtio_wait(&hvc.dev, UINT64_MAX);
	} while (take_input(len));
	print("small: console done\n");
	return EXIT_OK;
}
