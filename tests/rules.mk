# Test programs and the targets that run them. docs/testing.md tells the rest.
#
# tests/unit/test_*.c    one cmocka program each; other .c files there are
#                        helpers, linked into all of them
# tests/fuzz/fuzz_*.c    one libFuzzer program each, seeds in
#                        tests/fuzz/corpus/<name>/
# tests/integration, tests/e2e    Python, found by tests/run itself

# Which tests: T=pattern. How many at once: J=n.
RUN_TESTS = FERRY=$(O)/ferry BUILD=$(O) tests/run $(if $(T),-k '$(T)') $(if $(J),-j $(J))

# --- unit -------------------------------------------------------------------
UNIT_SRCS    := $(sort $(wildcard tests/unit/test_*.c))
UNIT_HELPERS := $(sort $(filter-out $(UNIT_SRCS),$(wildcard tests/unit/*.c)))
UNIT_BINS    := $(UNIT_SRCS:%.c=$(O)/%)
UNIT_OBJS    := $(UNIT_SRCS:%.c=$(O)/%.o) $(UNIT_HELPERS:%.c=$(O)/%.o)

$(UNIT_BINS): %: %.o $(UNIT_HELPERS:%.c=$(O)/%.o) $(HELPER_LIB) $(LIB)
	$(call say,LD,$@)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(ALL_LIBS)

-include $(UNIT_OBJS:.o=.d)

# --- confinement ------------------------------------------------------------
# What a confined thread must not be able to do, tried; see test_confinement.py.
PROBE := $(O)/tests/probe/probe

$(PROBE): $(O)/tests/probe/probe.o $(LIB)
	$(call say,LD,$@)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

-include $(PROBE).d

# --- fuzz -------------------------------------------------------------------
# The library is built again by clang, with coverage for the fuzzer in it.
FUZZ_SECONDS ?= 3
FUZZ_CC    := $(if $(shell command -v ccache),ccache )clang
FUZZ_SAN   := address,undefined
# Structures of the KVM API end in flexible arrays and are embedded all the same.
FUZZ_WARN  := -Wno-gnu-variable-sized-type-not-at-end
FUZZ_SRCS  := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BINS  := $(FUZZ_SRCS:%.c=$(O)/%)
FUZZ_OBJS  := $(FERRY_SRCS:%.c=$(O)/fuzz/%.o) $(HELPER_SRCS:%.c=$(O)/fuzz/%.o)

$(O)/fuzz/%.o: %.c $(GENERATED)
	@mkdir -p $(@D)
	$(call say,FUZZCC,$<)$(FUZZ_CC) $(CPPFLAGS) $(filter-out -D_FORTIFY_SOURCE=2,$(CFLAGS)) $(FUZZ_WARN) \
	  -fsanitize=fuzzer-no-link,$(FUZZ_SAN) -fno-sanitize-recover=undefined \
	  -fno-omit-frame-pointer -MMD -MP -c -o $@ $<

$(O)/fuzz/libferry.a: $(FUZZ_OBJS)
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

$(FUZZ_BINS): $(O)/%: $(O)/fuzz/%.o $(O)/fuzz/libferry.a
	@mkdir -p $(@D)
	$(call say,FUZZLD,$@)clang $(LDFLAGS) -fsanitize=fuzzer,$(FUZZ_SAN) -o $@ $^ $(ALL_LIBS)

-include $(FUZZ_OBJS:.o=.d) $(FUZZ_SRCS:%.c=$(O)/fuzz/%.d)

# --- targets ----------------------------------------------------------------
test-programs: $(PROBE) $(PROGRAMS) $(GUESTS) $(UNIT_BINS) $(FUZZ_BINS)

unit: $(UNIT_BINS) ## unit tests (T=pattern picks some, here and below)
	$(Q)$(RUN_TESTS) unit

integration: $(PROBE) $(PROGRAMS) $(GUESTS) ## ferry on /dev/kvm with the small guests
	$(Q)$(RUN_TESTS) rig integration

e2e: $(PROGRAMS) linux-guest ## ferry with the Linux guest
	$(Q)$(RUN_TESTS) e2e

fuzz: $(FUZZ_BINS) ## every fuzz target, FUZZ_SECONDS=n each
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) $(RUN_TESTS) fuzz

seccomp-coverage: $(PROBE) $(PROGRAMS) $(GUESTS) ## which system calls of the lists the tests need: records, and compares
	$(Q)BUILD=$(O) scripts/seccomp-coverage run env $(RUN_TESTS) integration

fuzz-merge: $(FUZZ_BINS) ## keep what long fuzzing found, in tests/fuzz/corpus
	$(Q)for bin in $(FUZZ_BINS); do name=$${bin##*/}; seeds=tests/fuzz/corpus/$${name#fuzz_}; \
	  mkdir -p $$seeds && $$bin -merge=1 $$seeds $(O)/fuzz/corpus/$$name || exit 1; done

include tests/coverage.mk

CHAOS ?= 60
chaos: $(PROGRAMS) $(GUESTS) ## CHAOS=60 seconds of a hostile driver for each device
	$(Q)CHAOS=$(CHAOS) FERRY=$(O)/ferry BUILD=$(O) tests/run -v integration \
	  -k '$(or $(T),test_chaos)' $(if $(J),-j $(J))

test: ## install what is missing, build, run every test
	$(Q)scripts/install-deps.sh build test linux-guest
	$(Q)$(MAKE) --no-print-directory all-tests

# Where the Linux guest cannot be built its tests fail, and the others tell what they can.
all-tests: test-programs
	-$(Q)$(MAKE) --no-print-directory linux-guest
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) $(RUN_TESTS) unit rig integration e2e fuzz

# Sanitizers cannot be mixed in one build, so each has a directory of its own.
asan: ## unit and integration tests with address and undefined-behaviour sanitizers
	$(Q)$(MAKE) --no-print-directory O=$(O)/asan SAN=address,undefined sanitized-tests

tsan: ## unit and integration tests with the thread sanitizer
	$(Q)$(MAKE) --no-print-directory O=$(O)/tsan SAN=thread sanitized-tests

# Tests that run a guest under QEMU say nothing about ferry.
sanitized-tests: T ?= ^(?!.*vmm=qemu)
sanitized-tests: $(PROBE) $(PROGRAMS) $(GUESTS) $(UNIT_BINS)
	$(Q)UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1 \
	  $(RUN_TESTS) unit integration

SOAK ?= 200
soak: $(PROGRAMS) $(GUESTS) ## SOAK=200 rounds of teleports, there and back
	$(Q)SOAK=$(SOAK) $(RUN_TESTS) -v soak

# What counters cost is told by a build without them.
uncounted:
	$(Q)$(MAKE) --no-print-directory O=$(O)/uncounted OPT='$(OPT) -DFERRY_NO_COUNTERS' $(O)/uncounted/ferry

bench: $(PROGRAMS) $(GUESTS) uncounted ## ferry and QEMU side by side (BENCH='--pairs 9': more options)
	$(Q)FERRY=$(O)/ferry BUILD=$(O) bench/run --doc docs/performance.md $(BENCH)

bench-teleport: $(PROGRAMS) $(O)/bench/ram $(GUESTS) ## live migration by ferry and QEMU side by side (BENCH=--help)
	$(Q)FERRY=$(O)/ferry BUILD=$(O) bench/teleport --doc docs/performance.md $(BENCH)

$(O)/bench/ram: $(O)/bench/ram.o $(LIB)
	$(call say,LD,$@)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

-include $(O)/bench/ram.d

bench-ram: $(O)/bench/ram ## memory streams against iperf3 over loopback
	$(Q)BUILD=$(O) bench/ram-streams $(BENCH)

.PHONY: seccomp-coverage soak chaos bench-teleport bench-ram unit integration e2e fuzz fuzz-merge test all-tests test-programs asan tsan sanitized-tests bench uncounted
