# Core: what devices build on. Top: what ties everything together.
vmm_CORE := \
	vmm/acceptor.c \
	vmm/acpi.c \
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
	vmm/cli.c \
	vmm/cli_console.c \
	vmm/cli_help.c \
	vmm/cli_net.c \
	vmm/cli_receive.c \
	vmm/cli_remote.c \
	vmm/cli_run.c \
	vmm/cli_save.c \
	vmm/cli_state.c \
	vmm/cli_teleport.c \
	vmm/cli_teleport_show.c \
	vmm/config.c \
	vmm/config_field.c \
	vmm/config_file.c \
	vmm/config_json.c \
	vmm/control.c \
	vmm/control_client.c \
	vmm/control_cmds.c \
	vmm/control_info.c \
	vmm/control_migrate.c \
	vmm/control_request.c \
	vmm/doctor.c \
	vmm/doctor_checks.c \
	vmm/guest_boot.c \
	vmm/guest_check.c \
	vmm/guest_disks.c \
	vmm/guest_spec.c \
	vmm/guest_state.c \
	vmm/machine.c \
	vmm/machine_devices.c \
	vmm/machine_network.c \
	vmm/net_show.c \
	vmm/receive.c \
	vmm/receive_child.c \
	vmm/receive_guest.c \
	vmm/receive_knock.c \
	vmm/receive_msg.c \
	vmm/receive_session.c \
	vmm/restore.c \
	vmm/run.c \
	vmm/run_signals.c \
	vmm/runtime.c \
	vmm/runtime_list.c \
	vmm/save.c \
	vmm/state.c \
	vmm/state_tables.c \
	vmm/state_text.c \
	vmm/teleport.c \
	vmm/teleport_guest.c \
	vmm/teleport_report.c \
	vmm/teleport_status.c

FERRY_SRCS += $(vmm_CORE) $(vmm_TOP)

# The AML as a C array, dsdt_aml_code.
$(O)/vmm/acpi.o: $(O)/vmm/dsdt.hex
$(O)/vmm/dsdt.hex: vmm/dsdt.asl
	@mkdir -p $(@D)
	$(call say,IASL,$<)iasl -we -vs -tc -p $(@:.hex=) $< >$(@:.hex=.log) || \
	  { cat $(@:.hex=.log) >&2; exit 1; }
