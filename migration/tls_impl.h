/* SPDX-License-Identifier: MIT */
/* What the files of TLS share: credentials as GnuTLS has them, and its errors. */
#ifndef FERRY_MIGRATION_TLS_IMPL_H
#define FERRY_MIGRATION_TLS_IMPL_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stddef.h>

#include "migration/tls.h"

#define TLS_MAX_KEYS      64
#define TLS_MAX_KEY_NAME  64
#define TLS_MAX_KEY_BYTES 64

/* One line of a key file. */
struct tls_key {
	char name[TLS_MAX_KEY_NAME + 1];
	unsigned char key[TLS_MAX_KEY_BYTES];
	unsigned bytes;
};

/* Const after tls_credentials_new(), and so for any number of threads. */
struct tls_credentials {
	bool server;
	bool has_ca;                           /* the peer must show a certificate */
	gnutls_certificate_credentials_t x509; /* or keys */
	gnutls_psk_server_credentials_t psk_server;
	gnutls_psk_client_credentials_t psk_client;
	struct tls_key *keys;
	unsigned nr_keys;
	char ca_name[128]; /* the file, for messages */
};

/* A file of keys: 0, or -EINVAL with the line. @text is not changed. */
__must_check int tls_parse_keys(struct tls_credentials *creds, const char *text, size_t len,
				const char *path, struct err *e);

#endif
