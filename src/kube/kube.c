/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kube/kube.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "kube/service.h"
#include "kube/state.h"
#include "kube/watch.h"
#include "kube/write.h"

/* What vanishes within this time counts as one loss: a list is gone at once, and the
 * events of a watch come one by one. */
#define SUDDEN_SECONDS 10

/* Until credentials that could not be used are looked at again: what they lack may be in
 * any folder. */
#define CREDENTIALS_SECONDS 15

/* Up to two of them make the nodes: everybody, or oneself and the reflectors.  The others
 * are for a node that announces Services. */
enum { WATCH_NODES, WATCH_REFLECTORS, NODE_WATCHES, WATCH_SERVICES = NODE_WATCHES, WATCH_SLICES, WATCHES };

/* As kube-proxy does: not those that no node serves. */
#define SERVED_ONLY                                                                                \
	"labelSelector=%21service.kubernetes.io%2Fheadless%2C"                                     \
	"%21service.kubernetes.io%2Fservice-proxy-name"

/* What is watched, and as whom.  Another one means to begin anew. */
struct scope {
	struct arena arena;
	const char *text; /* all of it, to compare */
	bool all;
	bool reflectors;
	struct label_keys keys;
	struct labels reflector_selector;
	unsigned silence;
	struct kube_credentials credentials;
};

struct kube {
	struct event_base *base;
	struct http *http;
	char path[PATH_MAX]; /* of cluster.json */
	const char *self;
	void (*changed)(void *);
	void *arg;

	struct scope *scope; /* NULL: not watching */
	struct watch *watches[WATCHES];
	struct writer *writer;
	unsigned long old_events, old_lists; /* of watches that are no more */

	bool loaded; /* cluster.json was tried */
	struct err load_error, credentials_error;
	struct event *retry; /* of the latter */
	struct kube_state accepted;
	bool dirty; /* not in cluster.json yet */

	struct event *release;
	size_t n_held, held_most; /* most: at a time, since any are */
	time_t held_since;  /* for people, ... */
	time_t held_from;   /* ... and by uptime() */
	size_t n_recent;    /* nodes let go of lately, */
	time_t recent_from; /* the last of them then */
};

/* ---------------------------------------------------------------- scope */

static void scope_free(struct scope *scope)
{
	if (!scope)
		return;
	arena_free(&scope->arena);
	free(scope);
}

/* Is this node a reflector, as far as is known? */
static bool self_reflects(const struct kube *kube, const struct cluster *file)
{
	const char *text = set_get(&kube->accepted.sets[KIND_NODE], kube->self);
	json_t *self = text ? json_loads(text, 0, NULL) : NULL;
	_cleanup_arena_ struct arena arena = {0};
	struct node node;
	struct found_nodes found = {.items = &node};
	bool reflects;

	if (self)
		node_decode(self, file, &arena, &found);
	reflects = found.n && found.items[0].reflector;
	json_decref(self);
	return reflects;
}

/* The kubeconfig's bytes are part of it, so that a new one is taken. */
static void describe_scope(struct scope *scope, const struct cluster *file)
{
	_cleanup_buf_ struct buf text = {0}, config = {0};
	const char *path = file->kubernetes.kubeconfig;
	struct err ignored;

	if (path && file_read(path, 1 << 20, &config, &ignored) < 0)
		buf_puts(&config, ignored.msg);
	buf_printf(&text, "%s %llx %u %d %d", path ? path : "pod",
		(unsigned long long)hash_add(HASH_START, buf_text(&config), config.len),
		scope->silence, scope->all, scope->reflectors);
	for (size_t i = 0; i < scope->keys.n; i++)
		buf_printf(&text, " %s", scope->keys.items[i]);
	for (size_t i = 0; i < scope->reflector_selector.n; i++)
		buf_printf(&text, " %s=%s", scope->reflector_selector.items[i].key,
			scope->reflector_selector.items[i].value);
	scope->text = arena_strdup(&scope->arena, buf_text(&text));
}

