/* SPDX-License-Identifier: MIT */
/* Telling a service manager how far we are: sd_notify(3), without its library. */
#ifndef FERRY_UTIL_NOTIFY_H
#define FERRY_UTIL_NOTIFY_H

/*
 * Send @state ("READY=1") to the socket that NOTIFY_SOCKET names, if it names one. Never
 * waits; what cannot be sent is not. Any thread.
 */
void notify_manager(const char *state);

#endif
