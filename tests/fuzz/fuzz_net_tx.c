// SPDX-License-Identifier: MIT
// Fuzz: frames that the network device is asked to send.
#include "tests/fuzz/net_queue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };
	struct net_rig *rig = fuzz_device(fuzz_take(&in, 8));
	struct virtio_net_hdr_v1 hdr;

	rig->be->nr_room = (unsigned)fuzz_take(&in, 1) % FUZZ_DESCS;
	rig->be->sent_bytes = 0;
	fuzz_queue(rig, 1, &in);
	if (rig->be->sent_bytes) {
		fuzz_require(rig->be->sent_bytes >= NETDEV_HDR_BYTES + NET_FRAME_MIN);
		fuzz_require(rig->be->sent_bytes <= NETDEV_HDR_BYTES + NETDEV_FRAME_MAX);
		memcpy(&hdr, rig->be->sent, sizeof(hdr));
		fuzz_require(net_offload_header_ok(rig->net->dev.features, &hdr));
	}
	return 0;
}
