/* SPDX-License-Identifier: MIT */
/* Who we are and whom we trust: certificates or pre-shared keys for TLS. */
#ifndef FERRY_MIGRATION_TLS_H
#define FERRY_MIGRATION_TLS_H

#include <stdbool.h>

#include "util/compiler.h"
#include "util/err.h"

/* Files, PEM; what is not there is NULL. */
struct tls_files {
	const char *cert, *key; /* ours, both or none; a server must have them */
	const char *ca;         /* who may have issued the peer's; NULL: see below */
	const char *psk;        /* "NAME:HEX KEY" lines, as psktool writes; excludes the others */
	/*
	 * Opens one of them by the name above, for reading: a descriptor, or -errno with @e.
	 * NULL: they are paths.
	 */
	int (*open)(void *opaque, const char *name, struct err *e);
	void *opaque;
};

/*
 * A server with a CA demands a certificate of each client, and one without lets
 * every client in that the allow-list does. A client without a CA trusts those
 * of the system, if it may open files. With keys, a client uses the first of its file, and a server
 * knows all of its own.
 */
struct tls_credentials;

/* True if @files asks for TLS at all. */
bool tls_wanted(const struct tls_files *files);

/*
 * Read @files. 0, or -errno with the file and the reason: missing, not PEM, key
 * and certificate do not belong together, a secret that everybody may read.
 */
__must_check int tls_credentials_new(struct tls_credentials **ret, const struct tls_files *files,
				     bool server, struct err *e);

/* Free, once no channel uses them any more. NULL: no-op. */
void tls_credentials_free(struct tls_credentials *creds);

#endif
