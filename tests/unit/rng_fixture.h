/* SPDX-License-Identifier: MIT */
/* A fixture: a machine with virtio-rng, the simplest of the devices, and its driver. */
#ifndef FERRY_TESTS_UNIT_RNG_FIXTURE_H
#define FERRY_TESTS_UNIT_RNG_FIXTURE_H

#include "tests/unit/driver.h"

#define RNG_SLOT 1

struct rng_fixture {
	struct machine m; /* without a VM where there is no /dev/kvm */
	struct driver d;
};

/* For cmocka_unit_test_setup_teardown(); *state is a struct rng_fixture. */
int rng_fixture_setup(void **state);
int rng_fixture_teardown(void **state);

#endif
