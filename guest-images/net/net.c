// SPDX-License-Identifier: MIT
/*
 * The main loop of the net guest.
 *
 * Theory of operation: everything happens in one thread. Each round takes the frames that have
 * come, whose handlers may send at once, then runs the tasks that are due, then tells the device
 * what was sent. With interrupts, a round in which nothing has happened ends in `hlt` until a frame
 * comes or the next task is due.
 */
#include "net.h"

#define NET_ROUND_FRAMES 64

void net_add_task(struct net *net, struct net_task *task)
{
	if (net->nr_tasks == NET_TASKS)
		panic("net: too many tasks");
	net->tasks[net->nr_tasks++] = task;
}

void net_input(void *context, const struct nic_frame *frame)
{
	const struct eth *eth = (const struct eth *)frame->data;
	struct net *net = context;

	if (frame->bytes < ETH_BYTES) {
		net->bad++;
		return;
	}
	if (!(eth->dst[0] & 1) && memcmp(eth->dst, net->nic.mac, 6)) {
		net->foreign++;
		return;
	}
	if (eth->type == be16(ETH_TYPE_ARP))
		arp_input(net, frame);
	else if (eth->type == be16(ETH_TYPE_IP))
		ip_input(net, frame);
}

/* Runs what is due; returns when the next task is. */
static uint64_t net_run_tasks(struct net *net)
{
	uint64_t next_ns = ~0ull;

	for (unsigned int i = 0; i < net->nr_tasks; i++) {
		struct net_task *task = net->tasks[i];

		if (task->wake_ns <= net->now_ns)
			task->run(net, task);
		if (task->wake_ns < next_ns)
			next_ns = task->wake_ns;
	}
	return next_ns;
}

void net_run(struct net *net)
{
	while (!net->quit) {
		unsigned int frames;
		uint64_t next_ns;

		net->now_ns = clock_ns();
		frames = nic_poll(&net->nic, NET_ROUND_FRAMES, net_input, net);
		next_ns = net_run_tasks(net);
		nic_flush(&net->nic);
		if (!frames && next_ns > net->now_ns && !net->quit)
			virtio_wait(&net->nic.dev, next_ns);
	}
	for (unsigned int i = 0; i < net->nr_tasks; i++) {
		if (net->tasks[i]->report)
			net->tasks[i]->report(net, net->tasks[i]);
	}
}

/* A decimal number up to @limit at *@at, which moves behind it; ~0 if there is none. */
static uint32_t net_parse_number(const char **at, uint32_t limit)
{
	const char *first = *at;
	uint32_t value = 0;

	for (; **at >= '0' && **at <= '9' && value <= limit; (*at)++)
		value = value * 10 + (uint32_t)(**at - '0');
	return *at == first || value > limit ? ~0u : value;
}

void net_job_done(struct net *net, int result)
{
	if (result != EXIT_OK)
		net->result = result;
	net->jobs--;
	if (!net->jobs && net->quit_when_done)
		net->quit = true;
}

uint32_t net_parse_addr(const char *text, uint32_t *ret_number)
{
	const char *at = text;
	uint32_t addr = 0, bad = 0;

	for (unsigned int i = 0; i < 4; i++) {
		uint32_t part = net_parse_number(&at, 255);

		addr = addr << 8 | (part & 255);
		bad |= part >> 8;
		if (i < 3 && *at == '.')
			at++;
		else if (i < 3)
			bad = 1;
	}
	if (ret_number && (*at == ':' || *at == '/')) {
		at++;
		*ret_number = net_parse_number(&at, 65535);
		bad |= *ret_number >> 16;
	}
	if (bad || *at)
		power_usage(text);
	return addr;
}
