/* SPDX-License-Identifier: MIT */
/* Ports and device memory. Both work in CPL 3: IOPL is 3, all pages are user pages. */
#ifndef GUEST_IO_H
#define GUEST_IO_H

#include <stdint.h>

#define IO_ACCESSORS(bits, suffix)                                                                 \
	static inline uint##bits##_t in##bits(uint16_t port)                                       \
	{                                                                                          \
		uint##bits##_t value;                                                              \
		__asm__ volatile("in" suffix " %w1, %0" : "=a"(value) : "Nd"(port) : "memory");    \
		return value;                                                                      \
	}                                                                                          \
	static inline void out##bits(uint16_t port, uint##bits##_t value)                          \
	{                                                                                          \
		__asm__ volatile("out" suffix " %0, %w1" : : "a"(value), "Nd"(port) : "memory");   \
	}

IO_ACCESSORS(8, "b")
IO_ACCESSORS(16, "w")
IO_ACCESSORS(32, "l")
#undef IO_ACCESSORS

/*
 * One plain `mov` each, which every instruction emulator knows; volatile alone
 * would let the compiler fold the access into any other instruction.
 */
#define MMIO_ACCESSORS(bits, suffix)                                                               \
	static inline uint##bits##_t mmio_read##bits(uint64_t gpa)                                 \
	{                                                                                          \
		uint##bits##_t value;                                                              \
		__asm__ volatile("mov" suffix " (%1), %0" : "=q"(value) : "r"(gpa) : "memory");    \
		return value;                                                                      \
	}                                                                                          \
	static inline void mmio_write##bits(uint64_t gpa, uint##bits##_t value)                    \
	{                                                                                          \
		__asm__ volatile("mov" suffix " %0, (%1)" : : "q"(value), "r"(gpa) : "memory");    \
	}

MMIO_ACCESSORS(8, "b")
MMIO_ACCESSORS(16, "w")
MMIO_ACCESSORS(32, "l")
MMIO_ACCESSORS(64, "q")
#undef MMIO_ACCESSORS

#endif
