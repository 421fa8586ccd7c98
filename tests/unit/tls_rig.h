/* SPDX-License-Identifier: MIT */
/* Certificates, keys and key files for tests of TLS, made anew each time. */
#ifndef FERRY_TESTS_UNIT_TLS_RIG_H
#define FERRY_TESTS_UNIT_TLS_RIG_H

#include <stdbool.h>

struct tls_rig {
	char dir[64]; /* holds NAME.pem, NAME.key and *.psk */
};

/* What a certificate is to be; zeroes: good for a year, for both sides. */
struct tls_rig_cert {
	const char *name;    /* of the files, and of the host */
	const char *issuer;  /* NULL: itself, as a CA */
	bool expired, early; /* valid until yesterday, from tomorrow on */
	const char *purpose; /* NULL: both */
	bool ip;             /* the name is an address */
};

/* A folder with a CA called "ca". */
void tls_rig_init(struct tls_rig *rig);

/* Remove it and all files in it. */
void tls_rig_fini(struct tls_rig *rig);

/* Make DIR/NAME.pem and DIR/NAME.key. */
void tls_rig_make(const struct tls_rig *rig, const struct tls_rig_cert *cert);

/* Write @text to DIR/@name, mode 0600, and return the path (static, the last 8 stay). */
const char *tls_rig_write(const struct tls_rig *rig, const char *name, const char *text);

/* DIR/@name@suffix (static, the last 8 stay). */
const char *tls_rig_path(const struct tls_rig *rig, const char *name, const char *suffix);

#endif
