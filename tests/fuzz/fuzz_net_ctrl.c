// SPDX-License-Identifier: MIT
// Fuzz: commands of the network device's control queue.
#include "tests/fuzz/net_queue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };
	struct net_rig *rig = fuzz_device(fuzz_take(&in, 8) | NET_BIT(VIRTIO_NET_F_CTRL_VQ));
	bool mq = virtio_has(&rig->net->dev, VIRTIO_NET_F_MQ);

	fuzz_queue(rig, mq ? NET_RIG_QUEUES - 1 : 2, &in);
	net_rig_settle(rig, 1);
	fuzz_require(rig->net->nr_active >= 1 && rig->net->nr_active <= NET_RIG_PAIRS);
	fuzz_require(!mac_is_multicast(rig->net->state.filter.mac));
	/* Only what was negotiated can have been switched on. */
	fuzz_require(!(rig->net->state.guest_offloads & ~rig->net->dev.features));
	return 0;
}
