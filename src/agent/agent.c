/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/outputs.h"
#include "base/log.h"
#include "bird/leaving.h"
#include "cni/lease.h"
#include "kernel/masquerade.h"
#include "kernel/nft.h"
#include "model/decode.h"
#include "source/file.h"

/* A change is acted upon when it has been quiet for this long ... */
#define DEBOUNCE_MS 100
/* ... or after this many times it, when it never is. */
#define DEBOUNCE_MAX 10
/* What failed for BIRD's or the disk's sake is tried again soon; what was rolled back
 * may have waited for a neighbour whose file changes later, and costs a session each
 * time.  Both wait twice as long after each try. */
#define RETRY_FAILED_SECONDS 1
#define RETRY_FAILED_MAX_SECONDS 15
#define RETRY_ROLLED_BACK_SECONDS 60
#define RETRY_ROLLED_BACK_MAX_SECONDS 960

/* All that comes of one read of the file, in one arena. */
struct wanted {
	struct arena arena;
	struct fileset templates, snippets;
	struct cluster *cluster;
	const struct node *self;
	struct session_want *sessions;
	size_t n_sessions;
	struct rendered rendered;
	size_t n_leaving; /* sessions rendered that the topology no longer has */
	struct buf masquerade; /* text of the nftables table; empty: none */
};

/* What the last configuration that took effect wants of nftables; it is kept also
 * while the file is bad or BIRD is away. */
struct nat {
	bool known, enabled;
	struct buf want, listed; /* see kernel/nft.h */
	struct event *heard;     /* somebody changed nftables; while there is a table of ours */
};

struct waiter {
	struct waiter *next;
	agent_turn_fn *done;
	void *arg;
};

/* Somebody waits for a look at BIRD. */
struct look {
	struct look *next;
	agent_view_fn *done;
	void *arg;
};

struct agent {
	struct event_base *base;
	struct agent_options options;
	struct source *source;
	struct agent_status status;
	struct wanted *wanted; /* the last that was decoded and rendered; NULL: none yet */
	struct apply *apply;   /* running, for `wanted`; before it ... */
	struct observation *before; /* ... a look at what the topology leaves over, */
	struct event *parting;      /* ... and a moment before that goes */
	bool was_leaving;
	struct wanted *next;   /* loaded while an apply was running */
	struct nat nat;
	char refused_id[CONFIG_ID_LEN + 1]; /* not tried again by a mere look */
	struct waiter *waiters; /* for the turn's outcome */
	struct observation *observation; /* one at a time; `looking` wait for it, */
	struct look *looking, *looks;    /* `looks`, who came meanwhile, for the next */
	struct event *debounce, *retry;
	unsigned debounced, retry_seconds;
	void (*turned)(void *);
	void *turned_arg;
};

static void apply_wanted(struct agent *agent);

/* ---------------------------------------------------------------- load */

static void wanted_free(struct wanted *wanted)
{
	if (!wanted)
		return;
	arena_free(&wanted->arena);
	buf_free(&wanted->masquerade);
	free(wanted);
}

static int wanted_render(struct wanted *wanted, struct err *err)
{
	wanted->sessions = render_sessions(wanted->cluster, wanted->self, &wanted->arena,
		&wanted->n_sessions);
	return render(wanted->cluster, wanted->self, &wanted->templates, &wanted->snippets,
		&wanted->arena, &wanted->rendered, err);
}

static int wanted_build(const struct agent *agent, struct inputs *inputs, struct wanted *wanted,
	struct err *err)
{
	const char *name = agent->options.node_name;

	wanted->templates = inputs->templates;
	wanted->snippets = inputs->snippets;

	if (decode_cluster(agent->options.config, buf_text(&inputs->yaml), inputs->yaml.len,
		    &wanted->arena, &wanted->cluster, err) < 0)
		return -1;
	wanted->self = cluster_find_node(wanted->cluster, name);
	if (!wanted->self)
		return err_set(err, ENOENT, "%s: this node is %s, and no node of that name is in it",
			agent->options.config, name);
	if (source_read_passwords(agent->source, wanted->cluster, wanted->self, &wanted->arena,
		    err) < 0)
		return -1;
	masquerade_render(wanted->cluster, wanted->self, &wanted->masquerade);
	return wanted_render(wanted, err);
}

/* NULL, and *err, when the file cannot be used. */
static struct wanted *wanted_load(const struct agent *agent, struct err *err)
{
	struct wanted *wanted = xmalloc(sizeof(*wanted));
	struct inputs inputs = {0};
	int rc;

