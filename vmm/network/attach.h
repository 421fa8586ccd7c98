/* SPDX-License-Identifier: MIT */
/* ferry-net as the helper of one guest: its nics are attached, and in the end detached. */
#ifndef FERRY_VMM_NETWORK_ATTACH_H
#define FERRY_VMM_NETWORK_ATTACH_H

struct privilege;

/*
 * Theory of operation
 *
 * A guest's process needs privilege twice: when its nics are attached, and when
 * what that changed is taken back, at a time when the process has given all
 * privilege up, or was killed. So it starts this one, with a socket as standard
 * input, and asks (attach_msg.h). Taps are opened here and given away.
 * Whoever holds the other end of the socket is the guest: once that is closed, by
 * whatever way the guest has ended, everything is taken back, and this process ends.
 *
 * If it is killed first, the journals tell the next command what is to be taken
 * back, as soon as the guest's process has ended: that one holds their locks.
 *
 * Guarded (privilege.h), it serves only what its caller may ask: networks that are
 * defined for the whole host and that the access list allows him, with the filter on. Each
 * request goes to the system's log, with its outcome.
 */

/*
 * Serve the guest on standard input until it is gone. The process is made fit
 * for that: no terminal, no descriptors but the socket, signals of a terminal ignored.
 * Returns the exit status.
 */
int attach_serve(const struct privilege *priv);

#endif
