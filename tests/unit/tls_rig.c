// SPDX-License-Identifier: MIT
// Certificates, keys and key files for tests of TLS.
#include "tls_rig.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#define DAY_S (24 * 3600)

const char *tls_rig_path(const struct tls_rig *rig, const char *name, const char *suffix)
{
	static char paths[8][160];
	static unsigned next;
	char *path = paths[next++ % 8];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s%s", rig->dir, name, suffix);
	return path;
}

const char *tls_rig_write(const struct tls_rig *rig, const char *name, const char *text)
{
	const char *path = tls_rig_path(rig, name, "");
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
	return path;
}

/* --- certificates --- */

static void write_pem(const struct tls_rig *rig, const char *name, const char *suffix,
		      const gnutls_datum_t *pem)
{
	char file[96];

	(void)snprintf(file, sizeof(file), "%s%s", name, suffix);
	(void)tls_rig_write(rig, file, (const char *)pem->data);
}

static gnutls_x509_privkey_t load_key(const struct tls_rig *rig, const char *name)
{
	gnutls_x509_privkey_t key;
	gnutls_datum_t pem;

	assert_int_equal(gnutls_load_file(tls_rig_path(rig, name, ".key"), &pem), 0);
	assert_int_equal(gnutls_x509_privkey_init(&key), 0);
	assert_int_equal(gnutls_x509_privkey_import(key, &pem, GNUTLS_X509_FMT_PEM), 0);
	gnutls_free(pem.data);
	return key;
}

static gnutls_x509_crt_t load_crt(const struct tls_rig *rig, const char *name)
{
	gnutls_x509_crt_t crt;
	gnutls_datum_t pem;

	assert_int_equal(gnutls_load_file(tls_rig_path(rig, name, ".pem"), &pem), 0);
	assert_int_equal(gnutls_x509_crt_init(&crt), 0);
	assert_int_equal(gnutls_x509_crt_import(crt, &pem, GNUTLS_X509_FMT_PEM), 0);
	gnutls_free(pem.data);
	return crt;
}

static void set_name(gnutls_x509_crt_t crt, const struct tls_rig_cert *cert)
{
	struct in_addr a;

	assert_int_equal(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0,
						       cert->name, (unsigned)strlen(cert->name)),
			 0);
	if (cert->ip) {
		assert_int_equal(inet_pton(AF_INET, cert->name, &a), 1);
		assert_int_equal(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, &a,
								      sizeof(a), 0),
				 0);
	} else if (cert->issuer) {
		assert_int_equal(
			gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, cert->name,
							     (unsigned)strlen(cert->name), 0),
			0);
	}
}

static void set_use(gnutls_x509_crt_t crt, const struct tls_rig_cert *cert)
{
	time_t now = time(NULL);
	unsigned char serial = 1;

	assert_int_equal(gnutls_x509_crt_set_version(crt, 3), 0);
	assert_int_equal(gnutls_x509_crt_set_serial(crt, &serial, 1), 0);
	gnutls_x509_crt_set_activation_time(crt, now + (cert->early ? 1 : -30) * DAY_S);
	gnutls_x509_crt_set_expiration_time(crt, now + (cert->expired ? -1 : 365) * DAY_S);
	if (!cert->issuer) {
		assert_int_equal(gnutls_x509_crt_set_basic_constraints(crt, 1, -1), 0);
		assert_int_equal(gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN), 0);
	}
	if (cert->purpose)
		assert_int_equal(gnutls_x509_crt_set_key_purpose_oid(crt, cert->purpose, 0), 0);
}

void tls_rig_make(const struct tls_rig *rig, const struct tls_rig_cert *cert)
{
	gnutls_x509_privkey_t key, signer;
	gnutls_x509_crt_t crt, issuer;
	gnutls_datum_t pem;

	assert_int_equal(gnutls_x509_privkey_init(&key), 0);
	assert_int_equal(
		gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
					     GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
		0);
	assert_int_equal(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem), 0);
	write_pem(rig, cert->name, ".key", &pem);
	gnutls_free(pem.data);

	assert_int_equal(gnutls_x509_crt_init(&crt), 0);
	assert_int_equal(gnutls_x509_crt_set_key(crt, key), 0);
	set_name(crt, cert);
	set_use(crt, cert);
	if (cert->issuer) {
		issuer = load_crt(rig, cert->issuer);
		signer = load_key(rig, cert->issuer);
		assert_int_equal(gnutls_x509_crt_sign2(crt, issuer, signer, GNUTLS_DIG_SHA256, 0),
				 0);
		gnutls_x509_crt_deinit(issuer);
		gnutls_x509_privkey_deinit(signer);
	} else {
		assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), 0);
	}
	assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), 0);
	write_pem(rig, cert->name, ".pem", &pem);
	gnutls_free(pem.data);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
}

/* --- the folder --- */

void tls_rig_init(struct tls_rig *rig)
{
	(void)snprintf(rig->dir, sizeof(rig->dir), "/tmp/ferry-test-tls-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	assert_int_equal(gnutls_global_init(), 0);
	tls_rig_make(rig, &(struct tls_rig_cert){ .name = "ca" });
}

void tls_rig_fini(struct tls_rig *rig)
{
	DIR *dir = opendir(rig->dir);
	const struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	}
	(void)closedir(dir);
	assert_int_equal(rmdir(rig->dir), 0);
	gnutls_global_deinit();
}
