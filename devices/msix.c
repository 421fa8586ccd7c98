// SPDX-License-Identifier: MIT
// MSI-X: the table and the pending bits, kept in step with KVM's irqfds.
//
// Theory of operation
//
// A vector delivers while MSI-X is enabled and neither the function nor the
// vector is masked, and while the function may write to memory and is not paused;
// then its irqfd is attached with the entry's message. In every other case it is
// detached, and raises gather in its eventfd, which so is the pending bit. Every
// change of the state calls apply_locked(); devices raise without a lock.
#include "devices/msix.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/vstate.h"

#define ENTRY_MASKED 1U

static_assert(MSIX_TABLE_OFFSET + MSIX_MAX_VECTORS * sizeof(struct msix_entry) <= MSIX_PBA_OFFSET,
	      "the table ends before the PBA");
static_assert(MSIX_PBA_OFFSET + MSIX_MAX_VECTORS / 8 <= MSIX_BAR_BYTES, "the PBA fits the BAR");

static void power_on_locked(struct msix *m)
{
	m->state = (struct msix_state){ .nr_entries = m->nr_vectors };
	for (unsigned i = 0; i < m->nr_vectors; i++)
		m->state.table[i].control = ENTRY_MASKED;
	atomic_store_explicit(&m->enabled, false, memory_order_release);
}

/* Attach or detach @vector's irqfd as the state demands. */
static void apply_locked(struct msix *m, unsigned vector)
{
	const struct msix_entry *e = &m->state.table[vector];
	int rc;

	if (m->paused || m->muted || !m->state.enabled || m->state.all_masked ||
	    (e->control & ENTRY_MASKED)) {
		irq_msi_mask(m->irq, &m->vectors[vector]);
		return;
	}
	rc = irq_msi_unmask(m->irq, &m->vectors[vector], e->addr, e->data);
	if (rc < 0)
		log_limited(&m->log, LOG_WARN, "MSI-X vector %u stays masked: KVM says: %s", vector,
			    strerror(-rc));
}

static void apply_all_locked(struct msix *m)
{
	for (unsigned i = 0; i < m->nr_vectors; i++)
		apply_locked(m, i);
}

int msix_init(struct msix *m, struct irq *irq, unsigned nr_vectors)
{
	int rc;

	if (nr_vectors < 1 || nr_vectors > MSIX_MAX_VECTORS)
		return -EINVAL;
	*m = (struct msix){ .irq = irq };
	m->vectors = calloc(nr_vectors, sizeof(*m->vectors));
	if (!m->vectors)
		return -ENOMEM;
	mutex_init(&m->lock);
	for (; m->nr_vectors < nr_vectors; m->nr_vectors++) {
		rc = irq_msi_init(irq, &m->vectors[m->nr_vectors]);
		if (rc < 0) {
			msix_fini(m);
			return rc;
		}
	}
	power_on_locked(m);
	return 0;
}

void msix_fini(struct msix *m)
{
	if (!m->vectors)
		return;
	for (unsigned i = 0; i < m->nr_vectors; i++)
		irq_msi_fini(m->irq, &m->vectors[i]);
	free(m->vectors);
	mutex_fini(&m->lock);
	*m = (struct msix){ 0 };
}

void msix_set_control(struct msix *m, bool enabled, bool all_masked)
{
	MUTEX_SCOPE(&m->lock);
	if (m->state.enabled == enabled && m->state.all_masked == all_masked)
		return;
	m->state.enabled = enabled;
	m->state.all_masked = all_masked;
	/* Vectors first: who sees the new mode can raise at once. */
	apply_all_locked(m);
	atomic_store_explicit(&m->enabled, enabled, memory_order_release);
}

void msix_reset(struct msix *m)
{
	MUTEX_SCOPE(&m->lock);
	power_on_locked(m);
	apply_all_locked(m);
	for (unsigned i = 0; i < m->nr_vectors; i++)
		irq_msi_clear(&m->vectors[i]);
}

/* The pending bits of 32 vectors from @first on. */
static uint32_t pending_word(const struct msix *m, unsigned first)
{
	uint32_t word = 0;

	for (unsigned i = first; i < MIN(first + 32, m->nr_vectors); i++)
		word |= (uint32_t)(!m->vectors[i].wired && irq_msi_pending(&m->vectors[i]))
			<< (i - first);
	return word;
}

