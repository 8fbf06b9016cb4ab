/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/agent.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/drain.h"
#include "agent/drift.h"
#include "agent/history.h"
#include "agent/nat.h"
#include "agent/outputs.h"
#include "agent/refusal.h"
#include "agent/step.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "bird/leaving.h"
#include "cni/lease.h"
#include "kernel/masquerade.h"
#include "kube/kube.h"
#include "model/decode.h"
#include "source/file.h"

/* A change is acted upon when it has been quiet for this long ... */
#define DEBOUNCE_MS 100
/* ... or after this many times it, when it never is. */
#define DEBOUNCE_MAX 10
/* What failed for BIRD's or the disk's sake is tried again soon, each time after twice as
 * long; for what was rolled back see refusal.h. */
#define RETRY_SECONDS 1
#define RETRY_MAX_SECONDS 15
/* Between two looks whether the routes are announced that pods wait for. */
#define ANNOUNCED_SECONDS 1

/* All that comes of one read of the file, in one arena. */
struct wanted {
	struct arena arena, texts; /* texts: of the files, until they are applied */
	struct fileset templates, snippets;
	struct cluster *cluster;
	const struct node *self;
	struct session_want *sessions;
	size_t n_sessions;
	struct rendered rendered;
	char source_id[CONFIG_ID_LEN + 1]; /* of what people write */
	bool held;  /* `rendered` is a generation that was gone back to */
	bool insisted; /* somebody asked for it, whatever was refused before */
	bool whole; /* not in steps */
	char file_id[CONFIG_ID_LEN + 1]; /* of what the file says ... */
	size_t n_leaving; /* ... and in `rendered` as well: sessions of the topology before */
	struct agent_ask ask;
	bool patient;
	bool only_look; /* at what BIRD runs: it is not to be tried now */
	struct buf masquerade; /* text of the nftables table; empty: none */
};

struct waiter {
	struct waiter *next;
	agent_turn_fn *done;
	void *arg;
	bool queued; /* for what comes after the transaction that is running */
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
	struct kube *kube;  /* NULL: the file says which nodes there are */
	bool turned_once;   /* until then cluster.json stands for the API server, if it is there */
	bool keep_wide;     /* sessions of a mesh may still be up */
	bool force;         /* the turn that is being made */
	bool hold_is_new;   /* and was not confirmed yet */
	bool was_leaving;   /* sessions of the topology before were kept */
	bool announced;     /* this node's routes were, so pods may come */
	struct event *announcing; /* looks again whether they are */
	struct agent_status status;
	struct wanted *wanted; /* the last that was decoded and rendered; NULL: none yet */
	struct step step;      /* on the way to `wanted` */
	struct apply *apply;   /* running, for `step`; before it ... */
	struct observation *before; /* ... a look at what the topology leaves over */
	struct wanted *next;   /* loaded while an apply was running */
	struct nat *nat;
	struct drain *drain;
	struct drift *drift; /* NULL with --once */
	struct hold hold;
	struct refusal refusal;
	char ended_id[CONFIG_ID_LEN + 1]; /* BIRD ended when it was told of these bytes last */
	char source_id[CONFIG_ID_LEN + 1]; /* of the files as they are, good or bad */
	char in_force[CONFIG_ID_LEN + 1]; /* the files that took effect last; "": not known */
	struct waiter *waiters; /* for the turn's outcome */
	struct observation *observation; /* one at a time; `looking` wait for it, */
	struct look *looking, *looks;    /* `looks`, who came meanwhile, for the next */
	struct event *debounce, *retry;
	unsigned debounced, retry_seconds;
	void (*turned)(void *);
	void *turned_arg;
};

static void try_wanted(struct agent *agent);
static void stay_refused(struct agent *agent);
static void start_apply(struct agent *agent);

/* ---------------------------------------------------------------- load */

static void wanted_free(struct wanted *wanted)
{
	if (!wanted)
		return;
	arena_free(&wanted->texts);
	arena_free(&wanted->arena);
	buf_free(&wanted->masquerade);
	free(wanted);
}

static int wanted_render(struct wanted *wanted, struct err *err)
{
	wanted->sessions = render_sessions(wanted->cluster, wanted->self, &wanted->arena,
		&wanted->n_sessions);
	return render(wanted->cluster, wanted->self, &wanted->templates, &wanted->snippets,
		&wanted->texts, &wanted->rendered, err);
}

/* They are on disk, and their id is all that is asked for afterwards.  With thousands of
 * nodes they are megabytes, which go back to the system. */
static void forget_texts(struct wanted *wanted)
{
	wanted->rendered.files = (struct fileset){0};
	arena_free(&wanted->texts);
	malloc_trim(0);
}

static void on_source_changed(void *arg);

/* A node_finder_fn. */
static int find_nodes(const struct cluster *file, struct arena *arena, struct found_nodes *found,
	void *arg, struct err *err)
{
	struct agent *agent = arg;
	struct kube_question question = {.first = !agent->turned_once, .wide = agent->keep_wide,
		.force = agent->force};

	if (!agent->kube)
		agent->kube = kube_new(agent->base, agent->options.var_dir,
			agent->options.node_name, on_source_changed, agent, err);
	if (!agent->kube)
		return -1;
	if (file->kubernetes.kubeconfig)
		source_watch_also(agent->source, file->kubernetes.kubeconfig);
	question.kube = agent->kube;
	return kube_find_nodes(file, arena, found, &question, err);
}

