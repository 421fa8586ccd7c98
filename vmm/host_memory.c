// SPDX-License-Identifier: MIT
// What memory the host has left for a guest.
#include "vmm/host_memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t host_available_memory(void)
{
	static const char key[] = "MemAvailable:";
	FILE *info = fopen("/proc/meminfo", "re");
	uint64_t kib = 0;
	char line[128];

	if (!info)
		return 0;
	while (fgets(line, sizeof(line), info)) {
		if (!strncmp(line, key, strlen(key)))
			kib = strtoull(line + strlen(key), NULL, 10);
	}
	(void)fclose(info);
	return kib * KIB;
}

uint64_t host_resident_memory(pid_t pid)
{
	char path[32], line[128] = "", *resident;
	FILE *statm;

	(void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	statm = fopen(path, "re");
	if (!statm)
		return 0;
	if (!fgets(line, sizeof(line), statm))
		line[0] = '\0';
	(void)fclose(statm);
	resident = strchr(line, ' '); /* the second number, in pages */
	return resident ? strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

int host_check_memory(uint64_t bytes, bool hugepages, struct err *e)
{
	uint64_t available = host_available_memory();

	if (hugepages || !available || bytes <= available)
		return 0;
	return err_set(e, -ENOMEM,
		       "memory: the guest may use %" PRIu64 " MiB, but the host has %" PRIu64
		       " MiB left",
		       bytes >> 20, available >> 20);
}

uint64_t host_resident_bytes(int fd)
{
	char text[128], *rest;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* proc(5): the size of all mappings, then what is resident. */
	(void)strtoull(text, &rest, 10);
	return strtoull(rest, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}
