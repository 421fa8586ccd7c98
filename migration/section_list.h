/* SPDX-License-Identifier: MIT */
/* Sections collected in memory, to be sent from where waiting is allowed. */
#ifndef FERRY_MIGRATION_SECTION_LIST_H
#define FERRY_MIGRATION_SECTION_LIST_H

#include "migration/section.h"
#include "util/compiler.h"
#include "util/err.h"

struct section_list;

/* What a peer may send before END: so many, and so much (16 disks with full overlays). */
#define SECTION_LIST_MAX       512U
#define SECTION_LIST_MAX_BYTES (1280 * MIB)

/* NULL: no memory. */
struct section_list *section_list_new(void);
void section_list_free(struct section_list *list);

/* Puts copies into the list; valid as long as the list. */
const struct section_sink *section_list_sink(struct section_list *list);

/* Take all from @source, up to and including END. 0 or -errno with @e. */
__must_check int section_list_fill(struct section_list *list, const struct section_source *source,
				   struct err *e);

/* Gives copies of them, from the first on; -ENODATA after the last. */
const struct section_source *section_list_source(struct section_list *list);

/* Put all into @sink, in their order. 0 or -errno with @e. */
__must_check int section_list_put(const struct section_list *list, const struct section_sink *sink,
				  struct err *e);

#endif