static int fail_no_self(const struct agent *agent, const struct cluster *cluster, struct err *err)
{
	const char *name = agent->options.node_name;

	for (size_t i = 0; i < cluster->n_left_out; i++)
		if (strcmp(cluster->left_out[i].name, name) == 0)
			return err_set(err, ENOENT, "this node is %s, and its Node cannot be used: %s",
				name, cluster->left_out[i].why);
	if (cluster->kubernetes.used)
		return err_set(err, ENOENT,
			"this node is %s, and the API server has no Node of that name", name);
	return err_set(err, ENOENT, "%s: this node is %s, and no node of that name is in it",
		agent->options.config, name);
}

static int wanted_build(struct agent *agent, struct inputs *inputs, struct wanted *wanted,
	struct err *err)
{
	const char *name = agent->options.node_name;

	wanted->templates = inputs->templates;
	wanted->snippets = inputs->snippets;

	if (decode_cluster_with(agent->options.config, buf_text(&inputs->yaml), inputs->yaml.len,
		    find_nodes, agent, &wanted->arena, &wanted->cluster, err) < 0)
		return -1;
	if (!wanted->cluster->kubernetes.used) {
		kube_free(agent->kube);
		agent->kube = NULL;
	}
	if (agent->kube)
		kube_tell_left_out(agent->kube, wanted->cluster);
	wanted->self = cluster_find_node(wanted->cluster, name);
	if (!wanted->self)
		return fail_no_self(agent, wanted->cluster, err);
	wanted->cluster->nodes[wanted->self - wanted->cluster->nodes].drain =
		drain_status(agent->drain)->state;
	if (agent->kube)
		kube_find_services(agent->kube, wanted->cluster, wanted->self, &wanted->arena);
	if (source_read_passwords(agent->source, wanted->cluster, wanted->self, &wanted->arena,
		    err) < 0)
		return -1;
	source_warn_of_open_files(agent->options.config, wanted->cluster, wanted->self,
		&wanted->arena);
	masquerade_render(wanted->cluster, wanted->self, &wanted->masquerade);
	if (wanted_render(wanted, err) < 0)
		return -1;
	memcpy(wanted->file_id, wanted->rendered.id, sizeof(wanted->file_id));
	return 0;
}

static uint64_t add_password(uint64_t hash, const struct session *session)
{
	return session->password_file && session->password
		? hash_add(hash, session->password, strlen(session->password) + 1)
		: hash;
}

/* What changes when somebody edits a file: a hash. */
static void note_source(struct agent *agent, const struct inputs *inputs,
	const struct cluster *cluster)
{
	const struct fileset *const sets[] = {&inputs->templates, &inputs->snippets};
	uint64_t hash = hash_add(HASH_START, buf_text(&inputs->yaml), inputs->yaml.len);

	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		for (size_t j = 0; j < sets[i]->n; j++) {
			const struct file_text *file = &sets[i]->items[j];

			hash = hash_add(hash, file->name, strlen(file->name) + 1);
			hash = hash_add(hash, file->text, file->len);
		}
	if (cluster)
		hash = add_password(hash, &cluster->session);
	for (size_t i = 0; cluster && i < cluster->n_peers; i++)
		hash = add_password(hash, &cluster->peers[i].session);
	snprintf(agent->source_id, sizeof(agent->source_id), "%016llx", (unsigned long long)hash);
}

/* NULL, and *err, when the file cannot be used. */
static struct wanted *wanted_load(struct agent *agent, struct err *err)
{
	struct wanted *wanted = xmalloc(sizeof(*wanted));
	struct inputs inputs = {0};
	int rc;

