// SPDX-License-Identifier: MIT
// TLS on a channel, by GnuTLS.
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "migration/channel_impl.h"
#include "migration/tls_impl.h"
#include "util/clock.h"
#include "util/io.h"
#include "util/printable.h"

/*
 * Theory of operation
 *
 * GnuTLS calls push() and pull(), which wait as the channel does; so for GnuTLS
 * the transport blocks, and there is no state for "try again". Why a transfer
 * of the socket has failed is kept in tx.rc and rx.rc.
 *
 * A record holds 16 KiB at most, and GnuTLS reads its header and its body one
 * after the other: both ways go through buffers of many records, so that the
 * number of system calls is that of a plain connection.
 *
 * One thread may send while another receives: those two touch different buffers,
 * and GnuTLS keeps the two directions of a session apart once it is established.
 *
 * When both sides are content the server sends one byte through TLS, and the
 * client waits for it: in TLS 1.3 a client has finished before the server has
 * looked at its certificate, and would otherwise learn only later, from a
 * transfer that fails, that it was not let in.
 */
#define HANDSHAKE_TIMEOUT_MS 10000
#define HANDSHAKE_MAX_BYTES  (256 * KIB) /* from the peer; chains of certificates are large */
#define MESSAGE_MAX_BYTES    (64 * KIB)
#define BUFFER_BYTES         (256 * KIB)
#define RECORD_BYTES         16384U

/* Fast ciphers first; forward secrecy always. */
#define PRIORITY_COMMON                                                                            \
	"NONE:+VERS-TLS1.3:+VERS-TLS1.2:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:"             \
	"+AEAD:+SHA256:+SHA384:+GROUP-ALL:+SIGN-ALL:+COMP-NULL:+CTYPE-X509:"
#define PRIORITY_X509 PRIORITY_COMMON "+ECDHE-ECDSA:+ECDHE-RSA:%SERVER_PRECEDENCE"
#define PRIORITY_PSK  PRIORITY_COMMON "+ECDHE-PSK:+DHE-PSK:%SERVER_PRECEDENCE"

struct channel_tls {
	struct channel *ch;
	const struct tls_credentials *creds;
	const char *peer_name; /* during the handshake */
	gnutls_session_t session;
	struct {
		int rc; /* -errno of the socket; 0: none */
		size_t begin, end;
		char *buf; /* to send: [0, end); received: [begin, end) */
	} tx, rx;
};

/* --- the transport --- */

static int flush_tx(struct channel_tls *tls)
{
	struct iovec one = { .iov_base = tls->tx.buf, .iov_len = tls->tx.end };
	struct iovec *iov = &one;
	unsigned nr = 1;

	channel_iov_advance(&iov, &nr, 0);
	while (nr && tls->tx.rc == 0) {
		ssize_t n = channel_raw_sendv(tls->ch, iov, nr);

		if (n < 0)
			tls->tx.rc = (int)n;
		else
			channel_iov_advance(&iov, &nr, (size_t)n);
	}
	tls->tx.end = 0;
	return tls->tx.rc;
}

static ssize_t push(gnutls_transport_ptr_t opaque, const void *data, size_t len)
{
	struct channel_tls *tls = opaque;
	size_t n = MIN(len, BUFFER_BYTES - tls->tx.end);

	memcpy(tls->tx.buf + tls->tx.end, data, n);
	tls->tx.end += n;
	if (tls->tx.end == BUFFER_BYTES && flush_tx(tls) < 0) {
		gnutls_transport_set_errno(tls->session, EIO);
		return -1;
	}
	return (ssize_t)n;
}

/* In a handshake the peer has so much to say, and no more. */
static int charge_handshake(struct channel *ch, size_t bytes)
{
	if (!ch->deadline_ns)
		return 0;
	if (bytes > ch->room_bytes)
		return -EPROTO;
	ch->room_bytes -= bytes;
	return 0;
}

