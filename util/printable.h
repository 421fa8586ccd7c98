/* SPDX-License-Identifier: MIT */
/*
 * Anybody's words, before they are shown: they move no cursor and give no orders to a terminal,
 * one that reads UTF-8.
 */
#ifndef FERRY_UTIL_PRINTABLE_H
#define FERRY_UTIL_PRINTABLE_H

#include <stddef.h>

/*
 * Control characters of @text become '?': those of ASCII, and those of ISO 6429 (C1), which are
 * two bytes each in UTF-8. Its length stays, and what was valid UTF-8 still is.
 */
void printable(char *text);

/* Whatever is not printable ASCII becomes '?': for what need not be UTF-8. */
void printable_ascii(char *text);

/*
 * printable() for all strings in @text, @len bytes of JSON, however they are written there
 * (RFC 8259, section 7). Newlines stay, as some strings have several lines, and what moves
 * along a line is a tab.
 */
void printable_json(char *text, size_t len);

#endif