	memset(wanted, 0, sizeof(*wanted));
	rc = source_read(agent->options.config, &wanted->arena, &inputs, err);
	if (rc == 0)
		rc = wanted_build(agent, &inputs, wanted, err);
	note_source(agent, &inputs, rc == 0 ? wanted->cluster : NULL);
	memcpy(wanted->source_id, agent->source_id, sizeof(wanted->source_id));
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

/* What they waited for will not be tried. */
static void tell_queued(struct agent *agent)
{
	for (struct waiter **at = &agent->waiters; *at;) {
		struct waiter *waiter = *at;

		if (!waiter->queued) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		waiter->done(NULL, waiter->arg);
		free(waiter);
	}
}

/* For a first word of the API server. */
static bool is_waiting(const struct agent *agent)
{
	struct kube_status kube = {0};

	if (agent->kube)
		kube_status(agent->kube, &kube);
	return agent->kube && !kube.err.code && agent->status.load_error.code == EAGAIN;
}

static void note_hold(struct agent *agent)
{
	agent->status.hold = agent->hold;
	agent->status.hold.active = agent->hold.active && agent->wanted && agent->wanted->held;
}

static void turn_ended(struct agent *agent, const struct apply_result *result)
{
	note_hold(agent);
	tell_waiters(agent, result);
	if (agent->drift)
		drift_turned(agent->drift, result && result->outcome == APPLY_CONFIRMED);
	if (agent->turned)
		agent->turned(agent->turned_arg);
	if (agent->options.once && !is_waiting(agent))
		event_base_loopbreak(agent->base);
	if (agent->kube && !agent->turned_once) /* from now on the API server is asked */
		agent_look_again(agent);
	agent->turned_once = true;
}

static void retry_in(struct agent *agent, long seconds)
{
	const struct timeval tv = {.tv_sec = seconds};

	evtimer_add(agent->retry, &tv);
	agent->status.retry_at = time(NULL) + seconds;
}

static void retry_later(struct agent *agent)
{
	agent->retry_seconds = agent->retry_seconds ? agent->retry_seconds * 2 : RETRY_SECONDS;
	if (agent->retry_seconds > RETRY_MAX_SECONDS)
		agent->retry_seconds = RETRY_MAX_SECONDS;
	retry_in(agent, agent->retry_seconds);
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
	agent->status.retry_at = 0;
}

/* ---------------------------------------------------------------- what was refused */

static bool took_effect(enum apply_outcome outcome)
{
	return outcome == APPLY_CONFIRMED || outcome == APPLY_UNCHANGED;
}

/* The files that are to blame for it: not for a generation that was gone back to. */
static const char *source_of(const struct wanted *wanted)
{
	return wanted->held ? "" : wanted->source_id;
}

static bool was_refused(const struct agent *agent, const struct wanted *wanted)
{
	return refusal_is_of(&agent->refusal, wanted->file_id, source_of(wanted));
}

static bool is_barred(const struct agent *agent, const struct wanted *wanted)
{
	return !wanted->insisted && refusal_bars(&agent->refusal, wanted->file_id,
					    source_of(wanted), boot_seconds());
}

/* Nodes that come from elsewhere, and not the files, are to blame where these were in force
 * before: then other nodes are tried at once. */
static void note_refusal(struct agent *agent, const struct apply_result *result)
{
	const struct wanted *wanted = agent->wanted;
	const char *source_id = source_of(wanted);
	struct refusal new = {.outcome = result->outcome, .at = time(NULL), .reason = result->err};

	memcpy(new.id, wanted->file_id, sizeof(new.id));
	if (strcmp(source_id, agent->in_force) != 0)
		snprintf(new.source_id, sizeof(new.source_id), "%s", source_id);
	if (result->outcome == APPLY_REFUSED) {
		memcpy(new.bird, result->bird, sizeof(new.bird));
		new.limited = !result->bird[0] && wanted->ask.limited;
		new.max_restarts = wanted->ask.max_restarts;
	}
	refusal_note(&agent->refusal, &new, boot_seconds());
}

static void settle_refusal(struct agent *agent, const struct apply_result *result)
{
	const struct wanted *wanted = agent->wanted;
	struct err err;

	if (took_effect(result->outcome) && !wanted->held)
		memcpy(agent->in_force, wanted->source_id, sizeof(agent->in_force));
	if (!took_effect(result->outcome))
		note_refusal(agent, result);
	else if (!refusal_passed(&agent->refusal, wanted->file_id, source_of(wanted)) &&
		agent->refusal.active)
		return;
	if (refusal_write(agent->options.state_dir, &agent->refusal, &err) < 0)
		log_error("agent: what was refused is not remembered: %s", err.msg);
}

/* A newer BIRD may take what the one before has refused. */
static void note_bird(struct agent *agent, const struct bird_state *bird)
{
	if (!agent->refusal.bird[0] || bird->err.code ||
		strcmp(agent->refusal.bird, bird->version) == 0)
		return;
	log_info("agent: BIRD is %s now, and was %s when it refused", bird->version,
		agent->refusal.bird);
	agent->refusal = (struct refusal){0};
	agent_look_again(agent);
}

/* ---------------------------------------------------------------- apply */

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
		if (agent->step.left)
			log_info("apply: step confirmed generation=%u id=%s restarts_left=%zu",
				result->generation, agent->step.rendered.id, agent->step.left);
		else
			log_info("apply: confirmed generation=%u id=%s sessions=%zu",
				result->generation, agent->step.rendered.id,
				agent->wanted->n_sessions);
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

/* A kubelet takes the conflist as the sign that pods may come, and STATUS of the plugin goes
 * by node.json; pods of a Kubernetes are to find a network that works, so both wait until this
 * node's routes are announced.  What a person wrote into the file is there to be used at once. */
static bool pods_may_come(const struct agent *agent)
{
	return !agent->kube || agent->announced;
}

static void write_for_pods(const struct agent *agent, struct err *err)
{
	const struct wanted *wanted = agent->wanted;
	unsigned mtu;

	if (pod_mtu(wanted, &mtu, err) == 0 &&
		outputs_write_node(agent->options.run_dir, wanted->cluster, wanted->self, mtu,
			err) == 0 &&
		outputs_write_conflist(wanted->cluster, wanted->self, err) == 0)
		outputs_save_node(agent->options.run_dir, agent->options.state_dir, err);
}

static void on_seen(const struct view *view, void *arg);

static void on_announcing(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	agent_observe(arg, on_seen, arg);
}

static void note_own_error(struct agent *agent, const struct err *err)
{
	if (err->code && !agent->status.own_error.code)
		log_error("outputs: %s", err->msg);
	agent->status.own_error = *err;
}

static void put_node_back(const struct agent *agent, struct err *err)
{
	outputs_put_node_back(agent->options.run_dir, agent->options.state_dir, err);
}

static void on_seen(const struct view *view, void *arg)
{
	static const struct timeval moment = {.tv_sec = ANNOUNCED_SECONDS};
	struct agent *agent = arg;
	struct err err = {0};

	if (agent->announced)
		return; /* another look has said so */
	if (report_ready(view, &err) < 0) {
		log_debug("outputs: pods wait: %s", err.msg);
		evtimer_add(agent->announcing, &moment);
		return;
	}
	err = (struct err){0};
	agent->announced = true;
	if (agent->kube)
		kube_tell_announced(agent->kube);
	if (agent->wanted->held) /* and not what the file says */
		put_node_back(agent, &err);
	else
		write_for_pods(agent, &err);
	note_own_error(agent, &err);
	if (err.code)
		agent_look_again(agent);
	else
		log_info("outputs: this node's routes are announced, pods may come");
}

static void write_outputs(struct agent *agent)
{
	const struct wanted *wanted = agent->wanted;
	struct err err = {0};

	/* If they are there, only roostd was away; else a conflist is of before the reboot. */
	if (!agent->announced)
		agent->announced = outputs_are_there(agent->options.run_dir, wanted->cluster);
	if (pods_may_come(agent))
		write_for_pods(agent, &err);
	else
		outputs_remove_conflist(wanted->cluster);
	if (agent->kube && !err.code)
		kube_save(agent->kube, wanted->cluster, &err);
	note_own_error(agent, &err);
	if (agent->kube && agent->announced)
		kube_tell_announced(agent->kube);
	/* A Node that just came has no podCIDR yet, so nothing that could be announced. */
	if (!pods_may_come(agent) && wanted->self->pod_cidrs.n)
		agent_observe(agent, on_seen, agent);
}

/* The file did not take effect: what did before stays, also after a reboot. */
static void keep_outputs(struct agent *agent)
{
	struct err err = {0};

	nat_keep(agent->nat);
	if (!agent->kube || agent->announced)
		put_node_back(agent, &err);
	else if (agent->wanted && agent->wanted->held) /* when its routes are announced */
		agent_observe(agent, on_seen, agent);
	if (err.code)
		log_error("outputs: %s", err.msg);
}

static void note_confirmed(struct agent *agent)
{
	struct err err;

	if (generation_confirmed(agent->options.state_dir, &agent->status.confirmed, &err) < 0)
		log_warn("apply: %s", err.msg);
}

/* When the last session of a mesh has gone, another look narrows what is watched. */
static void note_scope(struct agent *agent)
{
	bool wide = agent->wanted->cluster->topology == TOPOLOGY_MESH || agent->wanted->n_leaving;

	if (agent->kube && agent->keep_wide && !wide)
		agent_look_again(agent);
	agent->keep_wide = wide;
}

static void note_history(struct agent *agent, const struct apply_result *result)
{
	const struct agent_ask *ask = &agent->wanted->ask;
	const struct history_entry entry = {.generation = result->generation,
		.id = agent->step.rendered.id,
		.at = time(NULL),
		.outcome = result->outcome,
		.left = agent->step.left,
		.drain = agent->wanted->self->drain,
		.by = ask->by,
		.changes = agent->step.changes,
		.reason = result->err.code ? result->err.msg : NULL};
	struct err err;

	if (result->outcome == APPLY_UNCHANGED || result->outcome == APPLY_FAILED)
		return;
	if (history_add(agent->options.state_dir, &entry, &err) < 0)
		log_warn("history: %s", err.msg);
}

/* A step was made: the next one follows, unless the file has changed meanwhile. */
static bool goes_on(struct agent *agent, const struct apply_result *result)
{
	if (!agent->step.left || agent->next || result->outcome == APPLY_ROLLED_BACK ||
		result->outcome == APPLY_FAILED)
		return false;
	/* Where old blocks and the new rest do not go together: */
	agent->wanted->whole = result->outcome != APPLY_CONFIRMED;
	start_apply(agent);
	return true;
}

static void drop_hold(struct agent *agent)
{
	struct err err;

	log_info("agent: generation %u is held no longer", agent->hold.generation);
	agent->hold.active = false;
	if (hold_remove(agent->options.state_dir, &err) < 0)
		log_error("agent: %s", err.msg);
}

/* Held is what could be gone back to, until something else has taken effect. */
static void settle_hold(struct agent *agent, enum apply_outcome outcome)
{
	if (!agent->hold.active || outcome == APPLY_FAILED || (agent->next && agent->next->held))
		return;
	if (took_effect(outcome) && !agent->wanted->held)
		drop_hold(agent);
	if (!took_effect(outcome) && agent->wanted->held && agent->hold_is_new) {
		drop_hold(agent);
		agent_look_again(agent); /* back to the files */
	}
	agent->hold_is_new = false;
}

/* When to look again by ourselves. */
static void wait_after(struct agent *agent, const struct apply_result *result)
{
	bool refused = result->outcome == APPLY_REFUSED;

	if (result->outcome == APPLY_FAILED && result->err.code == EAGAIN) {
		retry_in(agent, RETRY_MAX_SECONDS); /* what was rolled back is still missed */
	} else if (result->outcome == APPLY_FAILED) {
		retry_later(agent);
	} else if (result->outcome == APPLY_ROLLED_BACK && is_barred(agent, agent->wanted) &&
		!nat_wants_retry(agent->nat)) {
		agent->retry_seconds = 0;
		if (!evtimer_pending(agent->retry, NULL))
			retry_in(agent, agent->refusal.not_before - boot_seconds());
	} else if (nat_wants_retry(agent->nat) || is_transient(&agent->status.load_error) ||
		(!refused && (agent->status.own_error.code || agent->wanted->n_leaving))) {
		retry_later(agent);
	} else {
		retry_over(agent);
	}
}

/* What changed meanwhile. */
static bool take_next(struct agent *agent)
{
	if (!agent->next)
		return false;
	for (struct waiter *waiter = agent->waiters; waiter; waiter = waiter->next)
		waiter->queued = false;
	wanted_free(agent->wanted);
	agent->wanted = agent->next;
	agent->next = NULL;
	try_wanted(agent);
	return true;
}

static void note_ended(struct agent *agent, const struct apply_result *result)
{
	if (result->bird_ended)
		memcpy(agent->ended_id, agent->step.rendered.id, sizeof(agent->ended_id));
	else if (result->outcome != APPLY_FAILED)
		agent->ended_id[0] = '\0';
}

static void on_applied(const struct apply_result *result, void *arg)
{
	struct agent *agent = arg;
	bool file_took_effect;

	agent->apply = NULL;
	agent->status.applying = false;
	if (result->looked) {
		if (!take_next(agent))
			stay_refused(agent);
		return;
	}
	note_ended(agent, result);
	log_result(agent, result);
	agent->status.last = *result;
	agent->status.last_at = time(NULL);
	agent->status.applied = true;
	agent->status.outcomes[result->outcome]++;
	agent->wanted->insisted = false;
	note_confirmed(agent);
	note_history(agent, result);
	if (goes_on(agent, result))
		return;
	/* A step is not the whole: nothing is settled by it. */
	if (result->outcome == APPLY_CONFIRMED && agent->step.left && take_next(agent))
		return;
	settle_hold(agent, result->outcome);
	if (result->outcome != APPLY_FAILED && !(agent->wanted->held && !agent->hold.active))
		settle_refusal(agent, result);
	file_took_effect = took_effect(result->outcome) && !agent->wanted->held;
	if (file_took_effect) {
		nat_take(agent->nat, agent->wanted->cluster->cni.masquerade.enabled,
			buf_text(&agent->wanted->masquerade));
		note_scope(agent);
	}
	if (result->outcome == APPLY_FAILED || file_took_effect)
		nat_keep(agent->nat);
	else
		keep_outputs(agent);
	if (file_took_effect)
		write_outputs(agent);
	if (file_took_effect && agent->wanted->self->drain == DRAIN_LEAVING)
		drain_announced(agent->drain);
	forget_texts(agent->wanted);
	if (take_next(agent))
		return;
	if (result->outcome == APPLY_CONFIRMED)
		agent->retry_seconds = 0;
	wait_after(agent, result);
	turn_ended(agent, result);
}

/* What would restart too many sessions is refused before BIRD hears of it. */
static bool make_step(struct agent *agent)
{
	struct wanted *wanted = agent->wanted;
	const struct step_want want = {.dir = agent->options.state_dir,
		.rendered = &wanted->rendered,
		.cluster = wanted->cluster,
		.self = wanted->self,
		.limited = wanted->ask.limited,
		.max_restarts = wanted->ask.max_restarts,
		.whole = wanted->whole};
	struct apply_result refused = {.outcome = APPLY_REFUSED};

	if (step_next(&want, &wanted->texts, &agent->step, &refused.err) == 0)
		return true;
	on_applied(&refused, agent);
	return false;
}

static void start_apply(struct agent *agent)
{
	const struct wanted *wanted = agent->wanted;
	struct apply_want want = {
		.socket = wanted->cluster->bird.socket,
		.dir = agent->options.state_dir,
		.confirm_timeout = wanted->cluster->bird.confirm_timeout,
		.rendered = &agent->step.rendered,
		.sessions = wanted->sessions,
		.n_sessions = wanted->n_sessions,
		.own = &wanted->self->pod_cidrs,
		.held = wanted->held,
		.max_withdraw_percent = wanted->ask.force
			? 100
			: wanted->cluster->agent.max_withdraw_percent,
		.patient = wanted->patient,
		.only_look = wanted->only_look,
	};

	agent->status.applying = true;
	if (!make_step(agent))
		return;
	want.bird_ended_before = strcmp(agent->ended_id, agent->step.rendered.id) == 0;
	agent->apply = apply_start(agent->base, &want, on_applied, agent);
}

/* ---------------------------------------------------------------- what a topology leaves over */

/* See bird/leaving.h.  When BIRD does not tell, whatever is needed may be up. */
static void on_before(struct bird_state *bird, void *arg)
{
	struct agent *agent = arg;
	struct wanted *wanted = agent->wanted;
	const struct apply_result unknown = {.outcome = APPLY_FAILED, .err = bird->err};
	struct err err;

	agent->before = NULL;
	if (bird->err.code) {
		bird_state_free(bird);
		on_applied(&unknown, agent);
		return;
	}
	wanted->n_leaving = leaving_mark(wanted->cluster, wanted->self, bird);
	bird_state_free(bird);
	/* It was rendered once, from the same files. */
	if (wanted->n_leaving && wanted_render(wanted, &err) < 0)
		log_error("source: %s", err.msg);
	if (agent->was_leaving != (wanted->n_leaving > 0))
		log_info("agent: of the topology before, sessions_kept=%zu", wanted->n_leaving);
	agent->was_leaving = wanted->n_leaving > 0;
	start_apply(agent);
}

static void apply_wanted(struct agent *agent)
{
	const struct wanted *wanted = agent->wanted;
	char mark[OBSERVE_MARK_MAX];

	evtimer_del(agent->retry);
	agent->status.retry_at = 0;
	agent->status.applying = true;
	snprintf(mark, sizeof(mark), "source = RTS_BGP && " RENDER_MARK " ~ bgp_large_community",
		wanted->cluster->as_number);
	if (!wanted->held && !wanted->ask.force && leaving_is_possible(wanted->cluster, wanted->self))
		agent->before = observe_start(agent->base, wanted->cluster, mark, on_before, agent);
	else
		start_apply(agent);
}

/* The turn ends here: what is wanted is not tried now. */
static void stay_refused(struct agent *agent)
{
	const struct refusal *refusal = &agent->refusal;

	agent->status.last = (struct apply_result){.outcome = refusal->outcome, .err = refusal->reason};
	agent->status.last_at = refusal->at;
	agent->status.applied = true;
	forget_texts(agent->wanted);
	keep_outputs(agent);
	wait_after(agent, &agent->status.last);
	turn_ended(agent, &agent->status.last);
}

/* Files that were refused for restarting too much keep their limit, whatever nodes they are
 * for; and what was rolled back is not to take the sessions it has cost once more. */
static void heed_refusal(struct agent *agent, struct wanted *wanted)
{
	const struct refusal *refusal = &agent->refusal;

	if (wanted->insisted || !was_refused(agent, wanted))
		return;
	wanted->patient = refusal->outcome == APPLY_ROLLED_BACK;
	if (refusal->limited) {
		wanted->ask.limited = true;
		wanted->ask.max_restarts = refusal->max_restarts;
	}
}

static void try_wanted(struct agent *agent)
{
	heed_refusal(agent, agent->wanted);
	/* Whoever was here before may have been killed in another try of it. */
	agent->wanted->only_look = is_barred(agent, agent->wanted);
	if (agent->wanted->only_look && agent->turned_once)
		stay_refused(agent);
	else
		apply_wanted(agent);
}

/* ---------------------------------------------------------------- the turn */

static void note_load_error(struct agent *agent, const struct err *err)
{
	if (strcmp(agent->status.load_error.msg, err->msg) != 0)
		log_line(err->code == EAGAIN ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "source: %s",
			err->msg);
	agent->status.load_error = *err;
}

static void load_failed(struct agent *agent, const struct err *err)
{
	note_load_error(agent, err);
	/* What waited for its transaction is no longer what the file says; a generation that is
	 * to be gone back to never was. */
	if (agent->next && !agent->next->held) {
		wanted_free(agent->next);
		agent->next = NULL;
		tell_queued(agent);
	}
	if (!agent->status.applying) {
		if (!evtimer_pending(agent->retry, NULL))
			agent->status.retry_at = 0;
		keep_outputs(agent);
		if (is_transient(err) || nat_wants_retry(agent->nat))
			retry_later(agent);
		turn_ended(agent, NULL);
	}
}

static bool was_warned(const struct agent *agent, const char *text)
{
	const struct cluster *before = agent->wanted ? agent->wanted->cluster : NULL;

	for (size_t i = 0; before && i < before->n_warnings; i++)
		if (strcmp(before->warnings[i], text) == 0)
			return true;
	return false;
}

static void loaded(struct agent *agent, const struct wanted *wanted)
{
	if (agent->status.load_error.code)
		log_info("source: %s is fine again", agent->options.config);
	memset(&agent->status.load_error, 0, sizeof(agent->status.load_error));
	agent->status.loaded_at = time(NULL);
	agent->status.renders++;
	for (size_t i = 0; i < wanted->cluster->n_warnings; i++)
		if (!was_warned(agent, wanted->cluster->warnings[i]))
			log_warn("source: %s", wanted->cluster->warnings[i]);
}

/* Before BIRD hears of these nodes: whoever comes after a roostd that is killed meanwhile
 * begins with them, and takes no route back.  What fails here is tried again afterwards. */
static void save_nodes(struct agent *agent, const struct wanted *wanted)
{
	struct err err;

	if (agent->kube && kube_save(agent->kube, wanted->cluster, &err) < 0)
		log_debug("outputs: %s", err.msg);
}

static bool same_bytes(const struct wanted *a, const struct wanted *b)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): what is applied is there */
	return strcmp(a->file_id, b->file_id) == 0 && a->self->drain == b->self->drain &&
		strcmp(buf_text(&a->masquerade), buf_text(&b->masquerade)) == 0;
}

