// SPDX-License-Identifier: MIT
// Rest for vCPUs.
#include "vmm/vcpu_throttle.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/compiler.h"

#define PERIOD_NS (10 * NSEC_PER_MSEC)

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

uint64_t vcpu_throttle_rest(struct vcpu_throttle *t, unsigned percent)
{
	uint64_t now_ns;

	if (!percent)
		return 0;
	now_ns = clock_now_ns();
	/* Kicked for another reason: the turn goes on. */
	return now_ns < t->turn_ns ? 0 : now_ns + PERIOD_NS * percent / 100;
}

static int make_timer(struct vcpu_throttle *t, int signal, void *value)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = signal,
		.sigev_value = { .sival_ptr = value },
	};

	event.sigev_notify_thread_id = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &t->timer) < 0)
		return -errno;
	t->armed = true;
	return 0;
}

int vcpu_throttle_run(struct vcpu_throttle *t, unsigned percent, int signal, void *value)
{
	struct itimerspec at = { 0 };
	uint64_t now_ns;
	int rc;

	if (!percent) {
		vcpu_throttle_fini(t);
		return 0;
	}
	now_ns = clock_now_ns();
	if (now_ns < t->turn_ns)
		return 0;
	rc = t->armed ? 0 : make_timer(t, signal, value);
	if (rc < 0)
		return rc;
	t->turn_ns = now_ns + PERIOD_NS * (100 - percent) / 100;
	at.it_value.tv_sec = (time_t)(t->turn_ns / NSEC_PER_SEC);
	at.it_value.tv_nsec = (long)(t->turn_ns % NSEC_PER_SEC);
	return timer_settime(t->timer, TIMER_ABSTIME, &at, NULL) < 0 ? -errno : 0;
}

void vcpu_throttle_fini(struct vcpu_throttle *t)
{
	if (t->armed)
		(void)timer_delete(t->timer);
	*t = (struct vcpu_throttle){ 0 };
}
