# Which lines of devices/ and virtio/ the unit tests and the corpora of the fuzz targets reach.
# These two layers alone are built again, with gcov's counters; the rest is as it is.

COVER      := $(O)/coverage
COVER_OBJS := $(patsubst %.c,$(COVER)/%.o,$(filter devices/% virtio/%,$(FERRY_SRCS)))
# Targets that have to do with them.
COVER_FUZZ := blk net_ctrl net_rx net_tx pci_cfg platform queue state virtio
COVER_BINS := $(UNIT_BINS:$(O)/%=$(COVER)/%) $(COVER_FUZZ:%=$(COVER)/tests/fuzz/fuzz_%)

$(COVER)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,COVERCC,$<)$(CC) $(CPPFLAGS) $(filter-out -D_FORTIFY_SOURCE=2,$(CFLAGS)) -O0 --coverage \
	  -fprofile-update=atomic -MMD -MP -c -o $@ $<

$(COVER)/tests/unit/%: $(O)/tests/unit/%.o $(UNIT_HELPERS:%.c=$(O)/%.o) $(COVER_OBJS) $(HELPER_LIB) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(LDFLAGS) --coverage -o $@ $^ -lcmocka $(ALL_LIBS)

$(COVER)/tests/fuzz/fuzz_%: $(COVER)/tests/fuzz/fuzz_%.o $(COVER)/tests/fuzz/replay.o $(COVER_OBJS) \
		$(HELPER_LIB) $(LIB)
	$(call say,LD,$@)$(CC) $(LDFLAGS) --coverage -o $@ $^ $(ALL_LIBS)

coverage: $(COVER_BINS) ## lines of devices/ and virtio/ that unit tests and fuzz corpora reach
	$(Q)scripts/coverage $(COVER)

-include $(COVER_OBJS:.o=.d) $(COVER_FUZZ:%=$(COVER)/tests/fuzz/fuzz_%.d)

.PHONY: coverage
.SECONDARY: $(COVER_OBJS) $(COVER_BINS:%=%.o) $(COVER)/tests/fuzz/replay.o