/* One transaction at a time: what differs from the running one is next.  The same bytes may
 * come of other files, with another MTU for pods, or of other nodes, which are left out or not
 * spoken to. */
static void queue_behind_apply(struct agent *agent, struct wanted *wanted)
{
	struct wanted *before = agent->next;

	if (before && !wanted->insisted && wanted->held == before->held &&
		strcmp(wanted->source_id, before->source_id) == 0) {
		wanted->ask = before->ask; /* somebody still waits for that */
		wanted->insisted = before->insisted;
	}
	wanted_free(before);
	agent->next = wanted;
	if (!same_bytes(wanted, agent->wanted) || wanted->ask.force)
		return;
	wanted->insisted = false; /* its outcome is that of the one that runs, */
	if (agent->kube || wanted->ask.limited ||
		strcmp(wanted->source_id, agent->wanted->source_id) != 0)
		return; /* but for what is left of its steps then */
	wanted_free(wanted);
	agent->next = NULL;
}

/* Is it a generation of before that is wanted?  Not when somebody follows the files, or
 * has changed them since: then it is held until those have taken effect. */
static void take_held(struct agent *agent, struct wanted *wanted)
{
	const char *dir = agent->options.state_dir;
	const struct hold *hold = &agent->hold;
	struct fileset files;
	unsigned number;
	struct err err;

	if (!hold->active || wanted->ask.follow ||
		strcmp(hold->held_back, wanted->source_id) != 0)
		return;
	if (generation_find(dir, hold->id, &number, &err) < 0 ||
		generation_read(dir, number, &wanted->texts, &files, &err) < 0) {
		log_error("agent: generation %u cannot be held: %s", hold->generation, err.msg);
		return;
	}
	wanted->rendered.files = files;
	memcpy(wanted->rendered.id, hold->id, sizeof(wanted->rendered.id));
	memcpy(wanted->file_id, hold->id, sizeof(wanted->file_id));
	wanted->held = true;
}