static uint32_t read_word_locked(const struct msix *m, uint64_t offset)
{
	const uint64_t table_bytes = m->nr_vectors * sizeof(struct msix_entry);
	uint32_t word;

	if (offset >= MSIX_PBA_OFFSET)
		return pending_word(m, (unsigned)(offset - MSIX_PBA_OFFSET) * 8);
	if (offset >= table_bytes)
		return 0;
	memcpy(&word, (const uint8_t *)m->state.table + offset, sizeof(word));
	return word;
}

static void write_word_locked(struct msix *m, uint64_t offset, uint32_t word)
{
	const uint64_t table_bytes = m->nr_vectors * sizeof(struct msix_entry);

	if (offset >= table_bytes)
		return; /* the PBA is read-only */
	if (offset % sizeof(struct msix_entry) == offsetof(struct msix_entry, control))
		word &= ENTRY_MASKED;
	memcpy((uint8_t *)m->state.table + offset, &word, sizeof(word));
}

/* 6.8.2: whole, aligned words of 4 or 8 bytes; anything else is undefined, here: 0, ignored. */
static bool is_good_access(uint64_t offset, unsigned size)
{
	return (size == 4 || size == 8) && offset % size == 0;
}

static uint64_t msix_read(void *opaque, uint64_t offset, unsigned size)
{
	struct msix *m = opaque;
	uint64_t value = 0;

	if (!is_good_access(offset, size))
		return 0;
	MUTEX_SCOPE(&m->lock);
	for (unsigned i = 0; i < size; i += 4)
		value |= (uint64_t)read_word_locked(m, offset + i) << (8 * i);
	return value;
}

static void msix_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct msix *m = opaque;
	unsigned vector = (unsigned)(offset / sizeof(struct msix_entry));

	if (!is_good_access(offset, size))
		return;
	MUTEX_SCOPE(&m->lock);
	for (unsigned i = 0; i < size; i += 4)
		write_word_locked(m, offset + i, (uint32_t)(value >> (8 * i)));
	if (vector < m->nr_vectors)
		apply_locked(m, vector);
}

const struct bus_ops msix_bar_ops = { .read = msix_read, .write = msix_write };

/* --- pause, save, load -------------------------------------------------------- */

void msix_set_muted(struct msix *m, bool muted)
{
	if (!m->vectors)
		return;
	MUTEX_SCOPE(&m->lock);
	if (m->muted == muted)
		return;
	m->muted = muted;
	apply_all_locked(m);
}

static void set_paused(struct msix *m, bool paused)
{
	if (!m->vectors)
		return;
	MUTEX_SCOPE(&m->lock);
	m->paused = paused;
	apply_all_locked(m);
}

void msix_pause(struct msix *m)
{
	set_paused(m, true);
}

void msix_resume(struct msix *m)
{
	set_paused(m, false);
}

static const struct vstate_field entry_fields[] = {
	VS_U64(1, struct msix_entry, addr),
	VS_U32(2, struct msix_entry, data),
	VS_U32_MAX(3, struct msix_entry, control, ENTRY_MASKED),
};

static const struct vstate_table entry_vstate = {
	VSTATE_TABLE("msix-entry", struct msix_entry, entry_fields),
};

static const struct vstate_field msix_fields[] = {
	VS_STRUCT_ARRAY(1, struct msix_state, table, nr_entries, &entry_vstate),
	VS_U64_ARRAY(2, struct msix_state, pending),
};

const struct vstate_table msix_vstate = {
	VSTATE_TABLE("msix", struct msix_state, msix_fields),
};

void msix_save(struct msix *m, struct vstate_writer *w)
{
	if (!m->vectors)
		return;
	MUTEX_SCOPE(&m->lock);
	for (unsigned i = 0; i < ARRAY_SIZE(m->state.pending); i++)
		m->state.pending[i] =
			pending_word(m, 64 * i) | (uint64_t)pending_word(m, 64 * i + 32) << 32;
	vstate_put(w, &msix_vstate, 0, &m->state);
}

int msix_load(struct msix *m, struct vstate_reader *r, struct err *e)
{
	int rc;

	if (!m->vectors)
		return 0;
	MUTEX_SCOPE(&m->lock);
	rc = vstate_get(r, &msix_vstate, 0, &m->state, e);
	if (rc < 0)
		return rc;
	if (m->state.nr_entries != m->nr_vectors)
		return err_set(e, -EINVAL, "msix: has %u vectors, but %u here", m->state.nr_entries,
			       m->nr_vectors);
	m->paused = true;
	for (unsigned i = 0; i < m->nr_vectors; i++) {
		if (m->state.pending[i / 64] >> (i % 64) & 1)
			irq_msi_raise(&m->vectors[i]);
	}
	return 0;
}