static int fill_rx(struct channel_tls *tls)
{
	struct iovec iov = { .iov_base = tls->rx.buf, .iov_len = BUFFER_BYTES };
	ssize_t n = 0;

	/* What we have to say may be what the peer waits for. */
	if (tls->ch->deadline_ns)
		n = flush_tx(tls);
	if (n == 0)
		n = channel_raw_recvv(tls->ch, &iov, 1);
	if (n > 0 && charge_handshake(tls->ch, (size_t)n) < 0)
		n = -EPROTO;
	if (n < 0)
		return (int)n;
	tls->rx.begin = 0;
	tls->rx.end = (size_t)n;
	return n ? 0 : -ECONNRESET;
}

static ssize_t pull(gnutls_transport_ptr_t opaque, void *data, size_t len)
{
	struct channel_tls *tls = opaque;
	size_t n;

	if (tls->rx.begin == tls->rx.end) {
		tls->rx.rc = fill_rx(tls);
		if (tls->rx.rc < 0) {
			gnutls_transport_set_errno(tls->session, EIO);
			return tls->rx.rc == -ECONNRESET ? 0 : -1;
		}
	}
	n = MIN(len, tls->rx.end - tls->rx.begin);
	memcpy(data, tls->rx.buf + tls->rx.begin, n);
	tls->rx.begin += n;
	return (ssize_t)n;
}

/* GnuTLS asks before it pulls in a handshake; pull() waits by itself. */
static int pull_timeout(gnutls_transport_ptr_t opaque, unsigned ms)
{
	(void)opaque;
	(void)ms;
	return 1;
}

/* --- transfers --- */

/* What a failure of GnuTLS is to the channel's user. */
static int errno_of(int socket_rc, ssize_t rc)
{
	if (socket_rc < 0)
		return socket_rc;
	switch (rc) {
	case 0:
	case GNUTLS_E_PREMATURE_TERMINATION:
		return -ECONNRESET;
	case GNUTLS_E_MEMORY_ERROR:
		return -ENOMEM;
	default:
		return -EBADMSG;
	}
}

static int send_bytes(struct channel_tls *tls, const char *p, size_t len)
{
	while (len) {
		ssize_t n = gnutls_record_send(tls->session, p, MIN(len, RECORD_BYTES));

		if (n == GNUTLS_E_INTERRUPTED || n == GNUTLS_E_AGAIN)
			continue;
		if (n <= 0)
			return errno_of(tls->tx.rc, n);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int recv_bytes(struct channel_tls *tls, char *p, size_t len)
{
	while (len) {
		ssize_t n = gnutls_record_recv(tls->session, p, len);

		/* A ticket or a new key of TLS 1.3 is no data. */
		if (n == GNUTLS_E_INTERRUPTED || n == GNUTLS_E_AGAIN)
			continue;
		if (n <= 0)
			return errno_of(tls->rx.rc, n);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int channel_tls_sendv(struct channel_tls *tls, struct iovec *iov, unsigned nr_iov)
{
	int rc = tls->tx.rc;

	for (unsigned i = 0; rc == 0 && i < nr_iov; i++)
		rc = send_bytes(tls, iov[i].iov_base, iov[i].iov_len);
	return rc == 0 ? flush_tx(tls) : rc;
}

int channel_tls_recvv(struct channel_tls *tls, struct iovec *iov, unsigned nr_iov)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < nr_iov; i++)
		rc = recv_bytes(tls, iov[i].iov_base, iov[i].iov_len);
	return rc;
}

/* --- why a handshake failed --- */

/* The names in the peer's certificate: "host2, 10.0.0.2". */
static void cert_names(gnutls_session_t session, char *buf, size_t room)
{
	const gnutls_datum_t *der = gnutls_certificate_get_peers(session, &(unsigned){ 0 });
	gnutls_x509_crt_t crt;
	size_t used = 0;
	char name[256];
	size_t len;

	(void)snprintf(buf, room, "nobody");
	if (!der || gnutls_x509_crt_init(&crt) < 0)
		return;
	if (gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) == 0) {
		for (unsigned i = 0; used < room; i++) {
			int type;

			len = sizeof(name) - 1;
			type = gnutls_x509_crt_get_subject_alt_name(crt, i, name, &len, NULL);
			if (type < 0)
				break;
			if (type == GNUTLS_SAN_DNSNAME)
				used += (size_t)snprintf(buf + used, room - used, "%s%.*s",
							 used ? ", " : "", (int)len, name);
		}
		len = sizeof(name);
		if (!used && gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0,
							   name, &len) == 0)
			(void)snprintf(buf, room, "%.*s", (int)len, name);
	}
	gnutls_x509_crt_deinit(crt);
	printable_ascii(buf); /* chosen by the peer, shown on a terminal */
}