	memset(wanted, 0, sizeof(*wanted));
	rc = source_read(agent->options.config, &wanted->arena, &inputs, err);
	if (rc == 0)
		rc = wanted_build(agent, &inputs, wanted, err);
	buf_free(&inputs.yaml);
	if (rc == 0)
		return wanted;
	wanted_free(wanted);
	return NULL;
}

/* ---------------------------------------------------------------- the turn's end */

static void tell_waiters(struct agent *agent, const struct apply_result *result)
{
	struct waiter *waiter = agent->waiters;

	agent->waiters = NULL;
	while (waiter) {
		struct waiter *next = waiter->next;

		waiter->done(result, waiter->arg);
		free(waiter);
		waiter = next;
	}
}

static void turn_ended(struct agent *agent, const struct apply_result *result)
{
	tell_waiters(agent, result);
	if (agent->turned)
		agent->turned(agent->turned_arg);
	if (agent->options.once)
		event_base_loopbreak(agent->base);
}

static void retry_later(struct agent *agent, unsigned first, unsigned max)
{
	struct timeval tv = {0};

	agent->retry_seconds *= 2;
	if (agent->retry_seconds < first)
		agent->retry_seconds = first;
	if (agent->retry_seconds > max)
		agent->retry_seconds = max;
	tv.tv_sec = agent->retry_seconds;
	evtimer_add(agent->retry, &tv);
}

/* Nothing that a change of the file would mend, so no event tells when it is over. */
static bool is_transient(const struct err *err)
{
	return err->code == EMFILE || err->code == ENFILE || err->code == ENOMEM ||
		err->code == EIO || err->code == ESTALE;
}

static void retry_over(struct agent *agent)
{
	agent->retry_seconds = 0;
	evtimer_del(agent->retry);
}

/* ---------------------------------------------------------------- masquerade */

static struct nft_table nat_table(struct nat *nat)
{
	return (struct nft_table){MASQUERADE_TABLE, buf_text(&nat->want), &nat->listed};
}

static enum masquerade_state nat_state(const struct nat *nat)
{
	return nat->want.len ? MASQUERADE_ON : nat->enabled ? MASQUERADE_IDLE : MASQUERADE_OFF;
}

/* The configuration took effect: from now on its table is the one that is kept. */
static void nat_take(struct agent *agent, const struct wanted *wanted)
{
	struct nat *nat = &agent->nat;

	nat->enabled = wanted->cluster->cni.masquerade.enabled;
	if (nat->known && strcmp(buf_text(&nat->want), buf_text(&wanted->masquerade)) == 0)
		return;
	nat->known = true;
	buf_free(&nat->want);
	buf_free(&nat->listed);
	buf_puts(&nat->want, buf_text(&wanted->masquerade));
	/* What comes next is no longer the repair of the old one. */
	agent->status.masquerade.state = MASQUERADE_OFF;
}

static void nat_log(const struct agent *agent)
{
	if (!agent->nat.want.len)
		log_info("masquerade: table \"%s\" removed", MASQUERADE_TABLE);
	else if (agent->status.masquerade.state == MASQUERADE_ON)
		log_warn("masquerade: table \"%s\" was changed or deleted by somebody, put right",
			MASQUERADE_TABLE);
	else
		log_info("masquerade: table \"%s\" written", MASQUERADE_TABLE);
}

/* A failure is logged when it is new.  Whoever does not want masquerading need not
 * be able to look at nftables. */
static void nat_failed(struct agent *agent, const struct err *err)
{
	struct masquerade_status *status = &agent->status.masquerade;

	if (nat_state(&agent->nat) == MASQUERADE_OFF &&
		(err->code == EPERM || err->code == ENODATA)) {
		log_debug("masquerade: off; %s", err->msg);
		return;
	}
	if (strcmp(status->err.msg, err->msg) != 0)
		log_error("masquerade: %s", err->msg);
	status->state = MASQUERADE_FAILED;
	status->err = *err;
}

static void on_nft_changed(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;

	(void)what;
	if (nft_watch_heard(fd, MASQUERADE_TABLE_NAME))
		agent_look_again(agent);
}

static void nat_forget(struct nat *nat)
{
	int fd = nat->heard ? event_get_fd(nat->heard) : -1;

	if (!nat->heard)
		return;
	event_free(nat->heard);
	close(fd);
	nat->heard = NULL;
}

/* Listens as long as there is something to lose.  Before the table is read: what
 * happens after that is then heard. */
