# make lint: every check over everything, each finding an error. A check that
# passed leaves a stamp in $(O)/lint, so that the next run looks at what changed.
LINT := $(O)/lint
LINT_JOBS ?= $(shell nproc)

# What there is to check: the files git knows and new ones it does not ignore,
# or simply all where there is no git.
TREE     := $(or $(shell git ls-files -co --exclude-standard 2>/dev/null | sort -u), \
	      $(shell find * -path build -prune -o -type f -print))
C_FILES  := $(wildcard $(filter %.c %.h,$(TREE)))
OTHER_SRCS := $(wildcard $(filter %.S %.ld %.asl,$(TREE)))
C_SRCS   := $(filter %.c,$(C_FILES))
PY_FILES := $(wildcard $(filter %.py,$(TREE)) $(shell grep -lsI '^\#!.*python' $(filter-out %.py %.c %.h,$(TREE))))
SH_FILES := $(wildcard $(shell grep -lsIE '^\#!.*[/ ](ba)?sh' $(filter-out %.py %.c %.h,$(TREE))))
MAN_FILES := $(wildcard $(filter docs/man/%,$(TREE)))

# Guests are freestanding: their own fragment says with which flags they compile.
# The Linux guest's init is an ordinary program.
GUEST_C    := $(filter-out guest-images/linux/%,$(filter guest-images/%,$(C_SRCS)))
HOST_C     := $(filter-out $(GUEST_C),$(C_SRCS))
HOST_FLAGS := $(CPPFLAGS) $(filter-out -f% -D_FORTIFY_SOURCE=2 -W%,$(CFLAGS))

# clang-tidy: one stamp a file, made again when a header of it changed.
TIDY := $(C_SRCS:%=$(LINT)/tidy/%)
$(HOST_C:%=$(LINT)/tidy/%): TIDY_FLAGS = $(HOST_FLAGS)
$(GUEST_C:%=$(LINT)/tidy/%): TIDY_FLAGS = $(filter-out -W%,$(GUEST_CFLAGS))
# Examples find the header as programs of others do.
$(filter $(LINT)/tidy/examples/%,$(TIDY)): TIDY_FLAGS = $(HOST_FLAGS) -Ivmm/control
$(TIDY): $(LINT)/tidy/%: % .clang-tidy tests/.clang-tidy $(GENERATED)
	@mkdir -p $(@D)
	$(call say,TIDY,$<)clang-tidy --quiet --warnings-as-errors='*' $< -- $(TIDY_FLAGS) 2>$@.err >$@.out || \
	  { cat $@.out; grep -v 'warnings generated\|warning generated' $@.err; exit 1; }
	@$(CC) $(TIDY_FLAGS) -MM -MP -MT $@ -MF $@.d $<
	@touch $@
-include $(TIDY:%=%.d)

FORMAT := $(C_FILES:%=$(LINT)/format/%)
$(FORMAT): $(LINT)/format/%: % .clang-format
	@mkdir -p $(@D)
	$(call say,FORMAT,$<)clang-format $< | diff -u --label $< --label '$< (make format)' $< -
	@touch $@

# cppcheck looks at the whole program at once: it also finds what nobody calls.
# It does not read system headers, but needs the list macros of this one.
QUEUE_H  := $(firstword $(wildcard /usr/include/sys/queue.h /usr/include/*/sys/queue.h))
CPPCHECK = cppcheck --quiet --enable=all --inconclusive --inline-suppr --error-exitcode=1 --std=c17 --force \
	   --max-configs=4 --platform=unix64 $(QUEUE_H:%=--include=%) --suppressions-list=scripts/cppcheck.txt \
	   --template='{file}:{line}: {severity}: {message} [{id}]'
$(LINT)/cppcheck: $(C_FILES) scripts/cppcheck.txt
	@mkdir -p $(@D)/cppcheck.d
	$(call say,CPPCHK,all)$(if $(HOST_C),$(CPPCHECK) --cppcheck-build-dir=$(@D)/cppcheck.d -I. -D_GNU_SOURCE -D__x86_64__ $(HOST_C))
	@touch $@

# The rest takes a moment and needs no stamps.
TREE_CHECKS := lint-layers lint-budgets lint-rules lint-deps lint-shell lint-python lint-man

lint-layers:
	$(call say,CHECK,layers)scripts/check-layers $(C_FILES)
lint-budgets:
	$(call say,CHECK,budgets)scripts/check-budgets $(C_FILES) $(PY_FILES) $(SH_FILES)
lint-rules:
	$(call say,CHECK,rules)scripts/check-rules $(C_FILES) $(PY_FILES) $(SH_FILES) $(OTHER_SRCS)
lint-deps:
	$(call say,CHECK,dependencies)scripts/check-deps-doc
lint-shell:
	$(if $(SH_FILES),$(call say,CHECK,shell)shellcheck $(SH_FILES))
lint-python:
	$(if $(PY_FILES),$(call say,CHECK,python)pyflakes3 $(PY_FILES))
lint-man:
	$(if $(MAN_FILES),$(call say,CHECK,man)mandoc -Tlint -W warning $(MAN_FILES))

lint-all: $(LINT)/cppcheck $(FORMAT) $(TREE_CHECKS) $(TIDY)

lint: ## formatting, static analysis, layers, budgets
	$(Q)$(MAKE) --no-print-directory -k -O -j$(LINT_JOBS) lint-all

format: ## rewrite the C sources with clang-format
	clang-format -i $(C_FILES)

.PHONY: lint lint-all $(TREE_CHECKS) format
