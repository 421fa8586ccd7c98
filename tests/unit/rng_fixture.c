// SPDX-License-Identifier: MIT
// A fixture: a machine with virtio-rng and its driver.
#include "tests/unit/rng_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "virtio/rng.h"

int rng_fixture_setup(void **state)
{
	struct rng_fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	machine_init(&f->m, 2 * MIB);
	if (!f->m.vm)
		return 0;
	assert_int_equal(rng_new(f->m.vm, f->m.pci, "rng0", f->m.io_loop), 0);
	driver_init(&f->d, &f->m, RNG_SLOT);
	return 0;
}

int rng_fixture_teardown(void **state)
{
	struct rng_fixture *f = *state;

	machine_fini(&f->m);
	test_free(f);
	return 0;
}
