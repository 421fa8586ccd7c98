# ferry: one non-recursive makefile. Each folder lists its sources in its own
# build.mk; this file knows how to turn them into programs.
#
#   make             build/ferry and the guests in build/guest-images/
#   make demo        install what is missing, build, boot a guest that works
#   make test        install what is missing, build, run every test
#   make lint        formatting, static analysis, layers, budgets
#   make help        all targets
#
# O=dir builds elsewhere, SAN=address,undefined builds with sanitizers, V=1 shows commands.

O       ?= build
SAN     ?=
PREFIX  ?= /usr/local
VERSION := 0.1.0

ifeq ($(origin CC),default)
CC := $(if $(shell command -v ccache),ccache )gcc
endif
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2);)

# --- libraries, found by pkg-config -----------------------------------------
PKGS := liburing slirp jansson libconfuse libxxhash liblz4 libzstd gnutls libcap-ng

# What the programs beside ferry need on top of that, see HELPERS below. A guest's
# process pays for each library of ferry's with time and memory.
HELPER_PKGS := cairo libnl-route-3.0 libnftables libpcap

# What programs need that run when ferry is built.
TOOL_PKGS := libseccomp

# Targets that must work before the packages are there: those which install
# them first and start make again, and those which need none.
NO_PKGS := deps help clean demo test uninstall
ifneq ($(filter-out $(NO_PKGS),$(or $(MAKECMDGOALS),all)),)
MISSING := $(foreach p,$(PKGS) $(HELPER_PKGS) $(TOOL_PKGS),$(shell pkg-config --exists $(p) 2>/dev/null || echo $(p)))
ifneq ($(strip $(MISSING)),)
$(error pkg-config does not find: $(strip $(MISSING)). Run 'make deps' (Debian 12) or install their -dev packages)
endif
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) $(HELPER_PKGS))
PKG_LIBS   := $(shell pkg-config --libs $(PKGS))
ALL_LIBS   := $(shell pkg-config --libs $(PKGS) $(HELPER_PKGS)) -lm
TOOL_CFLAGS := $(shell pkg-config --cflags $(TOOL_PKGS))
TOOL_LIBS  := $(shell pkg-config --libs $(TOOL_PKGS))
endif

# --- flags ------------------------------------------------------------------
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
        -Wimplicit-fallthrough -Wswitch-enum -Wcast-qual -Wwrite-strings -Wundef \
        -Wformat=2 -Wpointer-arith -Wold-style-definition
HARDEN := -fstack-protector-strong -fPIE
ifeq ($(SAN),)
HARDEN += -D_FORTIFY_SOURCE=2
endif
OPT     ?= -O2 -g
CPPFLAGS := -D_GNU_SOURCE -DFERRY_VERSION='"$(VERSION)"' -I. -I$(O)
CFLAGS  := -std=c17 $(OPT) $(WARN) $(HARDEN) -pthread $(PKG_CFLAGS) \
           $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
LDFLAGS := -pie -Wl,-z,relro,-z,now,-z,noexecstack -pthread $(if $(SAN),-fsanitize=$(SAN))
LDLIBS  := $(PKG_LIBS) -lm

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

# --- what there is to build: each fragment adds to these lists --------------
FERRY_SRCS :=        # all of ferry but vmm/cli/main.c
GUESTS     :=        # guest images, below $(O)/guest-images
HELPERS    :=        # programs beside ferry; NAME_MAIN is the source with main(),
                     # NAME_PKGS are its libraries
HELPER_SRCS :=       # all of the helpers but their NAME_MAIN
include $(sort $(wildcard */build.mk))

FERRY_OBJS := $(patsubst %.c,$(O)/%.o,$(FERRY_SRCS))
LIB := $(O)/libferry.a
HELPER_LIB := $(O)/libhelpers.a
PROGRAMS := $(O)/ferry $(HELPERS:%=$(O)/%)

all: $(PROGRAMS) $(CLIENT_LIB) $(GUESTS) ## build ferry and the guests

$(O)/ferry: $(O)/vmm/cli/main.o $(LIB)
	$(call say,LD,$@)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

define helper_rule
$(O)/$(1): $($(1)_MAIN:%.c=$(O)/%.o) $(HELPER_LIB) $(LIB)
	$$(call say,LD,$$@)$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(shell pkg-config --libs $($(1)_PKGS)) -lm
-include $($(1)_MAIN:%.c=$(O)/%.d)
endef
$(foreach h,$(HELPERS),$(eval $(call helper_rule,$(h))))

$(HELPER_LIB): $(HELPER_SRCS:%.c=$(O)/%.o)
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

$(LIB): $(FERRY_OBJS)
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(FERRY_OBJS:.o=.d) $(HELPER_SRCS:%.c=$(O)/%.d) $(O)/vmm/cli/main.d

# --- the rest of the targets, by subject ------------------------------------
include tests/rules.mk scripts/lint.mk scripts/install.mk

deps: ## install the Debian packages that are missing
	$(Q)scripts/install-deps.sh

demo: ## install what is missing, build, boot a guest that works
	$(Q)scripts/install-deps.sh build
	$(Q)$(MAKE) --no-print-directory all
	$(Q)scripts/demo.sh

clean: ## remove the build directory
	rm -rf $(O)

help: ## this list
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sort | \
	  awk -F ':.*## ' '{ printf "  %-12s %s\n", $$1, $$2 }'

.PHONY: all deps demo clean help
