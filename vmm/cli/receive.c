// SPDX-License-Identifier: MIT
// `ferry receive`: from the command line to a listener.
#include <errno.h>
#include <string.h>

#include "migration/phase.h"
#include "util/log.h"
#include "vmm/cli/cli.h"
#include "vmm/guest/runtime.h"
#include "vmm/guest/state.h"
#include "vmm/move/receive.h"

static const struct field rule_fields[] = {
	{ "rule", &field_string, 0, .arg = "RULE", .help = "a network, an address or a host" },
};

static const struct field map_fields[] = {
	{ "map", &field_string, 0, .arg = "MAP", .help = "disk:ID=PATH or net:ID=BACKEND" },
};

static const struct field dir_fields[] = {
	{ "disk-dir", &field_string, 0, .arg = "FOLDER", .help = "a folder of images" },
};

static const struct field net_fields[] = {
	{ "net-allow", &field_string, 0, .arg = "RULE", .help = "user, hostfwd, tap, ..." },
};

static const struct field_record rule_record = {
	.what = "rule",
	.bytes = sizeof(char *),
	.fields = rule_fields,
	.nr_fields = ARRAY_SIZE(rule_fields),
	.max_items = 64,
};

static const struct field_record map_record = {
	.what = "map",
	.bytes = sizeof(char *),
	.fields = map_fields,
	.nr_fields = ARRAY_SIZE(map_fields),
	.max_items = 64,
};

static const struct field_record dir_record = {
	.what = "disk-dir",
	.bytes = sizeof(char *),
	.fields = dir_fields,
	.nr_fields = ARRAY_SIZE(dir_fields),
	.max_items = 64,
};

static const struct field_record net_record = {
	.what = "net-allow",
	.bytes = sizeof(char *),
	.fields = net_fields,
	.nr_fields = ARRAY_SIZE(net_fields),
	.max_items = 64,
};

#define OPT(member) offsetof(struct receive_options, member)

const struct field receive_fields[] = {
	{ "listen", &field_string, OPT(listen), .arg = "ADDRESS",
	  .help = "tcp:HOST:PORT or unix:PATH" },
	{ "allow", &field_texts, OPT(allow), .arg = "RULE", .record = &rule_record,
	  .help = "who may connect: a network, an address or a host; repeatable (loopback)" },
	{ "tls-cert", &field_string, OPT(tls_cert), .arg = "FILE", .help = "our certificate" },
	{ "tls-key", &field_string, OPT(tls_key), .arg = "FILE", .help = "its private key" },
	{ "tls-ca", &field_string, OPT(tls_ca), .arg = "FILE",
	  .help = "the CA that must have issued the peer's certificate" },
	{ "tls-psk-file", &field_string, OPT(tls_psk), .arg = "FILE",
	  .help = "pre-shared keys, instead of certificates" },
	{ "insecure", &field_flag, OPT(insecure), .help = "listen on TCP without TLS" },
	{ "map", &field_texts, OPT(maps), .arg = "MAP", .record = &map_record,
	  .help = "use another disk or network here: disk:ID=PATH, net:ID=BACKEND; repeatable" },
	{ "disk-dir", &field_texts, OPT(disk_dirs), .arg = "FOLDER", .record = &dir_record,
	  .help = "open no other images than those below this folder; repeatable (anywhere)" },
	{ "net-allow", &field_texts, OPT(net_allow), .arg = "RULE", .record = &net_record,
	  .help = "user, hostfwd, tap[:NAME], bridge[:NAME], network[:NAME], unfiltered, any or "
		  "none: what a guest may be on; repeatable (user, network)" },
	{ "name", &field_string, OPT(name), .arg = "NAME", .help = "call the guest so here" },
	{ "console", &field_string, OPT(console), .arg = "WHERE",
	  .help = "the guest's console here: pty, file:PATH, unix:PATH or none" },
	{ "once", &field_flag, OPT(once), .help = "end when one guest has arrived" },
	{ "limit", &field_uint, OPT(limit), .arg = "N", .help = "guests at a time (no limit)",
	  .min = 1, .max = 128 },
	{ "hold", &field_string, OPT(hold), .arg = "PHASES",
	  .help = "stop at these phases until 'ferry teleport --continue'" },
	SANDBOX_FIELDS(OPT(sandbox)),
	{ "json", &field_flag, OPT(json), .help = "print events as JSON, one a line" },
	{ "verbose", &field_flag, OPT(verbose), .help = "say more", .letter = 'v' },
};
const size_t receive_nr_fields = ARRAY_SIZE(receive_fields);

static int check_rules(const struct field_list *rules, struct err *e)
{
	char **texts = rules->items;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < rules->nr; i++)
		rc = guest_net_rule_check(texts[i], e);
	return rc < 0 ? err_prefix(e, "--net-allow") : 0;
}

static int check(const struct receive_options *o, struct err *e)
{
	uint32_t phases;
	int rc = check_rules(&o->net_allow, e);

	if (rc < 0)
		return rc;

	if (!o->listen)
		return err_set(e, -EINVAL,
			       "--listen is missing: for example tcp:0.0.0.0:8002 or "
			       "unix:/run/ferry/in");
	if (o->name && runtime_check_name(o->name, e) < 0)
		return e->code;
	rc = phase_parse_set(o->hold, &phases, e);
	if (rc == 0 && phases & ((1U << PHASE_PRECOPY) - 1))
		return err_set(e, -EINVAL,
			       "--hold: a guest can be held here from precopy on: before that it "
			       "has no name to say --continue to");
	return rc;
}

/* Wrong settings are wrong usage; all else is a failure. */
static int status_of(const struct cli *cli, const struct err *e)
{
	if (e->code == -EINVAL || e->code == -ERANGE || e->code == -E2BIG)
		return cli_usage(cli->cmd, e);
	return cli_fail(cli, e);
}

int cli_receive(const struct cli *cli)
{
	struct receive_options o = { 0 };
	struct err e;
	int rc = cli_apply(cli, &o, &e);

	if (rc == 0)
		rc = check(&o, &e);
	if (rc == 0) {
		log_init(o.verbose ? LOG_DEBUG : LOG_INFO, "receive");
		rc = receive(&o, &e);
	}
	if (rc < 0)
		rc = status_of(cli, &e);
	fields_free(receive_fields, receive_nr_fields, &o);
	return rc;
}
