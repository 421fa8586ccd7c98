// SPDX-License-Identifier: MIT
// Configuration files: any text is read or refused, and what was read can be shown.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/guest/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	struct config cfg;
	struct err e;

	if (!text)
		return 0;
	config_init(&cfg);
	if (config_read_text(&cfg, text, "fuzz", &e) == 0 && config_finish(&cfg, &e) == 0)
		json_decref(config_to_json(&cfg));
	config_fini(&cfg);
	free(text);
	return 0;
}