static int err_certificate(const struct channel_tls *tls, struct err *e)
{
	static const struct {
		unsigned bit;
		const char *text;
	} reasons[] = {
		{ GNUTLS_CERT_EXPIRED, "has expired" },
		{ GNUTLS_CERT_NOT_ACTIVATED, "is not valid yet: look at the clocks" },
		{ GNUTLS_CERT_REVOKED, "was revoked" },
		{ GNUTLS_CERT_PURPOSE_MISMATCH, "is not made for this side of a connection" },
		{ GNUTLS_CERT_INSECURE_ALGORITHM, "is signed by an algorithm that is not safe" },
	};
	unsigned status = gnutls_session_get_verify_cert_status(tls->session);
	const char *ca = tls->creds->has_ca ? tls->creds->ca_name : "that the system trusts";
	char names[256];

	if (status & (GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNER_NOT_CA |
		      GNUTLS_CERT_SIGNATURE_FAILURE))
		return err_set(e, -EACCES, "the peer's certificate was not issued by a CA %s", ca);
	for (unsigned i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (status & reasons[i].bit)
			return err_set(e, -EACCES, "the peer's certificate %s", reasons[i].text);
	}
	if (!(status & GNUTLS_CERT_UNEXPECTED_OWNER))
		return err_set(e, -EACCES, "the peer's certificate is not valid");
	cert_names(tls->session, names, sizeof(names));
	return err_set(e, -EACCES,
		       "the peer's certificate is made out to '%s', not to '%s': name it with "
		       "--tls-name if that is the right host",
		       names, tls->peer_name ? tls->peer_name : "");
}

/* What the other side did not like. */
static int err_alert(const struct channel_tls *tls, struct err *e)
{
	static const struct {
		gnutls_alert_description_t alert;
		const char *text;
	} reasons[] = {
		{ GNUTLS_A_CERTIFICATE_REQUIRED,
		  "it wants a certificate (--tls-cert, --tls-key) of a CA that it knows" },
		{ GNUTLS_A_UNKNOWN_CA, "it does not know the CA of our certificate" },
		{ GNUTLS_A_CERTIFICATE_EXPIRED, "our certificate has expired" },
		{ GNUTLS_A_BAD_CERTIFICATE, "it does not take our certificate" },
		{ GNUTLS_A_ACCESS_DENIED, "it does not take our certificate" },
		{ GNUTLS_A_UNKNOWN_PSK_IDENTITY, "it does not know our pre-shared key" },
		{ GNUTLS_A_HANDSHAKE_FAILURE,
		  "one side uses certificates and the other pre-shared keys, or the keys differ" },
	};
	gnutls_alert_description_t alert = gnutls_alert_get(tls->session);

	for (unsigned i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (reasons[i].alert == alert)
			return err_set(e, -EACCES, "the peer refuses TLS: %s", reasons[i].text);
	}
	if (tls->creds->keys)
		return err_set(e, -EACCES, "the peer refuses TLS: the pre-shared keys differ");
	return err_set(e, -EACCES, "the peer refuses TLS: %s", gnutls_alert_get_name(alert));
}

