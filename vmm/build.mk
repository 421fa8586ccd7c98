# Core: what devices build on. Top, in the folders: what ties everything together.
vmm_CORE := \
	vmm/acceptor.c \
	vmm/acpi.c \
	vmm/acpi_slots.c \
	vmm/boot.c \
	vmm/boot_bzimage.c \
	vmm/boot_elf.c \
	vmm/bus.c \
	vmm/console.c \
	vmm/console_host.c \
	vmm/console_tty.c \
	vmm/cpu_features.c \
	vmm/cpuid.c \
	vmm/dirty_log.c \
	vmm/gmem.c \
	vmm/gmem_file.c \
	vmm/gmem_scan.c \
	vmm/host_memory.c \
	vmm/irq.c \
	vmm/json_text.c \
	vmm/kvm.c \
	vmm/kvm_stats.c \
	vmm/loop.c \
	vmm/loop_epoll.c \
	vmm/loop_uring.c \
	vmm/vcpu.c \
	vmm/vcpu_state.c \
	vmm/vcpu_throttle.c \
	vmm/vm.c \
	vmm/vm_clock.c \
	vmm/vm_state.c \
	vmm/vm_state_tables.c
vmm_TOP := \
		vmm/cli/capture.c \
		vmm/cli/cgroup.c \
		vmm/cli/cli.c \
		vmm/cli/console.c \
		vmm/cli/device.c \
		vmm/cli/disk.c \
		vmm/cli/disk_plug.c \
		vmm/cli/doctor.c \
		vmm/cli/doctor_checks.c \
		vmm/cli/dump.c \
		vmm/cli/duration.c \
		vmm/cli/guests.c \
		vmm/cli/guard.c \
		vmm/cli/help.c \
		vmm/cli/log.c \
		vmm/cli/memory.c \
		vmm/cli/net.c \
		vmm/cli/nic.c \
		vmm/cli/nic_plug.c \
		vmm/cli/overview.c \
		vmm/cli/parse.c \
		vmm/cli/plot.c \
		vmm/cli/plot_record.c \
		vmm/cli/power.c \
		vmm/cli/receive.c \
		vmm/cli/remote.c \
		vmm/cli/run.c \
		vmm/cli/save.c \
		vmm/cli/share.c \
		vmm/cli/state.c \
		vmm/cli/teleport.c \
		vmm/cli/teleport_show.c \
		vmm/cli/top.c \
		vmm/cli/top_sample.c \
		vmm/cli/top_show.c \
		vmm/cli/vcpu.c \
		vmm/cli/wait.c \
		vmm/cli/wait_ping.c \
		vmm/control/basic.c \
		vmm/control/capture.c \
		vmm/control/client.c \
		vmm/control/cmds.c \
		vmm/control/control.c \
		vmm/control/disks.c \
		vmm/control/events.c \
		vmm/control/fds.c \
		vmm/control/ferry_client.c \
		vmm/control/hotplug.c \
		vmm/control/info.c \
		vmm/control/log.c \
		vmm/control/migrate.c \
		vmm/control/nic_plug.c \
		vmm/control/nics.c \
		vmm/control/observe.c \
		vmm/control/request.c \
		vmm/control/schema.c \
		vmm/control/stats.c \
		vmm/control/survey.c \
		vmm/control/vcpus.c \
		vmm/dump/core_file.c \
		vmm/dump/dump.c \
		vmm/dump/page_walk.c \
		vmm/gdb/regs.c \
		vmm/gdb/rsp.c \
		vmm/gdb/server.c \
		vmm/gdb/session.c \
		vmm/gdb/target.c \
		vmm/guest/boot.c \
		vmm/guest/check.c \
		vmm/guest/config.c \
		vmm/guest/config_field.c \
		vmm/guest/config_file.c \
		vmm/guest/config_json.c \
		vmm/guest/config_plug.c \
		vmm/guest/disks.c \
		vmm/guest/machine.c \
		vmm/guest/machine_devices.c \
		vmm/guest/machine_disks.c \
		vmm/guest/machine_events.c \
		vmm/guest/machine_hotplug.c \
		vmm/guest/machine_nics.c \
		vmm/guest/net_helper.c \
		vmm/guest/nic_host.c \
		vmm/guest/nets.c \
		vmm/guest/run.c \
		vmm/guest/run_confine.c \
		vmm/guest/run_core.c \
		vmm/guest/run_signals.c \
		vmm/guest/runtime.c \
		vmm/guest/runtime_list.c \
		vmm/guest/slots.c \
		vmm/guest/spec.c \
		vmm/guest/state.c \
		vmm/metrics/metrics.c \
		vmm/move/receive.c \
		vmm/move/receive_child.c \
		vmm/move/receive_guest.c \
		vmm/move/receive_knock.c \
		vmm/move/receive_msg.c \
		vmm/move/receive_session.c \
		vmm/move/receive_streams.c \
		vmm/move/restore.c \
		vmm/move/save.c \
		vmm/move/state.c \
		vmm/move/state_tables.c \
		vmm/move/state_text.c \
		vmm/move/teleport.c \
		vmm/move/teleport_frames.c \
		vmm/move/teleport_guest.c \
		vmm/move/teleport_report.c \
		vmm/move/teleport_status.c \
		vmm/network/attach_msg.c \
		vmm/network/options.c \
		vmm/sandbox/caps.c \
		vmm/sandbox/identity.c \
		vmm/sandbox/jail.c \
		vmm/sandbox/keeper.c \
		vmm/sandbox/limits.c \
		vmm/sandbox/resolver.c \
		vmm/sandbox/landlock.c \
		vmm/sandbox/sandbox.c \
		vmm/sandbox/seccomp.c

