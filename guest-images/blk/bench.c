// SPDX-License-Identifier: MIT
/* Requests without checks: the least that a guest can do, so that the monitor is measured. */
#include "work.h"

struct bench {
	struct work *work;
	uint64_t blocks;
	uint64_t end_tsc;
	uint64_t end_ops;
};

static void bench_submit(struct bench *bench, struct blk_req *req, unsigned int queue)
{
	struct work *work = bench->work;
	uint64_t block = work->p.sequential ? work->next_block++
					    : random_below(&work->random, bench->blocks);

	if (work->next_block == bench->blocks)
		work->next_block = 0;
	req->header.sector = work->p.start + block * work->p.bs_sectors;
	if (!blk_submit(work->blk, req, queue))
		panic("blk: the queue has no room for depth=%u", work->p.depth);
	work->stats.submitted++;
	work->in_flight++;
}

static bool bench_goes_on(const struct bench *bench)
{
	return rdtsc() < bench->end_tsc && bench->work->stats.submitted < bench->end_ops;
}

static void bench_loop(struct bench *bench)
{
	struct work *work = bench->work;
	struct blk_req *req;

	while (work->in_flight) {
		req = blk_reap(work->blk);
		if (!req) {
			blk_kick(work->blk);
			blk_wait(work->blk, clock_ns() + NS_PER_S);
			continue;
		}
		work->in_flight--;
		stats_count(&work->stats, req);
		if (bench_goes_on(bench))
			bench_submit(bench, req, req->queue);
	}
}

int bench_run(struct work *work)
{
	struct bench bench = { .work = work, .blocks = work->p.sectors / work->p.bs_sectors };
	enum blk_type type = work->p.read_pct ? BLK_IN : BLK_OUT;

	bench.end_ops = work->p.ops ? work->p.ops : ~0ull;
	bench.end_tsc = work->p.time_ns
				? rdtsc() + work->p.time_ns / 1000 * (clock_tsc_hz() / 1000) / 1000
				: ~0ull;
	work->stats.start_ns = clock_ns();
	for (unsigned int i = 0; i < work->p.depth; i++) {
		struct blk_req *req = &work->slots[i];

		blk_prepare(req, type, 0, work->p.bs_sectors);
		memset(req->data, (int)(i + 1), req->bytes);
		bench_submit(&bench, req, i % work->blk->nr_queues);
	}
	blk_kick(work->blk);
	bench_loop(&bench);
	stats_report(work, "bench");
	return work->stats.errors ? EXIT_FAILED : EXIT_OK;
}