static int err_handshake(const struct channel_tls *tls, int rc, struct err *e)
{
	int socket_rc = tls->tx.rc < 0 ? tls->tx.rc : tls->rx.rc;

	if (rc == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR)
		return err_certificate(tls, e);
	if (rc == GNUTLS_E_FATAL_ALERT_RECEIVED || rc == GNUTLS_E_WARNING_ALERT_RECEIVED)
		return err_alert(tls, e);
	if (rc == GNUTLS_E_NO_CERTIFICATE_FOUND || rc == GNUTLS_E_CERTIFICATE_REQUIRED)
		return err_set(e, -EACCES, "the peer shows no certificate");
	if (socket_rc == -ECONNRESET)
		return err_set(e, socket_rc, "the peer hung up in the TLS handshake");
	if (socket_rc < 0)
		return err_set(e, socket_rc, "TLS handshake: %s",
			       socket_rc == -EPROTO ? "it is too long" : strerror(-socket_rc));
	if (rc == GNUTLS_E_INSUFFICIENT_CREDENTIALS || rc == GNUTLS_E_NO_CIPHER_SUITES)
		return err_set(e, -EACCES,
			       "TLS handshake: one side uses certificates and the other pre-shared "
			       "keys");
	if (tls->creds->keys)
		return err_set(e, -EACCES, "TLS handshake: the pre-shared keys differ (%s)",
			       gnutls_strerror(rc));
	return err_set(e, -EPROTO, "TLS handshake: %s", gnutls_strerror(rc));
}

/* --- set-up --- */

static int set_credentials(struct channel_tls *tls)
{
	const struct tls_credentials *creds = tls->creds;
	gnutls_session_t session = tls->session;
	int rc = gnutls_priority_set_direct(session, creds->keys ? PRIORITY_PSK : PRIORITY_X509,
					    NULL);

	if (rc < 0)
		return rc;
	if (creds->psk_server)
		return gnutls_credentials_set(session, GNUTLS_CRD_PSK, creds->psk_server);
	if (creds->psk_client)
		return gnutls_credentials_set(session, GNUTLS_CRD_PSK, creds->psk_client);
	return gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, creds->x509);
}

/* What a certificate of the peer must be. GnuTLS keeps the pointers in @wanted. */
static void set_verification(struct channel_tls *tls, gnutls_typed_vdata_st wanted[2])
{
	unsigned nr = 0;

	if (tls->creds->keys)
		return;
	if (tls->creds->server) {
		gnutls_certificate_server_set_request(tls->session, tls->creds->has_ca
									    ? GNUTLS_CERT_REQUIRE
									    : GNUTLS_CERT_IGNORE);
		if (!tls->creds->has_ca)
			return;
	}
	wanted[nr++] = (gnutls_typed_vdata_st){
		.type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (unsigned char *)(uintptr_t)(tls->creds->server ? GNUTLS_KP_TLS_WWW_CLIENT
									: GNUTLS_KP_TLS_WWW_SERVER),
	};
	if (tls->peer_name && !tls->creds->server)
		wanted[nr++] = (gnutls_typed_vdata_st){
			.type = GNUTLS_DT_DNS_HOSTNAME,
			.data = (unsigned char *)(uintptr_t)tls->peer_name,
		};
	gnutls_session_set_verify_cert2(tls->session, wanted, nr, 0);
}

/* The byte that says that the client is in. */
static int confirm(struct channel_tls *tls)
{
	char byte = 0;
	ssize_t n;

	if (tls->creds->server) {
		n = gnutls_record_send(tls->session, &byte, 1);
		return n == 1 && flush_tx(tls) == 0 ? 0 : (int)n;
	}
	do {
		n = gnutls_record_recv(tls->session, &byte, 1);
	} while (n == GNUTLS_E_INTERRUPTED || n == GNUTLS_E_AGAIN);
	return n == 1 ? 0 : n == 0 ? GNUTLS_E_PREMATURE_TERMINATION : (int)n;
}

