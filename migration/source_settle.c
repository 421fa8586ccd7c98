// SPDX-License-Identifier: MIT
// After a lost answer: the source asks who has the guest, and does not guess.
#include <errno.h>

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

static void become_unknown(struct source *s)
{
	log_warn("teleport: the commit was sent, and no answer came: nobody here knows whether the "
		 "guest runs there. It stays paused; asking again and again ('ferry resume "
		 "--force' or 'ferry destroy' if you know better)");
	source_set_state(s, SOURCE_UNKNOWN);
	s->p.guest->unknown(s->p.opaque);
}

bool source_settle(struct source *s)
{
	uint64_t pause_ns = ASK_FIRST_NS;

	while (!source_is_abandoned(s)) {
		enum handover_answer answer = ask(s);

		if (answer != HANDOVER_WAIT)
			return answer == HANDOVER_NEVER;
		if (pause_ns == ASK_FIRST_NS)
			become_unknown(s);
		source_sleep(s, pause_ns);
		pause_ns = MIN(2 * pause_ns, ASK_MAX_NS);
		if (is_forced(s))
			return true;
	}
	return false;
}

int source_force_resume(struct source *s, struct err *e)
{
	MUTEX_SCOPE(&s->lock);
	if (s->st.state != SOURCE_UNKNOWN)
		return err_set(e, -EINVAL, "it is known who has the guest: nothing to force");
	s->forced = true;
	(void)pthread_cond_broadcast(&s->changed);
	return 0;
}
