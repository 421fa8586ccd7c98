/* SPDX-License-Identifier: MIT */
/* virtio-console: one port, on the guest's console (VIRTIO 1.2, 5.3). */
#ifndef FERRY_VIRTIO_CONSOLE_H
#define FERRY_VIRTIO_CONSOLE_H

#include "util/compiler.h"

struct console;
struct loop;
struct pci_host;
struct vm;

/*
 * Put a console device called @id on @pci that prints to @con and takes its
 * input; it becomes the one device that does. Worked by @loop (not the main
 * loop). @con and @loop outlive the device, which the machine owns. 0 or
 * -errno. Main thread.
 */
__must_check int vcon_new(struct vm *vm, struct pci_host *pci, const char *id, struct loop *loop,
			  struct console *con);

#endif
