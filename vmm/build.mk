# Core: what devices build on. Top: what ties everything together.
vmm_CORE := \
	vmm/bus.c \
	vmm/cpuid.c \
	vmm/gmem.c \
	vmm/irq.c \
	vmm/kvm.c \
	vmm/loop.c \
	vmm/loop_epoll.c \
	vmm/loop_uring.c \
	vmm/vcpu.c \
	vmm/vcpu_state.c \
	vmm/vm.c
vmm_TOP :=

FERRY_SRCS += $(vmm_CORE) $(vmm_TOP)