static void nat_listen(struct agent *agent)
{
	struct nat *nat = &agent->nat;
	struct err err;
	int fd;

	if (!nat->want.len)
		nat_forget(nat);
	if (!nat->want.len || nat->heard)
		return;
	fd = nft_watch(&err);
	if (fd < 0) {
		log_debug("masquerade: %s", err.msg); /* nft_keep() will say it better */
		return;
	}
	nat->heard = event_new(agent->base, fd, EV_READ | EV_PERSIST, on_nft_changed, agent);
	event_add(nat->heard, NULL);
}

static void nat_keep(struct agent *agent)
{
	struct masquerade_status *status = &agent->status.masquerade;
	struct nft_table table = nat_table(&agent->nat);
	struct err err = {0};
	bool written = false;

	if (!agent->nat.known)
		return;
	nat_listen(agent);
	if (nft_keep(&table, &written, &err) < 0) {
		nat_failed(agent, &err);
		return;
	}
	if (written) {
		nat_log(agent);
		status->writes++;
	}
	status->state = nat_state(&agent->nat);
	memset(&status->err, 0, sizeof(status->err));
}

/* Is it worth another try?  A process is not given a capability later. */
static bool nat_wants_retry(const struct agent *agent)
{
	return agent->status.masquerade.state == MASQUERADE_FAILED &&
		agent->status.masquerade.err.code != EPERM;
}

/* Whatever was right at the end of the last turn may not be any more. */
static struct masquerade_status look_at_nat(struct agent *agent)
{
	struct masquerade_status now = agent->status.masquerade;
	struct nft_table table = nat_table(&agent->nat);
	bool differs = false;

	if (now.state != MASQUERADE_ON)
		return now;
	if (nft_look(&table, &differs, &now.err) < 0)
		now.state = MASQUERADE_FAILED;
	else if (differs)
		now.state = MASQUERADE_CHANGED;
	return now;
}

/* ---------------------------------------------------------------- apply */

static bool took_effect(enum apply_outcome outcome)
{
	return outcome == APPLY_CONFIRMED || outcome == APPLY_UNCHANGED;
}

static void log_result(const struct agent *agent, const struct apply_result *result)
{
	const struct agent_status *status = &agent->status;
	const char *outcome = apply_outcome_name(result->outcome);

	switch (result->outcome) {
	case APPLY_UNCHANGED:
		/* What was wrong was taken back. */
		if (status->applied && !took_effect(status->last.outcome))
			log_info("apply: fine again, unchanged generation=%u", result->generation);
		else
			log_debug("apply: unchanged generation=%u", result->generation);
		break;
	case APPLY_CONFIRMED:
		log_info("apply: confirmed generation=%u id=%s sessions=%zu", result->generation,
			agent->wanted->rendered.id, agent->wanted->n_sessions);
		break;
	case APPLY_REFUSED:
	case APPLY_ROLLED_BACK:
		log_error("apply: %s, the running configuration stays: %s", outcome,
			result->err.msg);
		break;
	case APPLY_FAILED:
		/* Once, not at each retry. */
		if (!status->applied || status->last.outcome != APPLY_FAILED ||
			strcmp(status->last.err.msg, result->err.msg) != 0)
			log_warn("apply: failed, trying again: %s", result->err.msg);
		break;
	}
}

/* The MTU pods get: the file's, or that of the interface with the node's address. */
static int pod_mtu(const struct wanted *wanted, unsigned *mtu, struct err *err)
{
	*mtu = wanted->cluster->cni.mtu;
	for (enum family f = 0; f < FAMILIES && !*mtu; f++)
		if (wanted->self->address[f].family &&
			fib_uplink_mtu(&wanted->self->address[f], mtu, err) < 0)
			return -1;
	return 0;
}

static void write_outputs(struct agent *agent)
{
	const struct wanted *wanted = agent->wanted;
	struct err err = {0};
	unsigned mtu;

	if (pod_mtu(wanted, &mtu, &err) == 0 &&
		outputs_write_node(agent->options.run_dir, wanted->cluster, wanted->self, mtu,
			&err) == 0)
		outputs_write_conflist(wanted->cluster, wanted->self, &err);
	if (err.code && !agent->status.own_error.code)
		log_error("outputs: %s", err.msg);
	agent->status.own_error = err;
}

static void note_confirmed(struct agent *agent)
{
	struct err err;

	if (generation_confirmed(agent->options.state_dir, &agent->status.confirmed, &err) < 0)
		log_warn("apply: %s", err.msg);
}

