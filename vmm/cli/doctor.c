// SPDX-License-Identifier: MIT
// `ferry doctor`: the table of findings.
#include "vmm/cli/doctor.h"

#include <jansson.h>
#include <stdio.h>

#include "util/io.h"
#include "vmm/cli/cli.h"
#include "vmm/kvm.h"

static const char *const verdict_names[] = {
	[DOCTOR_OK] = "ok",
	[DOCTOR_MISSING_OPTIONAL] = "limited",
	[DOCTOR_MISSING] = "missing",
};

/* One line of the result; texts belong to the tables. */
struct row {
	const char *area, *name, *use;
	struct doctor_finding finding;
};

typedef void (*row_fn)(void *opaque, const struct row *row);

/* Find out everything, a row at a time. Returns the worst verdict. */
static enum doctor_verdict for_each_row(row_fn fn, void *opaque)
{
	enum doctor_verdict worst = DOCTOR_OK;
	_cleanup_close_ int kvm_fd = -1;

	for (unsigned i = 0; i < doctor_nr_checks; i++) {
		const struct doctor_check *c = &doctor_checks[i];
		struct row row = { .area = c->area, .name = c->name, .use = c->use };

		c->run(&row.finding);
		worst = MAX(worst, row.finding.verdict);
		fn(opaque, &row);
	}
	kvm_fd = kvm_open(NULL);
	for (unsigned i = 0; kvm_fd >= 0 && i < kvm_nr_caps; i++) {
		const struct kvm_cap_info *cap = &kvm_caps[i];
		struct row row = { .area = "kvm", .name = cap->name, .use = cap->use };
		int value = kvm_check_cap(kvm_fd, cap->cap);

		(void)snprintf(row.finding.detail, sizeof(row.finding.detail), "%d", value);
		if (value <= 0) {
			row.finding.verdict =
				cap->required ? DOCTOR_MISSING : DOCTOR_MISSING_OPTIONAL;
			(void)snprintf(row.finding.remedy, sizeof(row.finding.remedy),
				       "run a newer kernel, or one whose KVM has KVM_CAP_%s",
				       cap->name);
		}
		worst = MAX(worst, row.finding.verdict);
		fn(opaque, &row);
	}
	return worst;
}

static void add_json(void *opaque, const struct row *row)
{
	const struct doctor_finding *f = &row->finding;

	(void)json_array_append_new(
		opaque, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?}", "area", row->area, "name",
				  row->name, "use", row->use, "verdict", verdict_names[f->verdict],
				  "detail", f->detail, "remedy", *f->remedy ? f->remedy : NULL));
}

static void print_row(void *opaque, const struct row *row)
{
	const struct doctor_finding *f = &row->finding;

	(void)opaque;
	(void)printf("%-8s %-7s %-24s %-28s %s\n", verdict_names[f->verdict], row->area, row->name,
		     row->use, f->detail);
	if (*f->remedy)
		(void)printf("%-8s %-7s   to mend it: %s\n", "", "", f->remedy);
}

int doctor_print(bool json)
{
	enum doctor_verdict worst;
	json_t *array;

	if (!json) {
		(void)printf("%-8s %-7s %-24s %-28s %s\n", "VERDICT", "AREA", "NAME", "USED FOR",
			     "FOUND");
		worst = for_each_row(print_row, NULL);
		(void)printf("\n%s\n", worst == DOCTOR_MISSING ? "Guests cannot run here."
							       : "Guests can run here.");
	} else {
		array = json_array();
		worst = for_each_row(add_json, array);
		if (cli_print_json(json_pack("{s:b, s:o}", "ok", worst != DOCTOR_MISSING, "checks",
					     array)) != CLI_OK)
			return CLI_FAILED;
	}
	return worst == DOCTOR_MISSING ? CLI_FAILED : CLI_OK;
}
