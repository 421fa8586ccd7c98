/* SPDX-License-Identifier: MIT */
/* Telling a service manager how far we are: sd_notify(3), without its library. */
#ifndef FERRY_UTIL_NOTIFY_H
#define FERRY_UTIL_NOTIFY_H

/* A socket to the one that NOTIFY_SOCKET names; -1: it names none, or there is nobody. */
int notify_open(void);

/*
 * Send @state ("READY=1") to @fd, from notify_open(). Never waits; what cannot be sent is
 * not. -1: no-op. Any thread.
 */
void notify_manager(int fd, const char *state);

#endif
