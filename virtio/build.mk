# virtio: queues, the PCI transport, and the device classes.
FERRY_SRCS += \
	virtio/balloon.c \
	virtio/blk.c \
	virtio/blk_merge.c \
	virtio/blk_queue.c \
	virtio/blk_request.c \
	virtio/blk_state.c \
	virtio/block/engine_threads.c \
	virtio/block/engine_uring.c \
	virtio/block/file.c \
	virtio/block/image.c \
	virtio/block/overlay.c \
	virtio/block/overlay_state.c \
	virtio/console.c \
	virtio/net.c \
	virtio/net_announce.c \
	virtio/net_arrive.c \
	virtio/net_capture.c \
	virtio/net_ctrl.c \
	virtio/net_filter.c \
	virtio/net_forward.c \
	virtio/net_limit.c \
	virtio/net_link.c \
	virtio/net_offload.c \
	virtio/net_rx.c \
	virtio/net_state.c \
	virtio/net_tx.c \
	virtio/pci.c \
	virtio/pci_regs.c \
	virtio/pci_state.c \
	virtio/queue.c \
	virtio/rng.c \
	virtio/virtio.c