FERRY_SRCS += $(vmm_CORE) $(vmm_TOP)

# libferry-client: one object, in which nothing but its interface can be seen.
CLIENT_LIB := $(O)/libferry-client.a
CLIENT_OBJS := $(addprefix $(O)/,vmm/control/ferry_client.o vmm/control/client.o vmm/guest/runtime.o \
	util/clock.o util/err.o util/fdpass.o util/io.o util/printable.o)
$(CLIENT_LIB): $(CLIENT_OBJS)
	$(call say,AR,$@)rm -f $@ && ld -r -o $(@:.a=.o) $^ && \
	  objcopy --wildcard --keep-global-symbol='ferry_client_*' $(@:.a=.o) && ar rcs $@ $(@:.a=.o)

# ferry-net changes the host's network, for ferry and its guests.
HELPERS += ferry-net
ferry-net_MAIN := vmm/network/main.c
ferry-net_PKGS := jansson libnl-route-3.0 libnftables
HELPER_SRCS += \
	vmm/network/access.c \
	vmm/network/attach.c \
	vmm/network/command.c \
	vmm/network/paths.c \
	vmm/network/privilege.c \
	vmm/network/show.c

# The AML as a C array, dsdt_aml_code.
$(O)/vmm/acpi.o: $(O)/vmm/dsdt.hex
$(O)/vmm/dsdt.hex: vmm/dsdt.asl
	@mkdir -p $(@D)
	$(call say,IASL,$<)iasl -we -vs -tc -p $(@:.hex=) $< >$(@:.hex=.log) || \
	  { cat $(@:.hex=.log) >&2; exit 1; }

# ferry-capture writes the frames of a nic.
HELPERS += ferry-capture
ferry-capture_MAIN := vmm/capture/main.c
ferry-capture_PKGS := jansson libpcap
HELPER_SRCS += \
	vmm/capture/filter.c \
	vmm/capture/pcapng.c \
	vmm/capture/run.c \
	vmm/capture/source.c

# The filters of system calls: libseccomp translates a table while ferry is built.
# Made for this machine, which is the one that runs it, and without sanitizers.
FILTERS_TOOL := $(O)/tools/seccomp-filters
$(FILTERS_TOOL): vmm/sandbox/filters_main.c vmm/sandbox/filters.c vmm/sandbox/filters.h util/thread.h
	@mkdir -p $(@D)
	$(call say,TOOL,$@)$(CC) $(CPPFLAGS) -std=c17 -O1 $(WARN) $(TOOL_CFLAGS) -o $@ $(filter %.c,$^) $(TOOL_LIBS)

$(O)/vmm/sandbox/seccomp.o: $(O)/vmm/sandbox/filters.inc
$(O)/vmm/sandbox/filters.inc: $(FILTERS_TOOL)
	@mkdir -p $(@D)
	$(call say,GEN,$@)$< >$@
GENERATED += $(O)/vmm/sandbox/filters.inc
