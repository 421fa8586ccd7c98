// SPDX-License-Identifier: MIT
// TLS on a channel: who is let in, what is said to those who are not, whole transfers.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <gnutls/x509.h>

#include "migration/channel.h"
#include "migration/tls.h"
#include "tls_rig.h"
#include "util/clock.h"
#include "util/io.h"
#include "util/thread.h"

#define BIG_BYTES (3U * 1024 * 1024 + 17)
#define KEY_A     "ferry:00112233445566778899aabbccddeeff\n"
#define KEY_B     "ferry:ffffffffffffffffffffffffffffffff\n"
#define HEX_32    "0000000000000000000000000000000000000000000000000000000000000000"
#define KEY_C     "other:00112233445566778899aabbccddeeff\n"

static struct tls_rig rig;

static int setup(void **state)
{
	(void)state;
	tls_rig_init(&rig);
	tls_rig_make(&rig, &(struct tls_rig_cert){ .name = "otherca" });
	tls_rig_make(&rig, &(struct tls_rig_cert){ .name = "host1", .issuer = "ca" });
	tls_rig_make(&rig, &(struct tls_rig_cert){ .name = "host2", .issuer = "ca" });
	tls_rig_make(&rig, &(struct tls_rig_cert){ .name = "10.0.0.2", .issuer = "ca", .ip = 1 });
	tls_rig_make(&rig, &(struct tls_rig_cert){ .name = "old", .issuer = "ca", .expired = 1 });
	tls_rig_make(&rig, &(struct tls_rig_cert){ .name = "new", .issuer = "ca", .early = 1 });
	tls_rig_make(&rig, &(struct tls_rig_cert){ .name = "alien", .issuer = "otherca" });
	tls_rig_make(&rig, &(struct tls_rig_cert){ .name = "client",
						   .issuer = "ca",
						   .purpose = GNUTLS_KP_TLS_WWW_CLIENT });
	(void)tls_rig_write(&rig, "a.psk", KEY_A);
	(void)tls_rig_write(&rig, "b.psk", KEY_B);
	(void)tls_rig_write(&rig, "c.psk", KEY_C);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tls_rig_fini(&rig);
	return 0;
}

/* What one side is given; NULL where nothing. */
struct side {
	const char *cert; /* stem of the files */
	const char *ca;
	const char *psk;
};

static struct tls_credentials *load(const struct side *side, bool server)
{
	struct tls_credentials *creds = NULL;
	struct tls_files files = { 0 };
	struct err e;

	if (side->cert) {
		files.cert = tls_rig_path(&rig, side->cert, ".pem");
		files.key = tls_rig_path(&rig, side->cert, ".key");
	}
	if (side->ca)
		files.ca = tls_rig_path(&rig, side->ca, ".pem");
	if (side->psk)
		files.psk = tls_rig_path(&rig, side->psk, ".psk");
	assert_int_equal(tls_credentials_new(&creds, &files, server, &e), 0);
	return creds;
}

struct server {
	struct channel *ch;
	struct tls_credentials *creds;
	uint8_t *buf; /* to receive and send back; NULL: neither */
	int rc;
	struct err e;
};

static void *serve(void *opaque)
{
	struct server *s = opaque;

	s->e.text[0] = '\0';
	s->rc = channel_start_tls(s->ch, s->creds, 1, NULL, &s->e);
	if (s->rc == 0 && s->buf) {
		s->rc = channel_recv(s->ch, s->buf, BIG_BYTES);
		if (s->rc == 0)
			s->rc = channel_send(s->ch, s->buf, BIG_BYTES);
	}
	if (s->rc < 0) {
		channel_free(s->ch);
		s->ch = NULL;
	}
	return NULL;
}

struct pair {
	struct server server;
	struct channel *client;
	struct tls_credentials *creds;
	pthread_t thread;
	int rc;
	struct err e;
};

static void begin(struct pair *p, const struct side *server, const struct side *client)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(channel_new(&p->client, fds[0], &p->e), 0);
	assert_int_equal(channel_new(&p->server.ch, fds[1], &p->e), 0);
	p->server.creds = load(server, true);
	p->creds = load(client, false);
	assert_int_equal(thread_start(&p->thread, THREAD_MOVE, "server", serve, &p->server), 0);
}

static void release(struct pair *p)
{
	channel_free(p->client);
	channel_free(p->server.ch);
	tls_credentials_free(p->creds);
	tls_credentials_free(p->server.creds);
}

static void end(struct pair *p)
{
	assert_int_equal(pthread_join(p->thread, NULL), 0);
	release(p);
}

static const struct side host2 = { .cert = "host2", .ca = "ca" };
static const struct side host1 = { .cert = "host1", .ca = "ca" };
static const struct side psk_a = { .psk = "a" };

