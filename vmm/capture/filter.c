// SPDX-License-Identifier: MIT
// ferry-capture: filters, which are libpcap's.
#include <errno.h>
#include <pcap/pcap.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/capture/capture.h"

#define MAX_TEXT (64 * KIB)

struct capture_filter {
	struct bpf_program program;
};

static int compile(struct capture_filter *f, pcap_t *pcap, const char *text, struct err *e)
{
	if (pcap_compile(pcap, &f->program, text, 1, PCAP_NETMASK_UNKNOWN) == 0)
		return 0;
	return err_set(e, -EINVAL, "filter '%.80s': %.200s", text, pcap_geterr(pcap));
}

int capture_filter_new(struct capture_filter **ret, const char *text, struct err *e)
{
	struct capture_filter *f;
	pcap_t *pcap;
	int rc;

	*ret = NULL;
	if (!*text)
		return 0;
	if (strlen(text) > MAX_TEXT)
		return err_set(e, -E2BIG, "the filter is longer than 64 KiB");
	pcap = pcap_open_dead(DLT_EN10MB, CAPTURE_MAX_SNAPLEN);
	f = calloc(1, sizeof(*f));
	rc = pcap && f ? compile(f, pcap, text, e) : err_set(e, -ENOMEM, "out of memory");
	if (pcap)
		pcap_close(pcap);
	if (rc < 0) {
		free(f);
		return rc;
	}
	*ret = f;
	return 0;
}

void capture_filter_free(struct capture_filter *f)
{
	if (f)
		pcap_freecode(&f->program);
	free(f);
}

bool capture_filter_passes(const struct capture_filter *f, const void *data, uint32_t bytes,
			   uint32_t frame_bytes)
{
	const struct pcap_pkthdr header = { .caplen = bytes, .len = frame_bytes };

	return !f || pcap_offline_filter(&f->program, &header, data) != 0;
}
