// SPDX-License-Identifier: MIT
/*
 * Requests in flight, every read verified.
 *
 * Theory of operation: a table says for each sector what it must hold. A block has one request in
 * flight at most, so the table changes when a write completes, and a read is compared with what
 * the table says then. After a reset (reset.c) a block that was being written may hold the old or
 * the new generation, sector by sector; it is read once to see which.
 */
#include "work.h"

#define STALL_NS      (30 * NS_PER_S)
#define COMPLAINTS    8 /* printed; all are counted */
#define DEFAULT_SPAN  (16 * MIB)
#define DEFAULT_OPS   10000
#define WAIT_SLICE_NS NS_PER_S

/* The place of the value of @key in the list, 0 if it is absent; any other ends the guest. */
static unsigned int work_choice(const char *key, const char *const choices[], unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (param_is(key, choices[i]))
			return i;
	}
	if (param_get(key))
		power_usage(key);
	return 0;
}

#define WORK_CHOICE(key, ...)                                                                      \
	work_choice(key, (const char *const[]){ __VA_ARGS__ },                                     \
		    ARRAY_SIZE(((const char *const[]){ __VA_ARGS__ })))

static void work_read_choices(struct work_params *p)
{
	static const unsigned int read_pct[] = { 50, 100, 0 };

	p->read_pct = read_pct[WORK_CHOICE("rw", "mix", "read", "write")];
	p->sequential = WORK_CHOICE("mode", "rand", "seq");
	p->queue_reset = WORK_CHOICE("reset", "device", "queue");
	p->expect_ioerr =
		WORK_CHOICE("expect", "ok", "ioerr", "ro", "edge", "growth", "needs_reset") == 1;
}

static void work_read_params(struct work_params *p, const struct blk *blk)
{
	uint64_t bs = param_number("bs", 4096), span = param_number("span", DEFAULT_SPAN);
	uint64_t capacity = blk->config.capacity;

	p->bs_bytes = (uint32_t)bs;
	p->bs_sectors = (uint32_t)(bs / SECTOR_BYTES);
	p->start = param_number("start", 0);
	if (!p->bs_sectors || bs % SECTOR_BYTES || bs > MIB || p->start >= capacity)
		power_usage("bs or start");
	p->sectors = capacity - p->start;
	if (span && span / SECTOR_BYTES < p->sectors)
		p->sectors = span / SECTOR_BYTES;
	p->sectors -= p->sectors % p->bs_sectors;
	p->depth = (unsigned int)param_number("depth", 1);
	p->batch = (unsigned int)param_number("batch", 1);
	if (!p->depth || p->batch > p->depth || p->depth * 2ull > p->sectors / p->bs_sectors)
		power_usage("depth, batch or span");
	p->time_ns = param_number("time", 0) * NS_PER_S;
	p->ops = param_number("ops", p->time_ns ? 0 : DEFAULT_OPS);
	work_read_choices(p);
	p->resets = param_number("resets", 0);
	p->flush = param_number("flush", 0);
	p->discard = param_number("discard", 0);
	p->zeroes = param_number("zeroes", 0);
	p->seed = (uint32_t)param_number("seed", 1);
}

void work_init(struct work *work, struct blk *blk)
{
	*work = (struct work){ .blk = blk };
	work_read_params(&work->p, blk);
	work->random = work->p.seed;
	work->generation = 1;
	work->slots = memory_alloc(work->p.depth * sizeof(*work->slots));
	/* Whole pages, so that the monitor can use them for direct I/O. */
	for (unsigned int i = 0; i < work->p.depth; i++)
		work->slots[i].data =
			memory_alloc_pages(align_up(work->p.bs_bytes, PAGE_BYTES) / PAGE_BYTES);
	work->expected = memory_alloc(work->p.sectors * sizeof(*work->expected));
	work->busy = memory_alloc(work->p.sectors / work->p.bs_sectors);
}

unsigned int work_permille(const struct work *work)
{
	const struct work_params *p = &work->p;
	uint64_t by_time = 0, by_ops = 0;

	if (p->time_ns)
		by_time = (clock_ns() - work->stats.start_ns) * 1000 / p->time_ns;
	if (p->ops)
		by_ops = work->stats.submitted * 1000 / p->ops;
	return (unsigned int)(by_time > by_ops ? by_time : by_ops);
}

bool work_finished(const struct work *work)
{
	return work->stopped || work_permille(work) >= 1000;
}

static bool work_due(uint64_t one_in, uint64_t n)
{
	return one_in && n % one_in == one_in - 1;
}

static enum blk_type work_pick_type(struct work *work)
{
	const struct work_params *p = &work->p;
	uint64_t n = work->stats.submitted;

	if (work_due(p->flush, n))
		return BLK_FLUSH;
	if (work_due(p->discard, n))
		return BLK_DISCARD;
	if (work_due(p->zeroes, n))
		return BLK_WRITE_ZEROES;
	return random_below(&work->random, 100) < p->read_pct ? BLK_IN : BLK_OUT;
}

/* A block without a request in flight: there are twice as many blocks as slots. */
static uint64_t work_pick_block(struct work *work)
{
	uint64_t blocks = work->p.sectors / work->p.bs_sectors;
	uint64_t block =
		work->p.sequential ? work->next_block : random_below(&work->random, blocks);

	while (work->busy[block])
		block = (block + 1) % blocks;
	work->next_block = (block + 1) % blocks;
	return block;
}

