// SPDX-License-Identifier: MIT
// What guests do: asked of each, and compared with what it was before.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "vmm/cli/top.h"
#include "vmm/control/survey.h"
#include "vmm/guest/runtime.h"

#define ANSWER_TIMEOUT_MS 2000

static uint64_t get(const json_t *obj, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(obj, key));
}

static void read_disks(struct top_guest *g, const json_t *disks)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(disks, i, disk)
	{
		g->disk_rd += get(disk, "read_bytes");
		g->disk_wr += get(disk, "write_bytes");
		g->disk_ops += get(disk, "reads") + get(disk, "writes") + get(disk, "flushes");
	}
}

static void read_nics(struct top_guest *g, const json_t *nics)
{
	const json_t *nic;
	size_t i;

	json_array_foreach(nics, i, nic)
	{
		g->net_rx += get(json_object_get(nic, "rx"), "bytes");
		g->net_tx += get(json_object_get(nic, "tx"), "bytes");
	}
}

static void read_info(struct top_guest *g, const json_t *info)
{
	const char *status = json_string_value(json_object_get(info, "status"));

	(void)snprintf(g->status, sizeof(g->status), "%s", status ? status : "-");
	g->pid = json_integer_value(json_object_get(info, "pid"));
	g->cpu_s = json_real_value(json_object_get(info, "cpu_s"));
	g->memory = (double)get(info, "memory");
	g->resident = (double)get(info, "resident_bytes");
	g->vcpus = (double)get(info, "vcpus");
	read_disks(g, json_object_get(info, "disks"));
	read_nics(g, json_object_get(info, "nics"));
}

/* What is asked of each guest; pages are counted only while it is moved. */
enum { ASK_INFO, ASK_MIGRATION, NR_QUESTIONS };
static const char *const questions[NR_QUESTIONS] = {
	[ASK_INFO] = "ferry-info",
	[ASK_MIGRATION] = "query-migrate",
};

/* False: it has just ended. */
static bool read_answer(struct top_guest *g, const char *name, const struct survey_answer *a)
{
	const json_t *info = a->returned[ASK_INFO], *migration = a->returned[ASK_MIGRATION];

	*g = (struct top_guest){ .at_ns = a->at_ns };
	(void)snprintf(g->name, sizeof(g->name), "%s", name);
	(void)snprintf(g->status, sizeof(g->status), "no answer");
	if (info)
		read_info(g, info);
	g->dirty_s = (double)get(json_object_get(migration, "ram"), "dirty-pages-rate");
	return a->error != -ENOENT && a->error != -EPIPE;
}

static double rate(uint64_t now, uint64_t before, double seconds)
{
	return now > before ? (double)(now - before) / seconds : 0;
}

static void compare(struct top_guest *g, const struct top_sample *before)
{
	const struct top_guest *old = NULL;
	double s;

	for (size_t i = 0; i < before->nr; i++) {
		if (!strcmp(before->guests[i].name, g->name) && before->guests[i].pid == g->pid)
			old = &before->guests[i];
	}
	if (!old || !g->pid || g->at_ns <= old->at_ns)
		return;
	s = (double)(g->at_ns - old->at_ns) / NSEC_PER_SEC;
	g->cpu_percent = g->cpu_s > old->cpu_s ? (g->cpu_s - old->cpu_s) / s * 100 : 0;
	g->net_rx_s = rate(g->net_rx, old->net_rx, s);
	g->net_tx_s = rate(g->net_tx, old->net_tx, s);
	g->disk_rd_s = rate(g->disk_rd, old->disk_rd, s);
	g->disk_wr_s = rate(g->disk_wr, old->disk_wr, s);
	g->iops = rate(g->disk_ops, old->disk_ops, s);
}

static int ask_all(struct top_sample *sample, char *const *names, size_t nr,
		   const struct top_sample *before)
{
	struct survey_answer *answers = calloc(nr + 1, sizeof(*answers));
	int rc = -ENOMEM;

	sample->guests = calloc(nr + 1, sizeof(*sample->guests));
	if (sample->guests && answers)
		rc = survey_ask(names, nr, questions, NR_QUESTIONS, ANSWER_TIMEOUT_MS, answers);
	for (size_t i = 0; rc == 0 && i < nr; i++) {
		if (!read_answer(&sample->guests[sample->nr], names[i], &answers[i]))
			continue;
		compare(&sample->guests[sample->nr], before);
		sample->nr++;
	}
	if (answers)
		survey_forget(answers, nr);
	free(answers);
	return rc;
}

int top_take(struct top_sample *ret, const struct top_sample *before, struct err *e)
{
	struct top_sample sample = { 0 };
	char **names;
	int nr = runtime_names(&names, e), rc;

	if (nr < 0)
		return nr;
	rc = ask_all(&sample, names, (size_t)nr, before);
	runtime_free_names(names, nr);
	if (rc < 0) {
		top_free(&sample);
		return err_set(e, rc, "out of memory");
	}
	*ret = sample;
	return 0;
}

void top_free(struct top_sample *sample)
{
	free(sample->guests);
	*sample = (struct top_sample){ 0 };
}
