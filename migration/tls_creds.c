// SPDX-License-Identifier: MIT
// Certificates and pre-shared keys, read from files.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "migration/tls_impl.h"
#include "util/io.h"

#define MAX_FILE_BYTES (1024 * 1024)

/*
 * Most guests never speak TLS. GnuTLS would set itself up, with a megabyte of its
 * tables, in the start of each of them; so whoever makes credentials does it.
 */
// cppcheck-suppress unusedFunction ; GnuTLS looks for it
GNUTLS_SKIP_GLOBAL_INIT

/* A file in memory; wiped when it goes, as it may be a key. */
struct text {
	char *data; /* ends with a NUL that does not count */
	size_t bytes;
};

static void text_fini(struct text *t)
{
	if (t->data)
		explicit_bzero(t->data, t->bytes);
	free(t->data);
}

/* A secret must be ours: whoever can read it can be us. */
static int check_secret(const struct stat *st, const char *path, struct err *e)
{
	if (st->st_mode & S_IRWXO)
		return err_set(e, -EPERM, "%s is a secret that everybody may read: chmod 600 it",
			       path);
	return 0;
}

static int read_fd(int fd, struct text *ret, const char *path, struct err *e)
{
	size_t room = MAX_FILE_BYTES + 1;
	ssize_t n = 1;

	ret->data = malloc(room + 1);
	if (!ret->data)
		return err_set(e, -ENOMEM, "out of memory");
	while (n > 0 && ret->bytes < room) {
		n = read(fd, ret->data + ret->bytes, room - ret->bytes);
		if (n < 0)
			return err_set(e, -errno, "cannot read %s: %s", path, strerror(errno));
		ret->bytes += (size_t)n;
	}
	if (ret->bytes == room)
		return err_set(e, -EFBIG, "%s is too large to be keys or certificates", path);
	ret->data[ret->bytes] = '\0';
	return 0;
}

static int open_file(const struct tls_files *files, const char *name, struct err *e)
{
	int fd;

	if (files->open)
		return files->open(files->opaque, name, e);
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? err_set(e, -errno, "cannot open %s: %s", name, strerror(errno)) : fd;
}

/* @path is one of @files. */
static int read_text(const struct tls_files *files, const char *path, bool secret, struct text *ret,
		     struct err *e)
{
	_cleanup_close_ int fd = open_file(files, path, e);
	struct stat st;
	int rc;

	*ret = (struct text){ 0 };
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "%s is not a file", path);
	rc = secret ? check_secret(&st, path, e) : 0;
	if (rc == 0)
		rc = read_fd(fd, ret, path, e);
	if (rc < 0)
		text_fini(ret);
	return rc;
}

static int err_gnutls(struct err *e, int rc, const char *what)
{
	return err_set(e, rc == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL, "%s: %s", what,
		       gnutls_strerror(rc));
}

/* --- certificates --- */

static int add_trust(struct tls_credentials *creds, const struct tls_files *files, struct err *e)
{
	struct text ca;
	gnutls_datum_t pem;
	int rc;

	if (!files->ca && files->open && !creds->server)
		return err_set(e, -EINVAL,
			       "who may have issued the peer's certificate was not "
			       "said: tls-ca is missing");
	if (!files->ca) {
		rc = creds->server ? 0 : gnutls_certificate_set_x509_system_trust(creds->x509);
		return rc < 0 ? err_gnutls(e, rc, "the system's certificates") : 0;
	}
	rc = read_text(files, files->ca, false, &ca, e);
	if (rc < 0)
		return rc;
	pem = (gnutls_datum_t){ .data = (unsigned char *)ca.data, .size = (unsigned)ca.bytes };
	rc = gnutls_certificate_set_x509_trust_mem(creds->x509, &pem, GNUTLS_X509_FMT_PEM);
	text_fini(&ca);
	if (rc <= 0)
		return err_set(e, -EINVAL, "%s has no certificate of a CA (PEM) in it", files->ca);
	creds->has_ca = true;
	(void)snprintf(creds->ca_name, sizeof(creds->ca_name), "of %s", files->ca);
	return 0;
}

