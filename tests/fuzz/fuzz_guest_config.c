// SPDX-License-Identifier: MIT
// The CONFIG section: any bytes are a guest or refused, and a guest can be changed and shown.
#include <stdint.h>
#include <stdlib.h>

#include "vmm/guest/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void change(struct guest_spec *spec)
{
	static char disk[] = "disk:disk0=/x", net[] = "net:net0=user,hostfwd=tcp:1-:2";
	static char *texts[] = { disk, net };
	const struct field_list maps = { .items = texts, .nr = 2 };
	const struct guest_changes changes = {
		.maps = &maps,
		.name = "fuzz",
		.new_macs = true,
		.detached = true,
	};
	struct err e;

	(void)!guest_spec_apply(spec, &changes, &e);
	json_decref(config_to_json(&spec->cfg));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest_spec *spec;
	struct err e;

	if (guest_spec_parse(&spec, data, size, &e) < 0)
		return 0;
	change(spec);
	guest_spec_free(spec);
	return 0;
}