/* From now on, also for whoever comes after a crash. */
static void begin_hold(struct agent *agent)
{
	struct err err;

	if (hold_write(agent->options.state_dir, &agent->hold, &err) < 0)
		log_error("agent: going back is not remembered: %s", err.msg);
	agent->hold_is_new = true;
}

/* Going back while the file is bad: where BIRD is and what it should speak to is known from
 * the last good one.  NULL when there was none, or it is in use. */
static struct wanted *wanted_of_before(struct agent *agent, const struct err *err)
{
	struct wanted *wanted = agent->wanted;

	if (!wanted || agent->status.applying)
		return NULL;
	note_load_error(agent, err);
	agent->wanted = NULL;
	memcpy(wanted->source_id, agent->source_id, sizeof(wanted->source_id));
	memset(&wanted->ask, 0, sizeof(wanted->ask));
	wanted->held = wanted->whole = wanted->patient = false;
	wanted->n_leaving = 0;
	return wanted;
}

/* What makes us look: something that may have changed, the time to try again, somebody who
 * insists. */
enum occasion { LOOK, RETRY, INSIST, GO_BACK };

static const char *name_of(const struct agent *agent, enum occasion occasion)
{
	switch (occasion) {
	case LOOK:
		return agent->status.loads > 1 ? "a change" : "start";
	case RETRY:
		return "another try";
	case INSIST:
		return "roostctl";
	case GO_BACK:
		break;
	}
	return "roostctl rollback";
}

