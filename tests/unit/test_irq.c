// SPDX-License-Identifier: MIT
// Interrupt lines and messages, seen at KVM's controllers.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/machine.h"
#include "vmm/memmap.h"
#include "vmm/vcpu.h"

#define MSI_ADDR 0xfee00000U
#define VECTOR   0x50

static int setup(void **state)
{
	struct machine *m = test_calloc(1, sizeof(*m));

	*state = m;
	machine_init(m, 1 * MIB);
	return 0;
}

static int teardown(void **state)
{
	struct machine *m = *state;

	machine_fini(m);
	test_free(m);
	return 0;
}

/* Is @vector requested now, at a moment when nothing is under way? */
static bool is_requested(struct machine *m, uint8_t vector)
{
	struct kvm_lapic_state lapic;

	assert_int_equal(kvm_get_lapic(&m->vm->vcpus[0]->kvm, &lapic), 0);
	return lapic.regs[0x200 + vector / 32 * 0x10 + vector % 32 / 8] >> vector % 8 & 1;
}

static void test_lines(void **state)
{
	struct machine *m = *state;
	struct irq *irq;

	MACHINE_OR_SKIP(m);
	irq = &m->vm->irq;
	for (uint32_t gsi = 0; gsi < GSI_MSI_FIRST; gsi++) {
		/* The PIT is on input 2, so there is no line 2 (MADT override). */
		uint32_t pin = gsi == 0 ? 2 : gsi;

		if (gsi == 2)
			continue;
		assert_false(machine_line(m, pin));
		irq_set_line(irq, gsi, true);
		assert_true(machine_line(m, pin));
		for (uint32_t other = 0; other < GSI_MSI_FIRST; other++)
			assert_int_equal(machine_line(m, other), other == pin);
		irq_set_line(irq, gsi, false);
		assert_false(machine_line(m, pin));
	}
	irq_set_line(irq, 2, true);
	for (uint32_t pin = 0; pin < GSI_MSI_FIRST; pin++)
		assert_false(machine_line(m, pin));
}

static void test_message(void **state)
{
	struct machine *m = *state;
	struct irq_msi msi = { 0 };
	struct irq *irq;

	MACHINE_OR_SKIP(m);
	irq = &m->vm->irq;
	assert_int_equal(irq_msi_init(irq, &msi), 0);
	assert_true(msi.gsi >= GSI_MSI_FIRST);
	assert_false(irq_msi_pending(&msi));
	assert_int_equal(irq_msi_unmask(irq, &msi, MSI_ADDR, VECTOR), 0);
	irq_msi_raise(&msi);
	assert_true(machine_wait_vector(m, VECTOR));
	/* Another message for the same source, without masking it. */
	assert_int_equal(irq_msi_unmask(irq, &msi, MSI_ADDR, VECTOR + 1), 0);
	assert_false(is_requested(m, VECTOR + 1));
	irq_msi_raise(&msi);
	assert_true(machine_wait_vector(m, VECTOR + 1));
	irq_msi_fini(irq, &msi);
	irq_msi_fini(irq, &msi);
}

/* What KVM did not take is not remembered as if it had. */
static void test_refused_routes(void **state)
{
	struct machine *m = *state;
	struct irq_msi msi = { 0 };
	uint32_t nr_routes;
	struct irq *irq;
	int vm_fd;

	MACHINE_OR_SKIP(m);
	irq = &m->vm->irq;
	vm_fd = irq->vm_fd;
	nr_routes = irq->routes->nr;
	assert_int_equal(irq_msi_init(irq, &msi), 0);
	irq->vm_fd = -1;
	assert_int_equal(irq_msi_unmask(irq, &msi, MSI_ADDR, VECTOR), -EBADF);
	assert_int_equal(irq->routes->nr, nr_routes);
	irq->vm_fd = vm_fd;
	assert_int_equal(irq_msi_unmask(irq, &msi, MSI_ADDR, VECTOR), 0);
	irq_msi_raise(&msi);
	assert_true(machine_wait_vector(m, VECTOR));

	irq->vm_fd = -1;
	assert_int_equal(irq_msi_unmask(irq, &msi, MSI_ADDR, VECTOR + 1), -EBADF);
	irq->vm_fd = vm_fd;
	assert_int_equal(irq_msi_unmask(irq, &msi, MSI_ADDR, VECTOR + 1), 0);
	irq_msi_raise(&msi);
	assert_true(machine_wait_vector(m, VECTOR + 1));
	irq_msi_fini(irq, &msi);
}

