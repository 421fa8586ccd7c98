# virtio: queues, the PCI transport, and the device classes.
FERRY_SRCS += \
	virtio/queue.c
