// SPDX-License-Identifier: MIT
/* The part of printf that the guests use. */
#include "text.h"
#include <stdbool.h>

struct output {
	char *next;
	char *end; /* the terminating 0 goes here at the latest */
	int count;
};

struct conversion {
	bool zero, left, alternate;
	int width;
	int longs; /* l, ll and z all mean 64 bits */
};

static void put(struct output *out, char c)
{
	if (out->next < out->end)
		*out->next++ = c;
	out->count++;
}

static void put_repeated(struct output *out, char c, int times)
{
	while (times-- > 0)
		put(out, c);
}

static void put_padded(struct output *out, const struct conversion *conv, const char *text,
		       size_t length)
{
	int padding = conv->width - (int)length;

	if (!conv->left)
		put_repeated(out, conv->zero ? '0' : ' ', padding);
	while (length--)
		put(out, *text++);
	if (conv->left)
		put_repeated(out, ' ', padding);
}

static void put_number(struct output *out, struct conversion *conv, uint64_t value,
		       unsigned int base, bool negative)
{
	char digits[24];
	char *first = digits + sizeof(digits);

	do {
		*--first = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	if (conv->alternate && base == 16) {
		put(out, '0');
		put(out, 'x');
		conv->width -= 2;
	}
	if (negative && conv->zero) {
		put(out, '-');
		conv->width--;
	} else if (negative) {
		*--first = '-';
	}
	put_padded(out, conv, first, (size_t)(digits + sizeof(digits) - first));
}

static const char *parse(struct conversion *conv, const char *format, va_list *arguments)
{
	*conv = (struct conversion){ 0 };
	for (;; format++) {
		if (*format == '0')
			conv->zero = true;
		else if (*format == '-')
			conv->left = true;
		else if (*format == '#')
			conv->alternate = true;
		else
			break;
	}
	if (*format == '*') {
		conv->width = va_arg(*arguments, int);
		format++;
	}
	for (; *format >= '0' && *format <= '9'; format++)
		conv->width = conv->width * 10 + *format - '0';
	for (; *format == 'l' || *format == 'z'; format++)
		conv->longs++;
	return format;
}

static void convert(struct output *out, struct conversion *conv, char kind, va_list *arguments)
{
	const char *string;
	uint64_t value;
	char c;

	switch (kind) {
	case 'd':
	case 'i':
		value = (uint64_t)(conv->longs ? va_arg(*arguments, long)
					       : va_arg(*arguments, int));
		if ((int64_t)value < 0)
			put_number(out, conv, -value, 10, true);
		else
			put_number(out, conv, value, 10, false);
		break;
	case 'u':
	case 'x':
		value = conv->longs ? va_arg(*arguments, unsigned long)
				    : va_arg(*arguments, unsigned int);
		put_number(out, conv, value, kind == 'x' ? 16 : 10, false);
		break;
	case 'p':
		conv->alternate = true;
		put_number(out, conv, (uintptr_t)va_arg(*arguments, void *), 16, false);
		break;
	case 's':
		string = va_arg(*arguments, const char *);
		put_padded(out, conv, string, strlen(string));
		break;
	case 'c':
		c = (char)va_arg(*arguments, int);
		put_padded(out, conv, &c, 1);
		break;
	default:
		put(out, kind);
	}
}

int vsnprintf(char *to, size_t bytes, const char *format, va_list arguments)
{
	struct output out = { 0 };
	struct conversion conv;
	va_list copy;

	out.next = to;
	out.end = to + (bytes ? bytes - 1 : 0);
	va_copy(copy, arguments);
	for (; *format; format++) {
		if (*format != '%') {
			put(&out, *format);
			continue;
		}
		format = parse(&conv, format + 1, &copy);
		convert(&out, &conv, *format, &copy);
	}
	va_end(copy);
	if (bytes)
		*out.next = 0;
	return out.count;
}

int snprintf(char *to, size_t bytes, const char *format, ...)
{
	va_list arguments;
	int count;

	va_start(arguments, format);
	count = vsnprintf(to, bytes, format, arguments);
	va_end(arguments);
	return count;
}