/* -1 when the file is bad; else an outcome will come, at once only when these bytes
 * were refused before and this is a mere look. */
static int turn(struct agent *agent, enum occasion occasion, const struct agent_ask *ask)
{
	struct wanted *wanted;
	struct err err = {0};

	agent->status.loads++;
	agent->force = ask && ask->force;
	source_watch(agent->source);
	wanted = wanted_load(agent, &err);
	if (!wanted && occasion == GO_BACK)
		wanted = wanted_of_before(agent, &err);
	if (!wanted) {
		load_failed(agent, &err);
		return -1;
	}
	wanted->insisted = occasion == INSIST || occasion == GO_BACK;
	if (ask)
		wanted->ask = *ask;
	if (!wanted->ask.by)
		wanted->ask.by = name_of(agent, occasion);
	if (occasion == GO_BACK)
		memcpy(agent->hold.held_back, agent->source_id, sizeof(agent->hold.held_back));
	take_held(agent, wanted);
	if (occasion == GO_BACK && wanted->held)
		begin_hold(agent);
	if (!err.code) {
		loaded(agent, wanted);
	} else if (!wanted->held) {
		agent->wanted = wanted;
		load_failed(agent, &err);
		return -1;
	}
	save_nodes(agent, wanted);
	if (agent->status.applying) {
		queue_behind_apply(agent, wanted);
		return 0;
	}
	wanted_free(agent->wanted);
	agent->wanted = wanted;
	try_wanted(agent);
	return 0;
}