static void copy_labels(struct labels *to, const struct labels *from, struct arena *arena)
{
	for (size_t i = 0; i < from->n; i++)
		*ARENA_PUSH(arena, to->items, &to->n) =
			(struct label){arena_strdup(arena, from->items[i].key),
				arena_strdup(arena, from->items[i].value)};
}

static struct scope *scope_new(const struct kube *kube, const struct cluster *file, bool wide)
{
	struct scope *scope = xmalloc(sizeof(*scope));

	memset(scope, 0, sizeof(*scope));
	scope->all = file->topology == TOPOLOGY_MESH || wide ||
		(file->topology == TOPOLOGY_REFLECTOR && self_reflects(kube, file));
	scope->reflectors = !scope->all && file->topology == TOPOLOGY_REFLECTOR;
	scope->silence = file->kubernetes.watch_timeout;
	label_keys_of(file, &scope->arena, &scope->keys);
	for (size_t i = 0; i < scope->keys.n; i++)
		scope->keys.items[i] = arena_strdup(&scope->arena, scope->keys.items[i]);
	copy_labels(&scope->reflector_selector, &file->kubernetes.reflector_selector, &scope->arena);
	describe_scope(scope, file);
	return scope;
}

/* ---------------------------------------------------------------- watching */

static json_t *reduce(const json_t *object, const void *arg, struct err *err)
{
	return reduce_node(object, arg, err);
}

static json_t *reduce_a_service(const json_t *object, const void *arg, struct err *err)
{
	(void)arg;
	return reduce_service(object, err);
}

static json_t *reduce_a_slice(const json_t *object, const void *arg, struct err *err)
{
	return reduce_slice(object, arg, err);
}

static void on_changed(void *arg)
{
	struct kube *kube = arg;

	kube->changed(kube->arg);
}

static void stop_watch(struct kube *kube, size_t which)
{
	if (kube->watches[which]) {
		kube->old_events += watch_status(kube->watches[which])->events;
		kube->old_lists += watch_status(kube->watches[which])->lists;
	}
	watch_free(kube->watches[which]);
	kube->watches[which] = NULL;
}

static void stop_watching(struct kube *kube)
{
	for (size_t i = 0; i < WATCHES; i++)
		stop_watch(kube, i);
	writer_use(kube->writer, NULL);
	scope_free(kube->scope);
	kube->scope = NULL;
}

static void start_watch(struct kube *kube, size_t which, const char *selector)
{
	static const struct watch_want nodes = {.resource = "nodes", .path = "/api/v1/nodes",
		.list_kind = "NodeList", .reduce = reduce};
	static const struct watch_want services = {.resource = "services",
		.path = "/api/v1/services", .list_kind = "ServiceList", .reduce = reduce_a_service};
	static const struct watch_want slices = {.resource = "endpointslices",
		.path = "/apis/discovery.k8s.io/v1/endpointslices",
		.list_kind = "EndpointSliceList", .reduce = reduce_a_slice};
	static const struct watch_want *const wants[WATCHES] = {[WATCH_NODES] = &nodes,
		[WATCH_REFLECTORS] = &nodes, [WATCH_SERVICES] = &services, [WATCH_SLICES] = &slices};
	struct watch_want want = *wants[which];

	want.selector = selector;
	want.silence = kube->scope->silence;
	want.reduce_arg = which < NODE_WATCHES ? (const void *)&kube->scope->keys : kube->self;

	kube->watches[which] = watch_new(kube->base, kube->http, &kube->scope->credentials, &want,
		on_changed, kube);
}

/* "labelSelector=roost/reflector%3Dtrue" */
static void label_selector(const struct labels *labels, struct buf *query)
{
	_cleanup_buf_ struct buf text = {0};
	char *escaped;

	for (size_t i = 0; i < labels->n; i++)
		buf_printf(&text, "%s%s=%s", i ? "," : "", labels->items[i].key,
			labels->items[i].value);
	escaped = curl_easy_escape(NULL, buf_text(&text), 0);
	buf_printf(query, "labelSelector=%s", escaped ? escaped : "");
	curl_free(escaped);
}