static int handshake(struct channel_tls *tls, struct err *e)
{
	gnutls_typed_vdata_st wanted[2];
	int rc = set_credentials(tls);

	if (rc < 0)
		return err_set(e, -EINVAL, "TLS: %s", gnutls_strerror(rc));
	set_verification(tls, wanted);
	gnutls_handshake_set_max_packet_length(tls->session, MESSAGE_MAX_BYTES);
	gnutls_handshake_set_timeout(tls->session, GNUTLS_INDEFINITE_TIMEOUT);
	tls->ch->deadline_ns = clock_now_ns() + HANDSHAKE_TIMEOUT_MS * NSEC_PER_MSEC;
	tls->ch->room_bytes = HANDSHAKE_MAX_BYTES;
	do {
		rc = gnutls_handshake(tls->session);
	} while (rc < 0 && !gnutls_error_is_fatal(rc) && rc != GNUTLS_E_WARNING_ALERT_RECEIVED);
	if (rc == 0)
		rc = confirm(tls);
	if (rc < 0 && tls->tx.rc == 0 && tls->rx.rc == 0)
		(void)gnutls_alert_send_appropriate(tls->session, rc);
	(void)flush_tx(tls);
	tls->ch->deadline_ns = 0;
	gnutls_session_set_verify_cert2(tls->session, NULL, 0, 0);
	return rc < 0 || tls->tx.rc < 0 ? err_handshake(tls, rc, e) : 0;
}

/* Remember who the peer is, for those who compare. */
static int set_peer_id(struct channel_tls *tls)
{
	const gnutls_datum_t *der = gnutls_certificate_get_peers(tls->session, &(unsigned){ 0 });
	const char *key =
		tls->creds->psk_server ? gnutls_psk_server_get_username(tls->session) : NULL;
	const void *what = der ? (const void *)der->data : key;
	size_t bytes = der ? der->size : key ? strlen(key) : 0;

	return what ? gnutls_hash_fast(GNUTLS_DIG_SHA256, what, bytes, tls->ch->peer_id) : 0;
}

static int new_session(struct channel_tls **ret, struct channel *ch,
		       const struct tls_credentials *creds)
{
	unsigned flags = creds->server ? GNUTLS_SERVER : GNUTLS_CLIENT;
	struct channel_tls *tls = calloc(1, sizeof(*tls));

	if (!tls)
		return -ENOMEM;
	tls->ch = ch;
	tls->creds = creds;
	tls->tx.buf = malloc(BUFFER_BYTES);
	tls->rx.buf = malloc(BUFFER_BYTES);
	/* Sessions are never resumed: no tickets. */
	if (!tls->tx.buf || !tls->rx.buf ||
	    gnutls_init(&tls->session, flags | GNUTLS_NO_TICKETS | GNUTLS_NO_SIGNAL) < 0) {
		channel_tls_free(tls);
		return -ENOMEM;
	}
	gnutls_session_set_ptr(tls->session, (void *)(uintptr_t)creds);
	gnutls_transport_set_ptr(tls->session, tls);
	gnutls_transport_set_push_function(tls->session, push);
	gnutls_transport_set_pull_function(tls->session, pull);
	gnutls_transport_set_pull_timeout_function(tls->session, pull_timeout);
	*ret = tls;
	return 0;
}

int channel_start_tls(struct channel *ch, const struct tls_credentials *creds, int server,
		      const char *peer_name, struct err *e)
{
	struct channel_tls *tls;
	size_t len = strlen(ch->describe);
	int rc;

	if (ch->tls || creds->server != (server != 0))
		return err_set(e, -EINVAL, "TLS cannot be started here");
	rc = new_session(&tls, ch, creds);
	if (rc < 0)
		return err_set(e, rc, "TLS: %s", strerror(-rc));
	tls->peer_name = peer_name;
	rc = handshake(tls, e);
	if (rc == 0 && set_peer_id(tls) < 0)
		rc = err_set(e, -ENOMEM, "TLS: out of memory");
	if (rc < 0) {
		channel_tls_free(tls);
		return rc;
	}
	tls->peer_name = NULL;
	(void)snprintf(ch->describe + len, sizeof(ch->describe) - len, ", %s with %s",
		       gnutls_protocol_get_name(gnutls_protocol_get_version(tls->session)),
		       creds->keys ? "a pre-shared key" : "x509");
	ch->tls = tls;
	return 0;
}

void channel_tls_free(struct channel_tls *tls)
{
	if (!tls)
		return;
	if (tls->session)
		gnutls_deinit(tls->session);
	free(tls->tx.buf);
	free(tls->rx.buf);
	free(tls);
}