/* What is wrong with our own certificate or key, in words that tell which. */
static int err_own(struct err *e, int rc, const struct tls_files *files)
{
	if (rc == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
		return err_set(e, -EINVAL, "key %s does not belong to certificate %s", files->key,
			       files->cert);
	return err_set(e, -EINVAL, "certificate %s or key %s: %s", files->cert, files->key,
		       gnutls_strerror(rc));
}

static int add_own(struct tls_credentials *creds, const struct tls_files *files, struct err *e)
{
	struct text cert, key;
	gnutls_datum_t c, k;
	int rc;

	if (!files->cert && !files->key && !creds->server)
		return 0;
	if (!files->cert || !files->key)
		return err_set(e, -EINVAL,
			       "a certificate and its key are needed: --tls-cert and --tls-key");
	rc = read_text(files, files->cert, false, &cert, e);
	if (rc < 0)
		return rc;
	rc = read_text(files, files->key, true, &key, e);
	if (rc == 0) {
		c = (gnutls_datum_t){ (unsigned char *)cert.data, (unsigned)cert.bytes };
		k = (gnutls_datum_t){ (unsigned char *)key.data, (unsigned)key.bytes };
		rc = gnutls_certificate_set_x509_key_mem2(creds->x509, &c, &k, GNUTLS_X509_FMT_PEM,
							  NULL, 0);
		rc = rc < 0 ? err_own(e, rc, files) : 0;
		text_fini(&key);
	}
	text_fini(&cert);
	return rc;
}

static int load_x509(struct tls_credentials *creds, const struct tls_files *files, struct err *e)
{
	int rc = gnutls_certificate_allocate_credentials(&creds->x509);

	if (rc < 0)
		return err_gnutls(e, rc, "TLS");
	rc = add_own(creds, files, e);
	return rc == 0 ? add_trust(creds, files, e) : rc;
}

/* --- keys --- */

/* "NAME:HEX" of @len bytes. 0 or -EINVAL. */
static int parse_key(struct tls_key *key, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	gnutls_datum_t hex;
	size_t bytes = sizeof(key->key);

	if (!colon || colon == line || colon - line > TLS_MAX_KEY_NAME)
		return -EINVAL;
	(void)snprintf(key->name, sizeof(key->name), "%.*s", (int)(colon - line), line);
	hex.data = (unsigned char *)(uintptr_t)(colon + 1);
	hex.size = (unsigned)(len - (size_t)(colon + 1 - line));
	if (hex.size < 2 || hex.size % 2 || gnutls_hex_decode(&hex, key->key, &bytes) < 0)
		return -EINVAL;
	key->bytes = (unsigned)bytes;
	return 0;
}

int tls_parse_keys(struct tls_credentials *creds, const char *text, size_t len, const char *path,
		   struct err *e)
{
	const char *end = text + len;
	unsigned number = 1;

	creds->keys = calloc(TLS_MAX_KEYS, sizeof(*creds->keys));
	if (!creds->keys)
		return err_set(e, -ENOMEM, "out of memory");
	for (const char *line = text; line < end; number++) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		size_t n = (size_t)((newline ? newline : end) - line);

		if (n && line[n - 1] == '\r')
			n--;
		if (n && creds->nr_keys == TLS_MAX_KEYS)
			return err_set(e, -E2BIG, "%s has more than %d keys", path, TLS_MAX_KEYS);
		if (n && parse_key(&creds->keys[creds->nr_keys++], line, n) < 0)
			return err_set(e, -EINVAL,
				       "%s, line %u: not 'NAME:HEX KEY' as psktool writes it", path,
				       number);
		line = newline ? newline + 1 : end;
	}
	return creds->nr_keys ? 0 : err_set(e, -EINVAL, "%s has no key in it", path);
}

/* GnuTLS asks for the key of a client that has named itself. */
static int find_key(gnutls_session_t session, const char *name, gnutls_datum_t *ret)
{
	const struct tls_credentials *creds = gnutls_session_get_ptr(session);

	for (unsigned i = 0; i < creds->nr_keys; i++) {
		const struct tls_key *key = &creds->keys[i];

		if (strcmp(key->name, name) != 0)
			continue;
		ret->data = gnutls_malloc(key->bytes);
		if (!ret->data)
			return -1;
		memcpy(ret->data, key->key, key->bytes);
		ret->size = key->bytes;
		return 0;
	}
	return -1;
}

static int install_keys(struct tls_credentials *creds)
{
	gnutls_datum_t key = { creds->keys[0].key, creds->keys[0].bytes };
	int rc;

	if (!creds->server) {
		rc = gnutls_psk_allocate_client_credentials(&creds->psk_client);
		return rc < 0 ? rc
			      : gnutls_psk_set_client_credentials(creds->psk_client,
								  creds->keys[0].name, &key,
								  GNUTLS_PSK_KEY_RAW);
	}
	rc = gnutls_psk_allocate_server_credentials(&creds->psk_server);
	if (rc == 0)
		gnutls_psk_set_server_credentials_function(creds->psk_server, find_key);
	return rc;
}

static int load_psk(struct tls_credentials *creds, const struct tls_files *files, struct err *e)
{
	struct text text;
	int rc;

	if (files->cert || files->key || files->ca)
		return err_set(e, -EINVAL, "use either certificates or pre-shared keys");
	rc = read_text(files, files->psk, true, &text, e);
	if (rc < 0)
		return rc;
	rc = tls_parse_keys(creds, text.data, text.bytes, files->psk, e);
	text_fini(&text);
	if (rc < 0)
		return rc;
	rc = install_keys(creds);
	return rc < 0 ? err_gnutls(e, rc, files->psk) : 0;
}

/* --- both --- */

bool tls_wanted(const struct tls_files *files)
{
	return files->cert || files->key || files->ca || files->psk;
}

int tls_credentials_new(struct tls_credentials **ret, const struct tls_files *files, bool server,
			struct err *e)
{
	struct tls_credentials *creds = calloc(1, sizeof(*creds));
	int rc;

	if (!creds)
		return err_set(e, -ENOMEM, "out of memory");
	rc = gnutls_global_init();
	if (rc < 0) {
		free(creds);
		return err_gnutls(e, rc, "TLS");
	}
	creds->server = server;
	rc = files->psk ? load_psk(creds, files, e) : load_x509(creds, files, e);
	if (rc < 0) {
		tls_credentials_free(creds);
		return rc;
	}
	*ret = creds;
	return 0;
}

void tls_credentials_free(struct tls_credentials *creds)
{
	if (!creds)
		return;
	if (creds->x509)
		gnutls_certificate_free_credentials(creds->x509);
	if (creds->psk_server)
		gnutls_psk_free_server_credentials(creds->psk_server);
	if (creds->psk_client)
		gnutls_psk_free_client_credentials(creds->psk_client);
	if (creds->keys)
		explicit_bzero(creds->keys, TLS_MAX_KEYS * sizeof(*creds->keys));
	free(creds->keys);
	free(creds);
	gnutls_global_deinit();
}