static void start_watches(struct kube *kube)
{
	_cleanup_buf_ struct buf self = {0}, reflectors = {0};

	if (kube->scope->all) {
		start_watch(kube, WATCH_NODES, "");
		return;
	}
	buf_printf(&self, "fieldSelector=metadata.name%%3D%s", kube->self);
	start_watch(kube, WATCH_NODES, self.text);
	if (!kube->scope->reflectors)
		return;
	label_selector(&kube->scope->reflector_selector, &reflectors);
	start_watch(kube, WATCH_REFLECTORS, reflectors.text);
}

/* Credentials that cannot be used are an error of the source, not of the file: the
 * nodes that are known stay. */
static void configure(struct kube *kube, const struct cluster *file, bool wide)
{
	struct scope *scope = scope_new(kube, file, wide);
	struct err last = kube->credentials_error;

	if (kube->scope && strcmp(kube->scope->text, scope->text) == 0) {
		scope_free(scope);
		return;
	}
	stop_watching(kube);
	kube->credentials_error = (struct err){0};
	if (kube_credentials_load(file->kubernetes.kubeconfig, &scope->arena, &scope->credentials,
		    &kube->credentials_error) < 0) {
		if (strcmp(kube->credentials_error.msg, last.msg) != 0)
			log_error("kubernetes: %s", kube->credentials_error.msg);
		evtimer_add(kube->retry, &(struct timeval){.tv_sec = CREDENTIALS_SECONDS});
		scope_free(scope);
		return;
	}
	for (size_t i = 0; i < scope->credentials.n_warnings; i++)
		log_warn("kubernetes: %s", scope->credentials.warnings[i]);
	kube->scope = scope;
	start_watches(kube);
	writer_use(kube->writer, &scope->credentials);
	log_info("kubernetes: watching %s at %s",
		scope->all          ? "all Nodes"
		: scope->reflectors ? "this Node and the reflectors"
				    : "this Node",
		scope->credentials.server);
}

static bool is_synced(const struct kube *kube)
{
	for (size_t i = 0; i < NODE_WATCHES; i++)
		if (kube->watches[i] && !watch_status(kube->watches[i])->synced)
			return false;
	return kube->scope != NULL;
}

/* ---------------------------------------------------------------- who vanished */

/* Seconds by a clock that nobody sets, and which timers go by. */
static time_t uptime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static bool is_held_back(struct kube *kube, const struct cluster *file, size_t n_lost, bool force)
{
	/* Who is held stays held until all are back: else the last of many that come again would
	 * be let go of. */
	size_t total, of, most = n_lost > kube->held_most ? n_lost : kube->held_most;
	time_t now = uptime();

	if (now - kube->recent_from > SUDDEN_SECONDS)
		kube->n_recent = 0;
	total = most + kube->n_recent;
	of = kube->accepted.sets[KIND_NODE].n + kube->n_recent;
	if (force || !n_lost || total < 2 || total * 100 <= of * file->agent.max_withdraw_percent)
		return false;
	if (most > kube->held_most) { /* a larger loss has a time of its own */
		kube->held_most = most;
		kube->held_since = time(NULL);
		kube->held_from = now;
	}
	return now - kube->held_from < (time_t)file->agent.withdraw_delay;
}

static void note_held(struct kube *kube, const struct cluster *file, size_t n_held)
{
	time_t until = kube->held_from + (time_t)file->agent.withdraw_delay, now = uptime();
	struct timeval tv = {.tv_sec = until > now ? until - now : 0};

	if (n_held && !kube->n_held)
		log_warn("kubernetes: %zu nodes are gone all of a sudden, more than agent.maxWithdraw "
			 "(%u%%): held back for %u s, or until roostctl apply --force",
			n_held, file->agent.max_withdraw_percent, file->agent.withdraw_delay);
	else if (!n_held && kube->n_held)
		log_info("kubernetes: no nodes are held back any more");
	if (n_held)
		evtimer_add(kube->release, &tv);
	else
		evtimer_del(kube->release);
	kube->n_held = n_held;
	if (!n_held)
		kube->held_most = 0;
}

