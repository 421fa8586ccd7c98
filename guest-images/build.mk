# The freestanding guests: one folder each, on the runtime in lib/.
# Their flags have nothing in common with the host programs'.

GUEST_NAMES := blk chaos dirty hello hotplug idle net small smp
GUEST_LIB   := acpi.c clock.c console.c entry.S format.c irq.c memory.c param.c pci.c power.c runtime.c \
               smp.c text.c trap.S virtio.c virtq.c

GUEST_DIR   := $(O)/guest-images
GUEST_FLAGS := -m64 -march=x86-64 -ffreestanding -fno-pic -fno-pie -fcf-protection=none \
               -fno-stack-protector -fno-asynchronous-unwind-tables -Iguest-images/lib
GUEST_CFLAGS := -std=c17 -O2 -g $(WARN) $(GUEST_FLAGS)
GUEST_LINT_FLAGS := -std=c17 $(GUEST_FLAGS)
GUEST_LDFLAGS := -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,max-page-size=4096 \
                 -Wl,-z,noexecstack

guest_object  = $(addsuffix .o,$(basename $(1:guest-images/%=$(GUEST_DIR)/%)))
# All sources of a guest's folder belong to it.
guest_objects = $(call guest_object,$(sort $(wildcard guest-images/$(1)/*.c)))
GUEST_LIB_OBJS := $(call guest_object,$(GUEST_LIB:%=guest-images/lib/%))
GUEST_OBJS := $(GUEST_LIB_OBJS) $(foreach g,$(GUEST_NAMES),$(call guest_objects,$(g)))

GUESTS += $(GUEST_NAMES:%=$(GUEST_DIR)/%.elf)

$(GUEST_DIR)/%.o: guest-images/%.c
	@mkdir -p $(@D)
	$(call say,GUESTCC,$<)$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<

$(GUEST_DIR)/%.o: guest-images/%.S
	@mkdir -p $(@D)
	$(call say,GUESTAS,$<)$(CC) $(GUEST_FLAGS) -g -MMD -MP -c -o $@ $<

$(GUEST_DIR)/guest.ld: guest-images/lib/guest.ld guest-images/lib/layout.h
	@mkdir -p $(@D)
	$(call say,GUESTLDS,$<)$(CC) -E -P -x c -Iguest-images/lib -o $@ $<

$(GUEST_DIR)/libguest.a: $(GUEST_LIB_OBJS)
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

define guest_rule
$(GUEST_DIR)/$(1).elf: $(call guest_objects,$(1)) $(GUEST_DIR)/libguest.a $(GUEST_DIR)/guest.ld
	$$(call say,GUESTLD,$$@)$$(CC) $$(GUEST_LDFLAGS) -T $(GUEST_DIR)/guest.ld -o $$@ \
	    $$(filter %.o %.a,$$^)
endef
$(foreach g,$(GUEST_NAMES),$(eval $(call guest_rule,$(g))))

guests: $(GUESTS) ## build the guests only

# Kept in the cache, by a hash of its recipe; the link is what tests look at.
linux-guest: ## the Linux guest for tests: minutes at first, then from the cache
	@mkdir -p $(GUEST_DIR)
	$(Q)dir=$$(guest-images/linux/build.sh) && ln -sfn "$$dir" $(GUEST_DIR)/linux

-include $(GUEST_OBJS:.o=.d)

.PHONY: guests linux-guest