static void on_applied(const struct apply_result *result, void *arg)
{
	struct agent *agent = arg;

	agent->apply = NULL;
	agent->status.applying = false;
	log_result(agent, result);
	agent->status.last = *result;
	agent->status.last_at = time(NULL);
	agent->status.applied = true;
	agent->status.outcomes[result->outcome]++;
	note_confirmed(agent);
	agent->refused_id[0] = '\0';
	if (took_effect(result->outcome))
		nat_take(agent, agent->wanted);
	nat_keep(agent);
	if (took_effect(result->outcome))
		write_outputs(agent);
	else if (result->outcome != APPLY_FAILED)
		memcpy(agent->refused_id, agent->wanted->rendered.id, sizeof(agent->refused_id));
	if (agent->next) { /* the file changed meanwhile */
		wanted_free(agent->wanted);
		agent->wanted = agent->next;
		agent->next = NULL;
		apply_wanted(agent);
		return;
	}
	if (result->outcome == APPLY_FAILED)
		retry_later(agent, RETRY_FAILED_SECONDS, RETRY_FAILED_MAX_SECONDS);
	else if (result->outcome == APPLY_ROLLED_BACK)
		retry_later(agent, RETRY_ROLLED_BACK_SECONDS, RETRY_ROLLED_BACK_MAX_SECONDS);
	else if (agent->status.own_error.code || nat_wants_retry(agent) ||
		agent->wanted->n_leaving || is_transient(&agent->status.load_error))
		retry_later(agent, RETRY_FAILED_SECONDS, RETRY_FAILED_MAX_SECONDS);
	else
		retry_over(agent);
	turn_ended(agent, result);
}

static void start_apply(struct agent *agent)
{
	const struct wanted *wanted = agent->wanted;
	struct apply_want want = {
		.socket = wanted->cluster->bird.socket,
		.dir = agent->options.state_dir,
		.confirm_timeout = wanted->cluster->bird.confirm_timeout,
		.rendered = &wanted->rendered,
		.sessions = wanted->sessions,
		.n_sessions = wanted->n_sessions,
	};

	agent->apply = apply_start(agent->base, &want, on_applied, agent);
}

/* ---------------------------------------------------------------- what a topology leaves over */

static void on_parting(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	start_apply(arg);
}

/* The other node says that it listens to reflectors before it has heard them: once
 * all have what they need, they get a moment more. */
static void part(struct agent *agent)
{
	const struct timeval moment = {.tv_sec = 1};

	evtimer_add(agent->parting, &moment);
}

/* See bird/leaving.h.  When BIRD does not tell, whatever is needed may be up. */
static void on_before(struct bird_state *bird, void *arg)
{
	struct agent *agent = arg;
	struct wanted *wanted = agent->wanted;
	const struct apply_result unknown = {.outcome = APPLY_FAILED, .err = bird->err};
	bool was_leaving = agent->was_leaving;
	struct err err;

	agent->before = NULL;
	if (bird->err.code) {
		bird_state_free(bird);
		on_applied(&unknown, agent);
		return;
	}
	wanted->n_leaving = leaving_mark(wanted->cluster, wanted->self, bird);
	bird_state_free(bird);
	agent->was_leaving = wanted->n_leaving > 0;
	/* It was rendered once, from the same files. */
	if (wanted->n_leaving && wanted_render(wanted, &err) < 0)
		log_error("source: %s", err.msg);
	if (was_leaving != agent->was_leaving)
		log_info("agent: topology reflector, sessions_kept=%zu", wanted->n_leaving);
	if (was_leaving && !agent->was_leaving)
		part(agent);
	else
		start_apply(agent);
}

static void apply_wanted(struct agent *agent)
{
	const struct wanted *wanted = agent->wanted;

	evtimer_del(agent->retry);
	agent->status.applying = true;
	if (leaving_is_possible(wanted->cluster, wanted->self))
		agent->before = observe_start(agent->base, wanted->cluster,
			wanted->self->as_number, on_before, agent);
	else
		start_apply(agent);
}

/* ---------------------------------------------------------------- the turn */

static void load_failed(struct agent *agent, const struct err *err)
{
	if (strcmp(agent->status.load_error.msg, err->msg) != 0)
		log_error("source: %s", err->msg);
	agent->status.load_error = *err;
	/* What waited for its transaction is no longer what the file says. */
	wanted_free(agent->next);
	agent->next = NULL;
	if (!agent->status.applying) {
		nat_keep(agent);
		if (is_transient(err) || nat_wants_retry(agent))
			retry_later(agent, RETRY_FAILED_SECONDS, RETRY_FAILED_MAX_SECONDS);
		turn_ended(agent, NULL);
	}
}

