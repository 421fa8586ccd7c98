// SPDX-License-Identifier: MIT
/* The shortest guest: says what it is running on and powers off. */
#include "guest.h"

int guest_main(void)
{
	print("hello vcpus=%u memory_mib=%lu\n", acpi_cpu_count(),
	      align_up(memory_total_bytes(), MIB) / MIB);
	return EXIT_OK;
}