/* It stays as it was, but is known to be gone, also to the next roostd. */
static void hold_back(struct kube_set *set, const struct kube_item *item)
{
	json_t *reduced = json_loads(item->text, 0, NULL);
	_cleanup_free_ char *text = NULL;

	json_object_set_new(reduced, "gone", json_true());
	text = json_dumps(reduced, JSON_COMPACT | JSON_SORT_KEYS);
	if (text)
		set_put(set, item->key, text);
	json_decref(reduced);
}

/* fresh: what the API server has.  It becomes what is accepted, with those who are gone
 * and held back. */
static void accept_fresh(struct kube *kube, const struct cluster *file, struct kube_set *fresh,
	bool force)
{
	struct kube_set *accepted = &kube->accepted.sets[KIND_NODE];
	size_t n_lost = 0;
	bool hold;

	for (size_t i = 0; i < accepted->n; i++)
		n_lost += !set_get(fresh, accepted->items[i].key);
	hold = n_lost && is_held_back(kube, file, n_lost, force);
	for (size_t i = 0; hold && i < accepted->n; i++)
		if (!set_get(fresh, accepted->items[i].key))
			hold_back(fresh, &accepted->items[i]);
	if (n_lost && !hold) {
		kube->recent_from = uptime();
		kube->n_recent = force ? 0 : kube->n_recent + n_lost;
	}
	note_held(kube, file, hold ? n_lost : 0);
	kube->dirty = kube->dirty || !kube->accepted.saved_at || !set_equal(accepted, fresh);
	set_move(accepted, fresh);
}

/* Whom a narrower scope does not ask for has not vanished. */
static void forget_others(struct kube *kube, const struct cluster *file)
{
	struct kube_set *accepted = &kube->accepted.sets[KIND_NODE];
	struct kube_set kept = {0};

	for (size_t i = 0; i < accepted->n; i++) {
		json_t *reduced = json_loads(accepted->items[i].text, 0, NULL);
		_cleanup_arena_ struct arena arena = {0};
		struct node node;
		struct found_nodes found = {.items = &node};

		node_decode(reduced, file, &arena, &found);
		if (strcmp(accepted->items[i].key, kube->self) == 0 ||
			(kube->scope->reflectors && found.n && found.items[0].reflector))
			set_share(&kept, &accepted->items[i]);
		json_decref(reduced);
	}
	set_move(accepted, &kept);
}

static void take_fresh(struct kube *kube, const struct cluster *file, bool force)
{
	struct kube_set fresh = {0};

	if (!kube->scope->all)
		forget_others(kube, file);
	for (size_t i = 0; i < NODE_WATCHES; i++) {
		const struct kube_set *set = kube->watches[i] ? watch_set(kube->watches[i]) : NULL;

		for (size_t j = 0; set && j < set->n; j++)
			set_share(&fresh, &set->items[j]);
	}
	accept_fresh(kube, file, &fresh, force);
}

/* ---------------------------------------------------------------- finding */

static void decode_all(const struct kube_set *set, const struct cluster *file,
	struct arena *arena, struct found_nodes *found)
{
	found->items = arena_alloc(arena, set->n * sizeof(*found->items));
	for (size_t i = 0; i < set->n; i++) {
		json_t *reduced = json_loads(set->items[i].text, 0, NULL);

		node_decode(reduced, file, arena, found);
		json_decref(reduced);
	}
}

static void load_once(struct kube *kube, const struct cluster *file)
{
	if (kube->loaded)
		return;
	kube->loaded = true;
	if (state_load(kube->path, file->name, NULL, NULL, &kube->accepted, &kube->load_error) == 0)
		log_info("kubernetes: %zu nodes known from %s",
			kube->accepted.sets[KIND_NODE].n, kube->path);
	else if (kube->load_error.code == ENOENT)
		kube->load_error = (struct err){0};
	else
		log_error("kubernetes: %s; not used", kube->load_error.msg);
}