static void loaded(struct agent *agent, const struct wanted *wanted)
{
	if (agent->status.load_error.code)
		log_info("source: %s is fine again", agent->options.config);
	memset(&agent->status.load_error, 0, sizeof(agent->status.load_error));
	agent->status.loaded_at = time(NULL);
	agent->status.renders++;
	if (!agent->wanted || strcmp(agent->wanted->rendered.id, wanted->rendered.id) != 0)
		for (size_t i = 0; i < wanted->cluster->n_warnings; i++)
			log_warn("source: %s", wanted->cluster->warnings[i]);
}

static bool same_bytes(const struct wanted *a, const struct wanted *b)
{
	return strcmp(a->rendered.id, b->rendered.id) == 0 &&
		strcmp(buf_text(&a->masquerade), buf_text(&b->masquerade)) == 0;
}

/* One transaction at a time: what differs from the running one is next. */
static void queue_behind_apply(struct agent *agent, struct wanted *wanted)
{
	wanted_free(agent->next);
	agent->next = NULL;
	if (same_bytes(wanted, agent->wanted))
		wanted_free(wanted); /* its outcome is that of the one that runs */
	else
		agent->next = wanted;
}

/* -1 when the file is bad; else an outcome will come, at once only when these bytes
 * were refused before and nobody insists. */
static int turn(struct agent *agent, bool insist)
{
	struct wanted *wanted;
	struct err err = {0};

	agent->status.loads++;
	source_watch(agent->source);
	wanted = wanted_load(agent, &err);
	if (!wanted) {
		load_failed(agent, &err);
		return -1;
	}
	loaded(agent, wanted);
	if (agent->status.applying) {
		queue_behind_apply(agent, wanted);
		return 0;
	}
	wanted_free(agent->wanted);
	agent->wanted = wanted;
	if (!insist && strcmp(agent->refused_id, wanted->rendered.id) == 0) {
		nat_keep(agent);
		turn_ended(agent, &agent->status.last);
	} else {
		apply_wanted(agent);
	}
	return 0;
}

static void on_debounced(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;

	(void)fd;
	(void)what;
	agent->debounced = 0;
	turn(agent, false);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;

	(void)fd;
	(void)what;
	turn(agent, true);
}

void agent_look_again(struct agent *agent)
{
	struct timeval tv = {.tv_usec = DEBOUNCE_MS * 1000};

	if (++agent->debounced < DEBOUNCE_MAX)
		evtimer_add(agent->debounce, &tv); /* starts it anew */
}

static void on_source_changed(void *arg)
{
	agent_look_again(arg);
}

void agent_apply(struct agent *agent, agent_turn_fn *done, void *arg)
{
	struct waiter *waiter;

	if (turn(agent, true) < 0) {
		done(NULL, arg);
		return;
	}
	waiter = xmalloc(sizeof(*waiter));
	*waiter = (struct waiter){agent->waiters, done, arg};
	agent->waiters = waiter;
}

/* ---------------------------------------------------------------- the view */

/* A session cannot start from an address that the machine does not have, and without
 * forwarding pods reach nobody. */
static void look_at_host(const struct node *self, struct view *view)
{
	for (enum family f = 0; f < FAMILIES; f++) {
		struct err ignored;
		unsigned mtu;

		if (self->address[f].family && fib_uplink_mtu(&self->address[f], &mtu, &ignored) == 0)
			view->lacks_address[f] = mtu == 0;
	}
	for (size_t i = 0; i < self->pod_cidrs.n; i++) {
		enum family f = family_of(&self->pod_cidrs.items[i].addr);

		view->lacks_forwarding[f] = !fib_forwards(f);
	}
}

static bool is_own_pod(const struct node *self, const struct addr *addr)
{
	for (size_t i = 0; i < self->pod_cidrs.n; i++)
		if (prefix_contains_addr(&self->pod_cidrs.items[i], addr))
			return true;
	return false;
}

/* After the node's podCIDR was changed its pods live on with addresses that lead
 * nowhere.  Leases of networks that somebody else configured are none of ours. */
