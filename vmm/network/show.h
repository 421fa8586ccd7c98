/* SPDX-License-Identifier: MIT */
/* Managed networks as people and programs see them. */
#ifndef FERRY_VMM_NETWORK_SHOW_H
#define FERRY_VMM_NETWORK_SHOW_H

#include <jansson.h>
#include <stdio.h>

#include "net/managed/network.h"

/*
 * A network with what it is now: its definition, whether it is up, its guests'
 * nics with MAC, addresses, tap and counters. NULL with the reason in @e.
 */
json_t *net_show_one(const struct net_dirs *dirs, const struct netdef *def, struct err *e);

/* All that are defined, sorted by name. */
json_t *net_show_all(const struct net_dirs *dirs, struct err *e);

/* The same for a terminal. */
void net_print_table(const json_t *all, FILE *out);
void net_print_one(const json_t *one, FILE *out);

#endif