/* Each case: who, as whom, and what the client and the server say; NULL: let in. */
static void test_who_is_let_in(void **state)
{
	static const struct {
		struct side server, client;
		const char *name; /* that the client asks for */
		const char *client_says, *server_says;
	} cases[] = {
		{ { "host2", "ca", NULL }, { "host1", "ca", NULL }, "host2", NULL, NULL },
		{ { "host2", "ca", NULL }, { "host1", "ca", NULL }, NULL, NULL, NULL },
		{ { "10.0.0.2", "ca", NULL }, { "host1", "ca", NULL }, "10.0.0.2", NULL, NULL },
		/* a server without a CA takes every client */
		{ { "host2", NULL, NULL }, { NULL, "ca", NULL }, "host2", NULL, NULL },
		{ { NULL, NULL, "a" }, { NULL, NULL, "a" }, "host2", NULL, NULL },
		{ { "host2", "ca", NULL },
		  { "host1", "ca", NULL },
		  "host3",
		  "made out to 'host2', not to 'host3'",
		  "" },
		{ { "10.0.0.2", "ca", NULL },
		  { "host1", "ca", NULL },
		  "10.0.0.3",
		  "not to '10.0.0.3'",
		  "" },
		{ { "old", "ca", NULL }, { "host1", "ca", NULL }, "old", "has expired", "" },
		{ { "new", "ca", NULL }, { "host1", "ca", NULL }, "new", "not valid yet", "" },
		{ { "alien", "ca", NULL }, { "host1", "ca", NULL }, "alien", "not issued by", "" },
		{ { "client", "ca", NULL },
		  { "host1", "ca", NULL },
		  "client",
		  "not made for this side",
		  "" },
		{ { "host2", "ca", NULL },
		  { NULL, "ca", NULL },
		  "host2",
		  "wants a certificate",
		  "shows no certificate" },
		{ { "host2", "ca", NULL },
		  { "alien", "ca", NULL },
		  "host2",
		  "of a CA that it knows",
		  "shows no certificate" },
		{ { "host2", "ca", NULL },
		  { "old", "ca", NULL },
		  "host2",
		  "refuses TLS",
		  "has expired" },
		/* signed by a CA of the client's, not of the system's */
		{ { "host2", NULL, NULL }, { NULL, NULL, NULL }, "host2", "that the system", "" },
		{ { NULL, NULL, "a" }, { NULL, NULL, "b" }, NULL, "keys differ", "keys differ" },
		{ { NULL, NULL, "a" }, { NULL, NULL, "c" }, NULL, "", "" },
		{ { NULL, NULL, "a" }, { "host1", "ca", NULL }, "host2", "", "" },
		{ { "host2", "ca", NULL }, { NULL, NULL, "a" }, "host2", "", "" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pair p = { 0 };
		bool good = !cases[i].client_says;

		begin(&p, &cases[i].server, &cases[i].client);
		p.rc = channel_start_tls(p.client, p.creds, 0, cases[i].name, &p.e);
		end(&p);
		print_message("# %u: client %d %s | server %d %s\n", i, p.rc, p.rc ? p.e.text : "",
			      p.server.rc, p.server.rc ? p.server.e.text : "");
		assert_true((p.rc == 0) == good);
		assert_true((p.server.rc == 0) == good);
		if (good)
			continue;
		assert_non_null(strstr(p.e.text, cases[i].client_says));
		assert_non_null(strstr(p.server.e.text, cases[i].server_says));
		assert_null(strchr(p.e.text, '\n'));
		assert_null(strchr(p.server.e.text, '\n'));
	}
}

/* Both sides up. */
static void connect_pair(struct pair *p, const struct side *server, const struct side *client)
{
	*p = (struct pair){ 0 };
	begin(p, server, client);
	p->rc = channel_start_tls(p->client, p->creds, 0, NULL, &p->e);
	assert_int_equal(pthread_join(p->thread, NULL), 0);
	assert_int_equal(p->rc, 0);
	assert_int_equal(p->server.rc, 0);
}

/* A channel belongs to another if both peers have proven to be the same. */
static void test_same_peer(void **state)
{
	static const struct {
		struct side server, client;
	} cases[] = {
		{ { "host2", "ca", NULL }, { "host1", "ca", NULL } },
		{ { "host2", "ca", NULL }, { "host2", "ca", NULL } },
		{ { NULL, NULL, "a" }, { NULL, NULL, "a" } },
		{ { "host2", NULL, NULL }, { NULL, "ca", NULL } },
	};
	struct pair a, b;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(cases); j++) {
			connect_pair(&a, &cases[i].server, &cases[i].client);
			connect_pair(&b, &cases[j].server, &cases[j].client);
			if (channel_same_peer(a.server.ch, b.server.ch) != (i == j))
				fail_msg("%zu and %zu", i, j);
			release(&a);
			release(&b);
		}
	}
}

