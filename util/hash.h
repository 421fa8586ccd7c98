/* SPDX-License-Identifier: MIT */
/* FNV-1a: names become numbers that are the same on every host and in every release. */
#ifndef FERRY_UTIL_HASH_H
#define FERRY_UTIL_HASH_H

#include <stddef.h>
#include <stdint.h>

/* 64 bits: draft-eastlake-fnv, 2. Not for what somebody may want to collide. */
#define FNV1A_START 0xcbf29ce484222325ULL

/* @hash of what came before (FNV1A_START: nothing), and of @len bytes more. */
static inline uint64_t fnv1a_add(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *bytes = (const uint8_t *)data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
	return hash;
}

/* Of a text without its NUL. */
static inline uint64_t fnv1a_text(const char *text)
{
	uint64_t hash = FNV1A_START;

	for (; *text; text++)
		hash = fnv1a_add(hash, text, 1);
	return hash;
}

#endif
