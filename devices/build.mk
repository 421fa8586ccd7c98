FERRY_SRCS += \
	devices/acpi_pm.c \
	devices/debug_exit.c \
	devices/i8042.c \
	devices/pvpanic.c \
	devices/rtc.c \
	devices/serial.c