static void on_debounced(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;

	(void)fd;
	(void)what;
	agent->debounced = 0;
	turn(agent, LOOK, NULL);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;

	(void)fd;
	(void)what;
	turn(agent, RETRY, NULL);
}

void agent_look_again(struct agent *agent)
{
	struct timeval tv = {.tv_usec = DEBOUNCE_MS * 1000};

	agent->status.events++;
	if (++agent->debounced < DEBOUNCE_MAX)
		evtimer_add(agent->debounce, &tv); /* starts it anew */
}

static void on_source_changed(void *arg)
{
	agent_look_again(arg);
}

/* The outcome may come at once.  -1 when the file is bad, and `done` knows it. */
static int turn_for(struct agent *agent, enum occasion occasion, const struct agent_ask *ask,
	agent_turn_fn *done, void *arg)
{
	struct waiter *waiter = xmalloc(sizeof(*waiter)), **at = &agent->waiters;

	*waiter = (struct waiter){agent->waiters, done, arg, agent->status.applying};
	agent->waiters = waiter;
	if (turn(agent, occasion, ask) == 0)
		return 0;
	/* Others wait on, if a transaction is running. */
	while (*at && *at != waiter)
		at = &(*at)->next;
	if (*at) {
		*at = waiter->next;
		done(NULL, arg);
		free(waiter);
	}
	return -1;
}

void agent_apply(
	struct agent *agent, const struct agent_ask *ask, agent_turn_fn *done, void *arg)
{
	turn_for(agent, INSIST, ask, done, arg);
}

/* Can it be read? */
static int check_held(const struct agent *agent, const struct hold *hold, struct err *err)
{
	_cleanup_arena_ struct arena arena = {0};
	struct fileset files;
	unsigned number;

	if (generation_find(agent->options.state_dir, hold->id, &number, err) < 0 ||
		generation_read(agent->options.state_dir, number, &arena, &files, err) < 0)
		return err_wrap(err, "generation %u", hold->generation);
	return 0;
}

int agent_rollback(
	struct agent *agent, unsigned number, agent_turn_fn *done, void *arg, struct err *err)
{
	struct hold hold = {.active = true, .since = time(NULL)}, before = agent->hold;
	/* Back is to before what is being tried. */
	const struct history_now now = {.id = agent->status.applying
			? agent->wanted->rendered.id
			: agent->status.confirmed.id,
		.drain = drain_status(agent->drain)->state};