/* Both ways, larger than all buffers, from odd pieces. */
static void transfer(const struct side *server, const struct side *client, const char *shown)
{
	struct pair p = { .server.buf = malloc(BIG_BYTES) };
	uint8_t *out = malloc(BIG_BYTES);
	uint8_t *in = calloc(1, BIG_BYTES);
	struct iovec iov[] = {
		{ out, 1 }, { out + 1, 0 }, { out + 1, 20000 }, { out + 20001, BIG_BYTES - 20001 }
	};

	assert_non_null(out);
	assert_non_null(in);
	for (size_t i = 0; i < BIG_BYTES; i++)
		out[i] = (uint8_t)(i * 13 + i / 509);
	begin(&p, server, client);
	assert_int_equal(channel_start_tls(p.client, p.creds, 0, "host2", &p.e), 0);
	assert_non_null(strstr(channel_describe(p.client), shown));
	assert_int_equal(channel_sendv(p.client, iov, ARRAY_SIZE(iov)), 0);
	assert_int_equal(channel_recv(p.client, in, BIG_BYTES), 0);
	assert_memory_equal(in, out, BIG_BYTES);
	end(&p);
	assert_int_equal(p.server.rc, 0);
	free(p.server.buf);
	free(out);
	free(in);
}

static void test_transfer(void **state)
{
	(void)state;
	transfer(&host2, &host1, "TLS1.3 with x509");
	transfer(&psk_a, &psk_a, "TLS1.3 with a pre-shared key");
}

/* One thread sends while another receives, on both sides at once. */
struct half {
	struct channel *ch;
	uint8_t *buf;
	int rc;
};

static void *send_half(void *opaque)
{
	struct half *h = opaque;

	h->rc = channel_send(h->ch, h->buf, BIG_BYTES);
	return NULL;
}

