/* SPDX-License-Identifier: MIT */
/* virtio-rng: random numbers of the host for the guest (VIRTIO 1.2, 5.4). */
#ifndef FERRY_VIRTIO_RNG_H
#define FERRY_VIRTIO_RNG_H

#include "util/compiler.h"

struct loop;
struct pci_host;
struct vm;

/* A guest gets at most this many bytes each RNG_WINDOW_NS, and in one request. */
#define RNG_WINDOW_BYTES 65536U
#define RNG_WINDOW_NS    10000000ULL

/*
 * Put an entropy device called @id on @pci, worked by @loop (not the main
 * loop; it outlives the device). The machine owns it. 0 or -errno. Main thread.
 */
__must_check int rng_new(struct vm *vm, struct pci_host *pci, const char *id, struct loop *loop);

#endif
