// SPDX-License-Identifier: MIT
// After a lost answer: the source asks who has the guest, and does not guess.
#include <errno.h>

#include "migration/channel.h"
#include "migration/source_impl.h"
#include "util/clock.h"
#include "util/log.h"

/* Often at first: the destination may be about to notice that it is alone. */
#define ASK_FIRST_NS (20 * NSEC_PER_MSEC)
#define ASK_MAX_NS   (1 * NSEC_PER_SEC)

bool source_is_abandoned(struct source *s)
{
	MUTEX_SCOPE(&s->lock);
	return s->abandoned;
}

void source_sleep(struct source *s, uint64_t ns)
{
	uint64_t until_ns = clock_now_ns() + ns;
	int rc = 0;

	MUTEX_SCOPE(&s->lock);
	while (!s->forced && !s->abandoned && rc == 0)
		rc = cond_wait_until(&s->changed, &s->lock, until_ns);
}

/* Ask once. HANDOVER_WAIT also where nobody answers. */
static enum handover_answer ask(struct source *s)
{
	enum handover_answer answer = HANDOVER_WAIT;
	struct err e = { 0 };

	if (s->p.peer->ask(s->p.opaque, &s->ticket, &answer, &e) < 0) {
		mutex_lock(&s->lock);
		s->st.error = e;
		mutex_unlock(&s->lock);
		return HANDOVER_WAIT;
	}
	return answer;
}

static bool is_forced(struct source *s)
{
	MUTEX_SCOPE(&s->lock);
	return s->forced;
}

void source_become_unknown(struct source *s, const char *why)
{
	bool known;

	mutex_lock(&s->lock);
	known = s->st.state == SOURCE_UNKNOWN;
	mutex_unlock(&s->lock);
	if (known)
		return;
	log_warn("teleport: the commit was sent, and %s: nobody here knows whether the guest runs "
		 "there. It stays paused, and waits for the answer ('ferry resume --force' or "
		 "'ferry destroy' if you know better)",
		 why);
	source_set_state(s, SOURCE_UNKNOWN);
	s->p.guest->unknown(s->p.opaque);
}

/* If it is forced, one who says that the guest runs there is still believed first. */
bool source_settle(struct source *s)
{
	uint64_t pause_ns = ASK_FIRST_NS;

	while (!source_is_abandoned(s)) {
		enum handover_answer answer = ask(s);

		if (answer == HANDOVER_RUNNING && is_forced(s))
			log_warn("teleport: the guest runs there: it is not resumed here");
		if (answer != HANDOVER_WAIT)
			return answer == HANDOVER_NEVER;
		if (!is_forced(s)) {
			source_become_unknown(s, "no answer came");
			source_sleep(s, pause_ns);
			pause_ns = MIN(2 * pause_ns, ASK_MAX_NS);
		}
		if (is_forced(s))
			return true;
	}
	return false;
}

/* It may wait for an answer on the connection, or have none any more. */
int source_force_resume(struct source *s, struct err *e)
{
	const struct err why = {
		.code = -EINTR,
		.text = "nobody said who has the guest, and it was resumed by force",
	};

	mutex_lock(&s->lock);
	if (s->st.state != SOURCE_UNKNOWN) {
		mutex_unlock(&s->lock);
		return err_set(e, -EINVAL, "it is known who has the guest: nothing to force");
	}
	s->forced = true;
	mutex_unlock(&s->lock);
	phase_gate_close(&s->gate, &why);
	MUTEX_SCOPE(&s->lock);
	if (s->control)
		channel_cancel(s->control);
	(void)pthread_cond_broadcast(&s->changed);
	return 0;
}