static int fail_unknown(const struct kube *kube, struct err *err)
{
	struct kube_status status;

	kube_status(kube, &status);
	return err_set(err, EAGAIN, "no Node is known yet: %s%s%s",
		status.err.code ? status.err.msg : "the API server was not heard so far",
		kube->load_error.code ? "; " : "", kube->load_error.msg);
}

int kube_find_nodes(const struct cluster *file, struct arena *arena, struct found_nodes *found,
	void *arg, struct err *err)
{
	const struct kube_question *question = arg;
	struct kube *kube = question->kube;

	load_once(kube, file);
	if (!question->first || !kube->accepted.sets[KIND_NODE].n)
		configure(kube, file, question->wide);
	if (is_synced(kube)) {
		take_fresh(kube, file, question->force);
		/* This node may be a reflector from now on, or no longer. */
		configure(kube, file, question->wide);
	} else if (!kube->accepted.sets[KIND_NODE].n) {
		return fail_unknown(kube, err);
	}
	decode_all(&kube->accepted.sets[KIND_NODE], file, arena, found);
	return 0;
}

/* ---------------------------------------------------------------- services */

static json_t *all_of(const struct kube_set *set)
{
	json_t *list = json_array();

	for (size_t i = 0; i < set->n; i++)
		json_array_append_new(list, json_loads(set->items[i].text, 0, NULL));
	return list;
}

static void decode_services(const struct kube_state *state, struct cluster *cluster,
	const struct node *self, struct arena *arena)
{
	json_t *services = all_of(&state->sets[KIND_SERVICE]);
	json_t *slices = all_of(&state->sets[KIND_SLICE]);

	services_decode(services, slices, cluster, self, arena);
	json_decref(services);
	json_decref(slices);
}

static void accept_set(struct kube *kube, enum kube_kind kind, const struct kube_set *set)
{
	struct kube_set *accepted = &kube->accepted.sets[kind], copy = {0};

	if (set_equal(accepted, set))
		return;
	for (size_t i = 0; i < set->n; i++)
		set_share(&copy, &set->items[i]);
	set_move(accepted, &copy);
	kube->dirty = true;
}

static void forget_services(struct kube *kube)
{
	const struct kube_set none = {0};

	stop_watch(kube, WATCH_SERVICES);
	stop_watch(kube, WATCH_SLICES);
	accept_set(kube, KIND_SERVICE, &none);
	accept_set(kube, KIND_SLICE, &none);
}

/* Both or none: a Service whose endpoints are not known yet would be withdrawn. */
static void take_fresh_services(struct kube *kube)
{
	const struct watch *services = kube->watches[WATCH_SERVICES];
	const struct watch *slices = kube->watches[WATCH_SLICES];

	if (!services || !watch_status(services)->synced || !watch_status(slices)->synced)
		return;
	accept_set(kube, KIND_SERVICE, watch_set(services));
	accept_set(kube, KIND_SLICE, watch_set(slices));
}

void kube_find_services(struct kube *kube, struct cluster *cluster, const struct node *self,
	struct arena *arena)
{
	if (!cluster_exports_services(cluster, self)) {
		forget_services(kube);
		return;
	}
	if (kube->scope && !kube->watches[WATCH_SERVICES]) {
		start_watch(kube, WATCH_SERVICES, SERVED_ONLY);
		start_watch(kube, WATCH_SLICES, SERVED_ONLY);
	}
	take_fresh_services(kube);
	decode_services(&kube->accepted, cluster, self, arena);
}

/* ---------------------------------------------------------------- no daemon */

int kube_find_services_in_file(const char *path, struct cluster *cluster, const struct node *self,
	struct arena *arena, struct err *err)
{
	struct kube_state state = {0};
	struct label_keys keys = {0};

	if (!cluster_exports_services(cluster, self))
		return 0;
	if (state_load(path, cluster->name, reduce, &keys, &state, err) < 0)
		return -1;
	decode_services(&state, cluster, self, arena);
	state_clear(&state);
	return 0;
}