static void look_at_pods(const struct node *self, struct arena *arena, struct view *view)
{
	struct lease *leases = NULL;
	struct err ignored;
	size_t n = 0;

	if (lease_list(LEASE_DATA_DIR, arena, &leases, &n, &ignored) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		bool stray = false;

		if (strcmp(leases[i].network, OUTPUTS_NETWORK) != 0)
			continue;
		for (size_t j = 0; j < leases[i].addr_count && !stray; j++)
			if (!is_own_pod(self, &leases[i].addrs[j])) {
				view->stray_pod = leases[i].addrs[j];
				stray = true;
			}
		view->n_stray_pods += stray;
	}
}

/* Shows one and the same view to everybody in the list. */
static void show(struct agent *agent, struct bird_state *bird, struct look *looks)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct wanted *wanted = agent->wanted;
	struct err fib_error = {0};
	struct fib fib = {0};
	struct view view = {.status = &agent->status, .bird = bird, .fib = &fib,
		.fib_error = &fib_error, .masquerade = look_at_nat(agent), .now = time(NULL)};

	if (wanted) {
		view.cluster = wanted->cluster;
		view.self = wanted->self;
		view.sessions = wanted->sessions;
		view.n_sessions = wanted->n_sessions;
		view.config_id = wanted->rendered.id;
		look_at_host(wanted->self, &view);
		look_at_pods(wanted->self, &arena, &view);
		if (fib_read(&wanted->cluster->pod_cidrs, &arena, &fib, &fib_error) < 0)
			fib.n = 0;
	}
	while (looks) {
		struct look *next = looks->next;

		looks->done(&view, looks->arg);
		free(looks);
		looks = next;
	}
	bird_state_free(bird);
}

static void on_observed(struct bird_state *bird, void *arg);

static void look_at_bird(struct agent *agent)
{
	if (agent->observation || !agent->looks)
		return;
	agent->looking = agent->looks;
	agent->looks = NULL;
	agent->observation = observe_start(agent->base, agent->wanted->cluster, 0, on_observed, agent);
}

static void on_observed(struct bird_state *bird, void *arg)
{
	struct agent *agent = arg;
	struct look *looking = agent->looking;

	agent->observation = NULL;
	agent->looking = NULL;
	show(agent, bird, looking);
	look_at_bird(agent);
}

void agent_observe(struct agent *agent, agent_view_fn *done, void *arg)
{
	struct look *look = xmalloc(sizeof(*look));

	*look = (struct look){NULL, done, arg};
	if (!agent->wanted) {
		struct bird_state *bird = xmalloc(sizeof(*bird));

		memset(bird, 0, sizeof(*bird));
		bird->version = "";
		err_set(&bird->err, EAGAIN, "not asked yet, no configuration was loaded");
		show(agent, bird, look);
		return;
	}
	look->next = agent->looks;
	agent->looks = look;
	look_at_bird(agent);
}

static void forget_looks(struct look *looks)
{
	while (looks) {
		struct look *next = looks->next;

		free(looks);
		looks = next;
	}
}

/* ---------------------------------------------------------------- life */

struct agent *agent_new(struct event_base *base, const struct agent_options *options)
{
	struct agent *agent = xmalloc(sizeof(*agent));

	memset(agent, 0, sizeof(*agent));
	agent->base = base;
	agent->options = *options;
	agent->status.node_name = options->node_name;
	agent->status.source_path = options->config;
	agent->debounce = evtimer_new(base, on_debounced, agent);
	agent->retry = evtimer_new(base, on_retry, agent);
	agent->parting = evtimer_new(base, on_parting, agent);
	agent->source = source_new(base, options->config, on_source_changed, agent);
	return agent;
}

void agent_free(struct agent *agent)
{
	if (!agent)
		return;
	apply_abandon(agent->apply);
	observe_cancel(agent->before);
	observe_cancel(agent->observation);
	forget_looks(agent->looking);
	forget_looks(agent->looks);
	tell_waiters(agent, NULL);
	wanted_free(agent->wanted);
	wanted_free(agent->next);
	nat_forget(&agent->nat);
	buf_free(&agent->nat.want);
	buf_free(&agent->nat.listed);
	source_free(agent->source);
	event_free(agent->debounce);
	event_free(agent->retry);
	event_free(agent->parting);
	free(agent);
}

const struct agent_status *agent_status(const struct agent *agent)
{
	return &agent->status;
}

const struct cluster *agent_cluster(const struct agent *agent)
{
	return agent->wanted ? agent->wanted->cluster : NULL;
}

void agent_on_turn(struct agent *agent, void (*turned)(void *), void *arg)
{
	agent->turned = turned;
	agent->turned_arg = arg;
}