	if (history_target(agent->options.state_dir, number, &now, &hold.generation, hold.id,
		    err) < 0 ||
		check_held(agent, &hold, err) < 0)
		return -1;
	agent->hold = hold;
	if (turn_for(agent, GO_BACK, NULL, done, arg) < 0)
		agent->hold = before;
	return 0;
}

json_t *agent_history(const struct agent *agent)
{
	return history_json(agent->options.state_dir);
}

/* Is, or will be, what BIRD runs a generation that was gone back to? */
static bool is_held(const struct agent *agent)
{
	return agent->hold.active && (!agent->wanted || agent->wanted->held ||
					(agent->next && agent->next->held));
}

int agent_follows_files(const struct agent *agent, struct err *err)
{
	if (!is_held(agent))
		return 0;
	return err_set(err, EBUSY,
		"roostctl rollback holds generation %u, and nothing else is announced: "
		"roostctl apply first",
		agent->hold.generation);
}

int agent_drain(struct agent *agent, bool on, agent_turn_fn *done, void *arg, struct err *err)
{
	if (agent_follows_files(agent, err) < 0)
		return -1;
	if (drain_set(agent->drain, on, err) < 0)
		return -1;
	agent_apply(agent, &(struct agent_ask){.by = on ? "roostctl drain" : "roostctl undrain"},
		done, arg);
	return 0;
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
		for (size_t j = 0; j < leases[i].addr_count; j++) {
			const struct addr *addr = &leases[i].addrs[j];

			if (is_own_pod(self, addr)) {
				view->pods_used[family_of(addr)]++;
			} else {
				view->stray_pod = *addr;
				stray = true;
			}
		}
		view->n_stray_pods += stray;
	}
}

/* Shows one and the same view to everybody in the list. */
static void show(struct agent *agent, struct bird_state *bird, struct look *looks)
{
	_cleanup_arena_ struct arena arena = {0};
	const struct wanted *wanted = agent->wanted;
	struct err fib_error = {0}, ignored;
	struct fib fib = {0};
	struct view view = {.status = &agent->status, .bird = bird, .fib = &fib,
		.fib_error = &fib_error, .masquerade = nat_look(agent->nat),
		.drain = *drain_status(agent->drain), .now = time(NULL)};

	if (agent->kube)
		kube_status(agent->kube, &view.kube);
	if (wanted) {
		view.cluster = wanted->cluster;
		view.self = wanted->self;
		view.sessions = wanted->sessions;
		view.n_sessions = wanted->n_sessions;
		view.config_id = wanted->rendered.id;
		note_hold(agent);
		look_at_host(wanted->self, &view);
		look_at_pods(wanted->self, &arena, &view);
		if (fib_read(&wanted->cluster->pod_cidrs, &arena, &fib, &fib_error) < 0)
			fib.n = 0;
	}
	if (counters_read(LEASE_DATA_DIR, &view.cni, &ignored) < 0)
		log_debug("metrics: %s", ignored.msg);
	while (looks) {
		struct look *next = looks->next;

		looks->done(&view, looks->arg);
		free(looks);
		looks = next;
	}
	bird_state_free(bird);
	malloc_trim(0);
}

static void on_observed(struct bird_state *bird, void *arg);

static void look_at_bird(struct agent *agent)
{
	if (agent->observation || !agent->looks)
		return;
	agent->looking = agent->looks;
	agent->looks = NULL;
	agent->observation = observe_start(agent->base, agent->wanted->cluster, NULL, on_observed, agent);
}

static void on_observed(struct bird_state *bird, void *arg)
{
	struct agent *agent = arg;
	struct look *looking = agent->looking;

	agent->observation = NULL;
	agent->looking = NULL;
	note_bird(agent, bird);
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
	struct err err;

	memset(agent, 0, sizeof(*agent));
	agent->base = base;
	agent->options = *options;
	agent->status.node_name = options->node_name;
	agent->status.source_path = options->config;
	agent->debounce = evtimer_new(base, on_debounced, agent);
	agent->retry = evtimer_new(base, on_retry, agent);
	agent->announcing = evtimer_new(base, on_announcing, agent);
	agent->nat = nat_new(base, agent, options->state_dir, &agent->status.masquerade);
	agent->drain = drain_new(base, agent, options->drain_file);
	if (!options->once)
		agent->drift = drift_new(base, agent, &agent->status.drift);
	agent->source = source_new(base, options->config, on_source_changed, agent);
	agent->hold = hold_read(options->state_dir);
	if (!options->once) /* else somebody insists */
		agent->refusal = refusal_read(options->state_dir, boot_seconds());
	note_confirmed(agent);
	if (strcmp(agent->refusal.id, agent->status.confirmed.id) == 0)
		agent->refusal = (struct refusal){0}; /* it came to it after all */
	agent->hold_is_new = agent->hold.active &&
		strcmp(agent->hold.id, agent->status.confirmed.id) != 0;
	if (history_note(options->state_dir, &agent->status.confirmed,
		    drain_status(agent->drain)->state, &err) < 0)
		log_warn("history: %s", err.msg);
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
	drain_free(agent->drain);
	drift_free(agent->drift);
	wanted_free(agent->wanted);
	wanted_free(agent->next);
	nat_free(agent->nat);
	source_free(agent->source);
	kube_free(agent->kube);
	event_free(agent->announcing);
	event_free(agent->debounce);
	event_free(agent->retry);
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

const struct node *agent_self(const struct agent *agent)
{
	return agent->wanted ? agent->wanted->self : NULL;
}

void agent_on_turn(struct agent *agent, void (*turned)(void *), void *arg)
{
	agent->turned = turned;
	agent->turned_arg = arg;
}