static void test_both_ways_at_once(void **state)
{
	uint8_t *out = calloc(1, BIG_BYTES);
	uint8_t *in[2] = { calloc(1, BIG_BYTES), calloc(1, BIG_BYTES) };
	struct half halves[2] = { { .buf = out }, { .buf = out } };
	struct pair p = { 0 };
	pthread_t threads[2];

	(void)state;
	memset(out, 0x5a, BIG_BYTES);
	begin(&p, &host2, &host1);
	assert_int_equal(channel_start_tls(p.client, p.creds, 0, "host2", &p.e), 0);
	assert_int_equal(pthread_join(p.thread, NULL), 0);
	halves[0].ch = p.client;
	halves[1].ch = p.server.ch;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(
			thread_start(&threads[i], THREAD_MOVE, "sender", send_half, &halves[i]), 0);
	/* Each side is read by this thread, bit by bit, as both are in the way. */
	for (size_t at = 0; at < BIG_BYTES; at += 4096) {
		size_t n = at + 4096 <= BIG_BYTES ? 4096 : BIG_BYTES - at;

		assert_int_equal(channel_recv(p.server.ch, in[0] + at, n), 0);
		assert_int_equal(channel_recv(p.client, in[1] + at, n), 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(halves[i].rc, 0);
		assert_memory_equal(in[i], out, BIG_BYTES);
		free(in[i]);
	}
	free(out);
	release(&p);
}

/* The peer goes in the middle; a cancel ends what waits; nothing comes: timeout. */
static void test_broken(void **state)
{
	uint8_t byte;

	(void)state;
	for (unsigned what = 0; what < 3; what++) {
		struct pair p = { 0 };
		int rc;

		begin(&p, &host2, &host1);
		assert_int_equal(channel_start_tls(p.client, p.creds, 0, "host2", &p.e), 0);
		assert_int_equal(pthread_join(p.thread, NULL), 0);
		if (what == 0) {
			channel_free(p.server.ch);
			p.server.ch = NULL;
		} else if (what == 1) {
			channel_cancel(p.client);
		} else {
			channel_set_timeout(p.client, 20);
		}
		rc = channel_recv(p.client, &byte, 1);
		assert_int_equal(rc, what == 0 ? -ECONNRESET : what == 1 ? -ECANCELED : -ETIMEDOUT);
		release(&p);
	}
}

/* --- a peer that does not speak TLS --- */

static void test_garbage(void **state)
{
	static const struct side none = { .cert = "host2", .ca = "ca" };
	struct tls_credentials *creds;
	struct channel *ch;
	char junk[600];
	struct err e;
	int fds[2];

	(void)state;
	creds = load(&none, true);
	memset(junk, 'G', sizeof(junk));
	for (unsigned silent = 0; silent < 2; silent++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		assert_int_equal(channel_new(&ch, fds[0], &e), 0);
		channel_set_timeout(ch, 30);
		if (!silent)
			assert_int_equal(write(fds[1], junk, sizeof(junk)), sizeof(junk));
		assert_true(channel_start_tls(ch, creds, 1, NULL, &e) < 0);
		assert_non_null(strstr(e.text, "TLS handshake"));
		channel_free(ch);
		(void)close(fds[1]);
	}
	tls_credentials_free(creds);
}

/* Something that looks like a handshake and never ends: bounded in size. */
static void *feed_handshake(void *opaque)
{
	/* A record of type handshake, TLS 1.2, 16384 bytes: a ClientHello of 16 MiB. */
	static const uint8_t head[] = { 22, 3, 3, 0x40, 0, 1, 0xff, 0xff, 0xff };
	const int *fd = opaque;
	uint8_t record[5 + 16384] = { 0 };

	memcpy(record, head, sizeof(head));
	for (unsigned i = 0; i < 4096; i++) {
		if (send(*fd, record, sizeof(record), MSG_NOSIGNAL) < 0)
			break;
	}
	return NULL;
}

static void test_endless_handshake(void **state)
{
	struct tls_credentials *creds = load(&host2, true);
	struct channel *ch;
	pthread_t thread;
	struct err e;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(channel_new(&ch, fds[0], &e), 0);
	assert_int_equal(thread_start(&thread, THREAD_MOVE, "feeder", feed_handshake, &fds[1]), 0);
	assert_true(channel_start_tls(ch, creds, 1, NULL, &e) < 0);
	channel_free(ch);
	assert_int_equal(pthread_join(thread, NULL), 0);
	(void)close(fds[1]);
	tls_credentials_free(creds);
}

/* --- files --- */

static void test_bad_files(void **state)
{
	const char *cert = tls_rig_path(&rig, "host2", ".pem");
	const char *key = tls_rig_path(&rig, "host2", ".key");
	const char *other = tls_rig_path(&rig, "host1", ".key");
	const char *open_key = tls_rig_write(&rig, "open.psk", KEY_A);
	const char *junk = tls_rig_write(&rig, "junk", "junk\n");
	const struct {
		struct tls_files files;
		const char *says;
	} cases[] = {
		{ { .cert = cert }, "--tls-key" },
		{ { .key = key }, "--tls-cert" },
		{ { .ca = cert }, "--tls-cert" },
		{ { .cert = "/nonexistent", .key = key }, "/nonexistent: No such file" },
		{ { .cert = cert, .key = other }, "does not belong to" },
		{ { .cert = junk, .key = key }, junk },
		{ { .cert = cert, .key = key, .ca = junk }, "no certificate of a CA" },
		{ { .cert = "/tmp", .key = key }, "is not a file" },
		{ { .psk = junk }, "line 1" },
		{ { .psk = open_key }, "everybody may read" },
		{ { .psk = tls_rig_path(&rig, "a", ".psk"), .cert = cert }, "either" },
	};
	struct tls_credentials *creds;
	struct err e;

	(void)state;
	assert_int_equal(chmod(open_key, 0644), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_true(tls_credentials_new(&creds, &cases[i].files, true, &e) < 0);
		assert_non_null(strstr(e.text, cases[i].says));
	}
}

static void test_key_files(void **state)
{
	static const char too_long[] = "a:" HEX_32 HEX_32 "00";
	static const char *const bad[] = {
		"",
		"\n\n",
		"a",
		"a:",
		":00",
		"a:0",
		"a:0g",
		"a:00 ",
		"a:00\nb",
		"a:00\n:11",
		"a123456789b123456789c123456789d123456789e123456789f123456789g12345:00",
		too_long,
	};
	static const char *const good[] = { "a:00", "a:00\r\nb:11\n", "\na:0aF9\n\n" };
	struct tls_files files;
	struct tls_credentials *creds;
	struct err e;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		files = (struct tls_files){ .psk = tls_rig_write(&rig, "x.psk", bad[i]) };
		assert_int_equal(tls_credentials_new(&creds, &files, true, &e), -EINVAL);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		files = (struct tls_files){ .psk = tls_rig_write(&rig, "x.psk", good[i]) };
		assert_int_equal(tls_credentials_new(&creds, &files, true, &e), 0);
		tls_credentials_free(creds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_peer),
		cmocka_unit_test(test_who_is_let_in),
		cmocka_unit_test(test_transfer),
		cmocka_unit_test(test_both_ways_at_once),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_endless_handshake),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_key_files),
	};

	return cmocka_run_group_tests_name("channel_tls", tests, setup, teardown);
}
