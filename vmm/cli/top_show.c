// SPDX-License-Identifier: MIT
// The table of `ferry top`: its columns, how they are sorted, lines and JSON.
#include <string.h>

#include "vmm/cli/top.h"

#define COL(member) offsetof(struct top_guest, member)

const struct top_column top_columns[] = {
	{ "NAME", "name", 'n', -16, COL(name), .is_text = true },
	{ "STATE", "state", 's', -9, COL(status), .is_text = true },
	{ "CPU(s)", "cpu_s", 'u', 8, COL(cpu_s), .unit = TOP_TENTHS },
	{ "CPU%", "cpu_percent", 'c', 6, COL(cpu_percent), .unit = TOP_TENTHS },
	{ "VCPUS", "vcpus", 'v', 5, COL(vcpus), .unit = TOP_PLAIN },
	{ "MEM", "memory", 'm', 6, COL(memory), .unit = TOP_BYTES },
	{ "RES", "resident", 'e', 6, COL(resident), .unit = TOP_BYTES },
	{ "RX/s", "net_rx_s", 'r', 6, COL(net_rx_s), .unit = TOP_BYTES },
	{ "TX/s", "net_tx_s", 't', 6, COL(net_tx_s), .unit = TOP_BYTES },
	{ "RD/s", "disk_rd_s", 'd', 6, COL(disk_rd_s), .unit = TOP_BYTES },
	{ "WR/s", "disk_wr_s", 'w', 6, COL(disk_wr_s), .unit = TOP_BYTES },
	{ "IOPS", "iops", 'i', 7, COL(iops), .unit = TOP_PLAIN },
	{ "DIRTY/s", "dirty_pages_s", 'y', 7, COL(dirty_s), .unit = TOP_PLAIN },
};
const unsigned top_nr_columns = ARRAY_SIZE(top_columns);

static const char *text_at(const struct top_guest *g, const struct top_column *col)
{
	return (const char *)g + col->offset;
}

static double number_at(const struct top_guest *g, const struct top_column *col)
{
	return *(const double *)(const void *)((const char *)g + col->offset);
}

int top_column_by_key(char key)
{
	for (unsigned i = 0; i < top_nr_columns; i++) {
		if (top_columns[i].key == key)
			return (int)i;
	}
	return -1;
}

int top_column_by_name(const char *name)
{
	for (unsigned i = 0; i < top_nr_columns; i++) {
		if (!strcmp(top_columns[i].json, name))
			return (int)i;
	}
	return -1;
}

static int compare(const struct top_guest *a, const struct top_guest *b,
		   const struct top_column *col)
{
	double x, y;

	if (col->is_text)
		return strcmp(text_at(a, col), text_at(b, col));
	x = number_at(a, col);
	y = number_at(b, col);
	return (x < y) - (x > y);
}

/* Stable, so that equal guests stay in order of their names. */
void top_sort(struct top_sample *sample, unsigned column, bool reverse)
{
	const struct top_column *col = &top_columns[column];

	for (size_t i = 1; i < sample->nr; i++) {
		struct top_guest g = sample->guests[i];
		size_t j = i;

		for (; j > 0; j--) {
			int order = compare(&sample->guests[j - 1], &g, col);

			if ((reverse ? -order : order) <= 0)
				break;
			sample->guests[j] = sample->guests[j - 1];
		}
		sample->guests[j] = g;
	}
}

/* "12.3M": three digits that count, by powers of 1024. */
static void show_bytes(char *buf, size_t len, double value)
{
	static const char units[] = " KMGTP";
	unsigned unit = 0;

	while (value >= 1000 && unit < sizeof(units) - 2) {
		value /= 1024;
		unit++;
	}
	if (unit == 0)
		(void)snprintf(buf, len, "%.0f", value);
	else
		(void)snprintf(buf, len, "%.*f%c", value < 100 ? 1 : 0, value, units[unit]);
}

static void show_cell(char *buf, size_t len, const struct top_guest *g,
		      const struct top_column *col)
{
	if (col->is_text)
		(void)snprintf(buf, len, "%s", text_at(g, col));
	else if (!g->pid)
		(void)snprintf(buf, len, "-"); /* it has not told */
	else if (col->unit == TOP_BYTES)
		show_bytes(buf, len, number_at(g, col));
	else
		(void)snprintf(buf, len, "%.*f", col->unit == TOP_TENTHS ? 1 : 0,
			       number_at(g, col));
}

/* --- what fits --- */

static unsigned width_of(unsigned column)
{
	int width = top_columns[column].width;

	return (unsigned)(width < 0 ? -width : width) + 1;
}

/* The end of those from @first on that fit into @left characters. */
static unsigned end_of(unsigned first, unsigned left)
{
	unsigned end = first;

	while (end < top_nr_columns && width_of(end) <= left)
		left -= width_of(end++);
	return end > first ? end : first + 1;
}

struct top_view top_fit(const struct top_sample *sample, unsigned width, unsigned first,
			unsigned wanted)
{
	size_t longest = strlen(top_columns[0].title);
	struct top_view view = { .first = first, .end = top_nr_columns };
	unsigned left;

	for (size_t i = 0; i < sample->nr; i++)
		longest = MAX(longest, strlen(sample->guests[i].name));
	if (width)
		longest = MIN(longest, (size_t)width / 4);
	view.name_width = -(int)longest;
	if (!width)
		return view;
	left = width - (unsigned)longest;
	if (wanted && wanted < view.first)
		view.first = wanted;
	while (wanted >= end_of(view.first, left))
		view.first++;
	/* No empty place at the right for what is hidden at the left. */
	while (view.first > 1 && end_of(view.first - 1, left) == top_nr_columns)
		view.first--;
	view.end = end_of(view.first, left);
	return view;
}

/* --- lines --- */

/* Text is cut to its column, numbers push what comes after them. */
static size_t put_cell(char *buf, size_t len, int width, const char *text)
{
	int n = snprintf(buf, len, "%*.*s", width, width < 0 ? -width : 32, text);

	return n < 0 || (size_t)n >= len ? len : (size_t)n;
}

/* A cell for each column that is seen, by what @g has there, or the columns' titles. */
static void show_line(char *buf, size_t len, const struct top_guest *g, const struct top_view *view)
{
	char text[TOP_NAME_BYTES];
	size_t at = 0;

	for (unsigned i = 0; i < view->end && at < len; i = i ? i + 1 : view->first) {
		const struct top_column *col = &top_columns[i];

		if (i)
			at += put_cell(buf + at, len - at, 1, "");
		if (g)
			show_cell(text, sizeof(text), g, col);
		at += put_cell(buf + at, len - at, i ? col->width : view->name_width,
			       g ? text : col->title);
	}
}

void top_show_heading(char *buf, size_t len, const struct top_view *view)
{
	show_line(buf, len, NULL, view);
}

void top_show_guest(char *buf, size_t len, const struct top_guest *g, const struct top_view *view)
{
	show_line(buf, len, g, view);
}

json_t *top_json(const struct top_sample *sample)
{
	json_t *array = json_array();

	for (size_t i = 0; i < sample->nr; i++) {
		const struct top_guest *g = &sample->guests[i];
		json_t *obj = json_object();

		for (unsigned c = 0; c < top_nr_columns; c++) {
			const struct top_column *col = &top_columns[c];

			(void)json_object_set_new(obj, col->json,
						  col->is_text ? json_string(text_at(g, col))
							       : json_real(number_at(g, col)));
		}
		(void)json_array_append_new(array, obj);
	}
	return array;
}
