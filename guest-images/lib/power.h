/* SPDX-License-Identifier: MIT */
/* The ways a guest ends. */
#ifndef GUEST_POWER_H
#define GUEST_POWER_H

#include <stdbool.h>
#include <stdint.h>

/* Values for the debug-exit port; the monitor's exit status is (value << 1) | 1. */
enum guest_exit {
	EXIT_OK = 0,      /* from guest_main(): power off instead */
	EXIT_FAILED = 1,  /* the guest's own check failed */
	EXIT_CORRUPT = 2, /* data is not what it was */
	EXIT_USAGE = 3,   /* a parameter makes no sense */
	EXIT_PANIC = 4,   /* an exception, no memory, no device */
};

/* ACPI S5; where there is none, the debug-exit port with 0. */
_Noreturn void power_off(void);

/* The ACPI reset register, then 0xcf9, then the keyboard controller. */
_Noreturn void power_reset(void);

/* Writes the value to the debug-exit port. */
_Noreturn void power_exit(uint8_t value);

/* Halts this CPU with interrupts off, for good. */
_Noreturn void power_halt(void);

/* Takes the IDT away and causes an exception. */
_Noreturn void power_triple_fault(void);

/* An exception that the runtime reports: ends with EXIT_PANIC. */
_Noreturn void power_trap(void);

/* Tells pvpanic (port 0x505), then halts. */
_Noreturn void power_pvpanic(void);

/* Prints `panic: ` and the message, and ends with EXIT_PANIC. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints `usage: ` and the parameter whose value makes no sense; ends with EXIT_USAGE. */
_Noreturn void power_usage(const char *key);

/*
 * Routes the power button's interrupt, the SCI, to the boot CPU; returns its
 * vector, or 0 if the machine has no PM1 event block.
 */
unsigned int power_button_enable(void);

/* Reads and clears the button's status and acknowledges the interrupt. Boot CPU only. */
bool power_button_pressed(void);

#endif