int kube_find_nodes_in_file(const struct cluster *file, struct arena *arena,
	struct found_nodes *found, void *arg, struct err *err)
{
	const char *const *path = arg;
	struct kube_state state = {0};
	struct label_keys keys;

	label_keys_of(file, arena, &keys);
	if (state_load(*path, file->name, reduce, &keys, &state, err) < 0)
		return -1;
	decode_all(&state.sets[KIND_NODE], file, arena, found);
	state_clear(&state);
	return 0;
}

int kube_save(struct kube *kube, const struct cluster *cluster, struct err *err)
{
	if (!kube->dirty)
		return 0;
	kube->accepted.saved_at = time(NULL);
	if (state_save(kube->path, cluster->name, &kube->accepted, err) < 0)
		return -1;
	kube->dirty = false;
	return 0;
}

/* ---------------------------------------------------------------- telling */

void kube_tell_announced(struct kube *kube)
{
	const char *text = set_get(&kube->accepted.sets[KIND_NODE], kube->self);
	json_t *self = text ? json_loads(text, 0, NULL) : NULL;
	const char *uid = json_string_value(json_object_get(self, "uid"));

	if (self)
		writer_tell_announced(kube->writer, uid ? uid : "");
	json_decref(self);
}

void kube_tell_left_out(struct kube *kube, const struct cluster *cluster)
{
	writer_tell_left_out(kube->writer, cluster->left_out, cluster->n_left_out);
}

/* ---------------------------------------------------------------- status */

void kube_status(const struct kube *kube, struct kube_status *status)
{
	memset(status, 0, sizeof(*status));
	status->used = kube->scope || kube->accepted.sets[KIND_NODE].n || kube->credentials_error.code;
	status->synced = is_synced(kube);
	status->saved_at = kube->accepted.saved_at;
	status->err = kube->credentials_error;
	status->events = kube->old_events;
	status->lists = kube->old_lists;
	status->n_held = kube->n_held;
	status->held_since = kube->held_since;
	if (kube->scope)
		snprintf(status->server, sizeof(status->server), "%s",
			kube->scope->credentials.server);
	for (size_t i = 0; i < WATCHES; i++) {
		const struct watch_status *watch;

		if (!kube->watches[i])
			continue;
		watch = watch_status(kube->watches[i]);
		status->events += watch->events;
		status->lists += watch->lists;
		if (watch->err.code && i >= NODE_WATCHES)
			status->services_err = watch->err;
		if (i >= NODE_WATCHES)
			continue;
		if (watch->err.code)
			status->err = watch->err;
		/* As old as the oldest part of it. */
		if (i == 0 || watch->heard_at < status->heard_at)
			status->heard_at = watch->heard_at;
	}
}

/* ---------------------------------------------------------------- life */

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	on_changed(arg);
}

static void on_release(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	on_changed(arg);
}

struct kube *kube_new(struct event_base *base, const char *dir, const char *node_name,
	void (*changed)(void *), void *arg, struct err *err)
{
	struct http *http = http_new(base, err);
	struct kube *kube;

	if (!http)
		return NULL;
	kube = xmalloc(sizeof(*kube));
	memset(kube, 0, sizeof(*kube));
	kube->base = base;
	kube->http = http;
	kube->writer = writer_new(base, http, node_name);
	snprintf(kube->path, sizeof(kube->path), "%s/cluster.json", dir);
	kube->self = node_name;
	kube->changed = changed;
	kube->arg = arg;
	kube->release = evtimer_new(base, on_release, kube);
	kube->retry = evtimer_new(base, on_retry, kube);
	return kube;
}

void kube_free(struct kube *kube)
{
	if (!kube)
		return;
	stop_watching(kube);
	writer_free(kube->writer);
	http_free(kube->http);
	state_clear(&kube->accepted);
	event_free(kube->release);
	event_free(kube->retry);
	free(kube);
}