static void test_masked_raises_wait(void **state)
{
	struct machine *m = *state;
	struct irq_msi msi = { 0 }, other = { 0 };
	struct irq *irq;

	MACHINE_OR_SKIP(m);
	irq = &m->vm->irq;
	assert_int_equal(irq_msi_init(irq, &msi), 0);
	assert_int_equal(irq_msi_init(irq, &other), 0);
	assert_int_not_equal(msi.gsi, other.gsi);
	irq_msi_raise(&msi);
	assert_true(irq_msi_pending(&msi));
	/* What is delivered later has not overtaken it. */
	assert_int_equal(irq_msi_unmask(irq, &other, MSI_ADDR, VECTOR), 0);
	irq_msi_raise(&other);
	assert_true(machine_wait_vector(m, VECTOR));
	assert_false(is_requested(m, VECTOR + 1));
	assert_int_equal(irq_msi_unmask(irq, &msi, MSI_ADDR, VECTOR + 1), 0);
	assert_true(machine_wait_vector(m, VECTOR + 1));
	irq_msi_mask(irq, &msi);
	assert_false(irq_msi_pending(&msi)); /* delivered once is enough */
	/* Forgotten, it is not delivered. */
	irq_msi_raise(&msi);
	irq_msi_raise(&msi);
	assert_true(irq_msi_pending(&msi));
	irq_msi_clear(&msi);
	assert_false(irq_msi_pending(&msi));
	assert_int_equal(irq_msi_unmask(irq, &msi, MSI_ADDR, VECTOR + 2), 0);
	assert_false(is_requested(m, VECTOR + 2));
	irq_msi_fini(irq, &msi);
	irq_msi_fini(irq, &other);
}

static void test_gsis_are_given_back(void **state)
{
	struct machine *m = *state;
	struct irq_msi first = { 0 }, second = { 0 };
	uint32_t gsi;
	struct irq *irq;

	MACHINE_OR_SKIP(m);
	irq = &m->vm->irq;
	assert_int_equal(irq_msi_init(irq, &first), 0);
	gsi = first.gsi;
	/* All others are taken. */
	for (size_t i = 0; i < ARRAY_SIZE(irq->used); i++)
		irq->used[i] = UINT64_MAX;
	assert_int_equal(irq_msi_init(irq, &second), -ENOSPC);
	irq_msi_fini(irq, &first);
	assert_int_equal(irq_msi_init(irq, &second), 0);
	assert_int_equal(second.gsi, gsi);
	/* Nothing is left of the one that had it before. */
	assert_false(irq_msi_pending(&second));
	assert_int_equal(irq_msi_unmask(irq, &second, MSI_ADDR, VECTOR), 0);
	irq_msi_raise(&second);
	assert_true(machine_wait_vector(m, VECTOR));
	irq_msi_fini(irq, &second);
}

static void test_fini_closes(void **state)
{
	struct machine *m = *state;
	struct irq_msi msi = { 0 };
	int fd;

	MACHINE_OR_SKIP(m);
	assert_int_equal(irq_msi_init(&m->vm->irq, &msi), 0);
	fd = msi.fd;
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	irq_msi_fini(&m->vm->irq, &msi);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_masked_raises_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gsis_are_given_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fini_closes, setup, teardown),
	};

	return cmocka_run_group_tests_name("irq", tests, NULL, NULL);
}
