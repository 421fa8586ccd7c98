/* SPDX-License-Identifier: MIT */
/* What a guest made of a device can always be saved, and loaded again. */
#ifndef FERRY_TESTS_FUZZ_ROUND_TRIP_H
#define FERRY_TESTS_FUZZ_ROUND_TRIP_H

#include <stdio.h>

#include "migration/vstate.h"
#include "tests/fuzz/bare_vm.h"
#include "vmm/device.h"

static inline void load_back(struct device *dev, const void *data, size_t bytes)
{
	struct vstate_reader *r = NULL;
	struct err e = { 0 };

	if (vstate_reader_new(&r, data, bytes, &e) < 0 || dev->ops->load(dev, r, &e) < 0 ||
	    vstate_reader_finish(r, &e) < 0) {
		(void)fprintf(stderr, "%s: its own state is refused: %s\n", dev->id, e.text);
		abort();
	}
	vstate_reader_free(r);
}

/* As a guest that is saved and restored at once. */
static inline void round_trip(struct device *dev)
{
	const struct device_ops *ops = dev->ops;
	struct vstate_writer *w = NULL;
	const void *data = NULL;
	size_t bytes = 0;

	if (!ops->save || !ops->load)
		return;
	if (ops->pause)
		ops->pause(dev);
	fuzz_require(vstate_writer_new(&w) == 0);
	ops->save(dev, w);
	fuzz_require(vstate_writer_finish(w, &data, &bytes) == 0);
	if (ops->reset)
		ops->reset(dev);
	if (ops->pause)
		ops->pause(dev);
	load_back(dev, data, bytes);
	if (ops->resume)
		ops->resume(dev);
	vstate_writer_free(w);
}

#endif
