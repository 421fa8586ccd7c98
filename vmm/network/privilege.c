// SPDX-License-Identifier: MIT
// File capabilities: put aside, given up, used.
#include "vmm/network/privilege.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SAFE_PATH "/usr/sbin:/usr/bin:/sbin:/bin"

struct caps {
	uint64_t effective, permitted;
};

static int get_caps(struct caps *ret)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &hdr, data) < 0)
		return -errno;
	ret->effective = data[0].effective | (uint64_t)data[1].effective << 32;
	ret->permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

/* None is inheritable. */
static int set_caps(const struct caps *caps)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct data[2] = {
		{ .effective = (uint32_t)caps->effective, .permitted = (uint32_t)caps->permitted },
		{ .effective = (uint32_t)(caps->effective >> 32),
		  .permitted = (uint32_t)(caps->permitted >> 32) },
	};

	return syscall(SYS_capset, &hdr, data) < 0 ? -errno : 0;
}

int privilege_begin(struct privilege *ret)
{
	struct caps caps = { 0 };
	int rc;

	*ret = (struct privilege){ .guarded = getauxval(AT_SECURE) != 0, .uid = getuid() };
	if (!ret->guarded)
		return 0;
	rc = get_caps(&caps);
	if (rc < 0)
		return rc;
	caps.effective = 0;
	rc = set_caps(&caps);
	if (rc < 0)
		return rc;
	return clearenv() != 0 || setenv("PATH", SAFE_PATH, 1) < 0 ? -ENOMEM : 0;
}

int privilege_drop(const struct privilege *p)
{
	const struct caps none = { 0 };
	gid_t gid = getgid();

	if (!p->guarded)
		return 0;
	if (setresgid(gid, gid, gid) < 0 || setresuid(p->uid, p->uid, p->uid) < 0)
		return -errno;
	return set_caps(&none);
}

int privilege_become_root(struct err *e)
{
	struct caps caps = { 0 };
	int rc = get_caps(&caps);

	if (rc == 0) {
		caps.effective = caps.permitted;
		rc = set_caps(&caps);
	}
	if (rc == 0 && (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
		rc = -errno;
	caps.permitted = 1ULL << CAP_NET_ADMIN | 1ULL << CAP_NET_RAW;
	caps.effective = caps.permitted;
	if (rc == 0)
		rc = set_caps(&caps);
	if (rc < 0)
		return err_set(
			e, rc,
			"ferry-net lacks capabilities: its file needs cap_setuid, cap_setgid, "
			"cap_net_admin and cap_net_raw");
	return 0;
}
