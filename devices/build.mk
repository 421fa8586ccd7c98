FERRY_SRCS += \
	devices/acpi_hotplug.c \
	devices/acpi_pm.c \
	devices/debug_exit.c \
	devices/i8042.c \
	devices/msix.c \
	devices/pci.c \
	devices/pci_bar.c \
	devices/pci_host.c \
	devices/pci_state.c \
	devices/pvpanic.c \
	devices/rtc.c \
	devices/serial.c
