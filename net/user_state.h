/* SPDX-License-Identifier: MIT */
/* Saved state of user networking: what libslirp can carry. */
#ifndef FERRY_NET_USER_STATE_H
#define FERRY_NET_USER_STATE_H

#include <slirp/libslirp.h>

#include "migration/vstate.h"

/* In user_state.c, for those who want all tables by name. */
extern const struct vstate_table user_vstate;

/*
 * Put and take libslirp's state: who has which address by DHCP, the next IP
 * identification. Connections are not in it (docs/networking.md), and forwards
 * are in the settings. Load: 0, or -errno with the reason in @e. Loop of the pair.
 */
void user_state_save(Slirp *slirp, struct vstate_writer *w);
__must_check int user_state_load(Slirp *slirp, struct vstate_reader *r, struct err *e);

#endif
