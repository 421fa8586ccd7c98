// SPDX-License-Identifier: MIT
// Fuzz: buffers that a driver gives the network device to receive into.
#include "tests/fuzz/net_queue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };
	struct net_rig *rig = fuzz_device(fuzz_take(&in, 8));
	struct net_rig_backend *be = rig->be;

	be->nr_waiting = (unsigned)fuzz_take(&in, 1) % FUZZ_DESCS;
	be->waiting_bytes = MIN(fuzz_take(&in, 2), (uint64_t)NET_RIG_FRAME);
	memset(be->waiting, 0x42, be->waiting_bytes);
	fuzz_queue(rig, 0, &in);
	fuzz_require(be->events[0] == 0); /* the queue is stopped */
	return 0;
}