static void work_prepare(struct work *work, struct blk_req *req)
{
	enum blk_type type = work_pick_type(work);
	uint64_t block = work_pick_block(work), lba = work->p.start + block * work->p.bs_sectors;
	struct sector *data = req->data;

	blk_prepare(req, type, lba, work->p.bs_sectors);
	if (type == BLK_OUT) {
		req->generation = ++work->generation;
		for (uint32_t i = 0; i < work->p.bs_sectors; i++)
			sector_make(&data[i], lba + i, req->generation, work->p.seed);
	} else if (type == BLK_WRITE_ZEROES) {
		req->generation = SECTOR_ZERO;
		req->range.unmap =
			work->blk->config.write_zeroes_may_unmap && random_below(&work->random, 2);
	}
	if (type != BLK_FLUSH)
		work->busy[block] = 1;
}

static void work_submit_all(struct work *work)
{
	if (work->p.depth - work->in_flight < work->p.batch)
		return;
	for (unsigned int i = 0; i < work->p.depth && !work_finished(work); i++) {
		struct blk_req *req = &work->slots[i];

		if (req->in_flight)
			continue;
		work_prepare(work, req);
		if (!blk_submit(work->blk, req, i % work->blk->nr_queues))
			panic("blk: the queue has no room for depth=%u", work->p.depth);
		work->stats.submitted++;
		work->in_flight++;
	}
}

void work_verify(struct work *work, const struct sector *data, uint64_t index, uint32_t sectors)
{
	for (uint32_t i = 0; i < sectors; i++) {
		uint32_t expected = work->expected[index + i];
		uint64_t lba = work->p.start + index + i;

		if (expected == SECTOR_UNKNOWN ||
		    sector_identify(&data[i], lba, work->p.seed) == expected)
			continue;
		if (work->stats.corrupt++ < COMPLAINTS)
			sector_complain(&data[i], lba, expected, work->p.seed);
	}
}

static void work_complete(struct work *work, struct blk_req *req)
{
	uint32_t sectors = work->p.bs_sectors, now_holds = req->generation;
	uint64_t index = req->range.sector - work->p.start;

	work->in_flight--;
	stats_count(&work->stats, req);
	if (req->header.type == BLK_FLUSH)
		return;
	work->busy[index / sectors] = 0;
	if (req->status != BLK_OK)
		now_holds = SECTOR_UNKNOWN;
	if (req->header.type != BLK_IN) {
		for (uint32_t i = 0; i < sectors; i++)
			work->expected[index + i] = now_holds;
	} else if (req->status == BLK_OK) {
		work_verify(work, req->data, index, sectors);
	}
}

static bool work_reap_all(struct work *work)
{
	struct blk_req *req;
	bool any = false;

	while ((req = blk_reap(work->blk))) {
		work_complete(work, req);
		any = true;
	}
	return any;
}

/* The resets are spread evenly over the run. */
static bool work_reset_due(const struct work *work)
{
	uint64_t done = work->stats.resets, wanted = work->p.resets;

	return done < wanted && work_permille(work) * (wanted + 1) >= (done + 1) * 1000;
}

static void work_look_at_button(struct work *work)
{
	if (work->button_vector && irq_count(work->button_vector) && power_button_pressed())
		work->stopped = true;
}

static void work_loop(struct work *work)
{
	uint64_t progress_ns = clock_ns();

	while (work->in_flight || !work_finished(work)) {
		work_look_at_button(work);
		work_submit_all(work);
		blk_kick(work->blk);
		if (work_reset_due(work)) {
			work_reset(work);
			continue; /* nothing is in flight */
		}
		if (work_reap_all(work)) {
			progress_ns = clock_ns();
			continue;
		}
		if (clock_ns() - progress_ns > STALL_NS)
			panic("blk: STALLED: %u requests in flight%s", work->in_flight,
			      virtio_needs_reset(&work->blk->dev) ? ", device needs reset" : "");
		blk_wait(work->blk, clock_ns() + WAIT_SLICE_NS);
	}
}

static void work_check_features(const struct work *work)
{
	const struct virtio_dev *dev = &work->blk->dev;

	if ((work->p.flush && !virtio_has(dev, BLK_F_FLUSH)) ||
	    (work->p.discard && !virtio_has(dev, BLK_F_DISCARD)) ||
	    (work->p.zeroes && !virtio_has(dev, BLK_F_WRITE_ZEROES)) ||
	    (work->p.queue_reset && !virtio_has(dev, VIRTIO_F_RING_RESET)))
		panic("blk: the device does not offer what is to be tested");
}

int work_run(struct work *work)
{
	work_check_features(work);
	work->button_vector = power_button_enable();
	if (!work->p.expect_ioerr && param_number("fill", 1))
		pattern_fill(work, work->generation);
	work->stats.start_ns = clock_ns();
	work_loop(work);
	stats_report(work, "verify");
	if (!work->p.expect_ioerr)
		pattern_verify(work);
	if (work->stats.corrupt)
		return EXIT_CORRUPT;
	return (work->stats.errors != 0) == work->p.expect_ioerr ? EXIT_OK : EXIT_FAILED;
}
