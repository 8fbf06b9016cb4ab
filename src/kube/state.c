/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kube/state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "kube/split.h"

#define STATE_KIND    "RoostState"
#define STATE_VERSION 1

static const char *const kind_names[KUBE_KINDS] = {
	[KIND_NODE] = "Node", [KIND_SERVICE] = "Service", [KIND_SLICE] = "EndpointSlice"};

void state_clear(struct kube_state *state)
{
	for (enum kube_kind kind = 0; kind < KUBE_KINDS; kind++)
		set_clear(&state->sets[kind]);
	state->saved_at = 0;
}

int state_save(const char *path, const char *cluster, const struct kube_state *state,
	struct err *err)
{
	_cleanup_buf_ struct buf text = {0};
	uint64_t hash = HASH_START;
	const char *separator = "\n";

	buf_printf(&text,
		"{\"kind\": \"" STATE_KIND "\", \"version\": %d, \"cluster\": \"%s\", "
		"\"saved\": %lld, \"items\": [",
		STATE_VERSION, cluster, (long long)state->saved_at);
	for (enum kube_kind kind = 0; kind < KUBE_KINDS; kind++)
		for (size_t i = 0; i < state->sets[kind].n; i++) {
			const char *item = state->sets[kind].items[i].text;

			hash = hash_add(hash, item, strlen(item));
			buf_printf(&text, "%s%s", separator, item);
			separator = ",\n";
		}
	buf_printf(&text, "\n], \"hash\": \"%016" PRIx64 "\"}\n", hash);
	return file_replace(path, text.text, text.len, 0640, err);
}

/* ---------------------------------------------------------------- load */

struct loading {
	struct kube_state state;
	state_reduce_fn *reduce;
	const void *arg;
	uint64_t hash;
	bool whole; /* objects as the API server has them */
};

static int take(struct loading *loading, const json_t *item, struct err *err)
{
	const char *kind = json_string_value(json_object_get(item, "kind"));
	const char *space = json_string_value(json_object_get(item, "namespace"));
	const char *name = json_string_value(json_object_get(item, "name"));
	_cleanup_free_ char *text = json_dumps(item, JSON_COMPACT | JSON_SORT_KEYS);
	_cleanup_buf_ struct buf key = {0};

	if (!text || !kind || !name || !*name)
		return err_set(err, EBADMSG, "an item without kind or name");
	buf_printf(&key, "%s%s%s", space ? space : "", space ? "/" : "", name);
	for (enum kube_kind k = 0; k < KUBE_KINDS; k++)
		if (strcmp(kind, kind_names[k]) == 0)
			set_put(&loading->state.sets[k], key.text, text);
	return 0; /* a kind of a later version: it is asked for again */
}

static int take_whole(struct loading *loading, const json_t *item, struct err *err)
{
	json_t *reduced;
	int rc;

	loading->whole = true;
	if (!loading->reduce)
		return err_set(err, EBADMSG, "not written by roostd");
	reduced = loading->reduce(item, loading->arg, err);
	if (!reduced)
		return -1;
	rc = take(loading, reduced, err);
	json_decref(reduced);
	return rc;
}

static int on_item(const char *text, size_t len, void *arg, struct err *err)
{
	struct loading *loading = arg;
	json_error_t why;
	json_t *item = json_loadb(text, len, JSON_ALLOW_NUL, &why);
	int rc;

	if (!item)
		return err_set(err, EBADMSG, "no JSON: %s", why.text);
	loading->hash = hash_add(loading->hash, text, len);
	rc = (json_object_get(item, "metadata") ? take_whole : take)(loading, item, err);
	json_decref(item);
	return rc;
}

static int check_head(struct loading *loading, const json_t *head, const char *cluster,
	struct err *err)
{
	const char *kind = json_string_value(json_object_get(head, "kind"));
	const char *name = json_string_value(json_object_get(head, "cluster"));
	const char *hash = json_string_value(json_object_get(head, "hash"));
	json_int_t version = json_integer_value(json_object_get(head, "version"));
	char wanted[20];

	if (loading->whole)
		return 0;
	snprintf(wanted, sizeof(wanted), "%016" PRIx64, loading->hash);
	if (!kind || strcmp(kind, STATE_KIND) != 0)
		return err_set(err, EBADMSG, "expected kind " STATE_KIND);
	if (version != STATE_VERSION)
		return err_set(err, EBADMSG, "version %lld, and this roostd reads version %d",
			(long long)version, STATE_VERSION);
	if (!hash || strcmp(hash, wanted) != 0)
		return err_set(err, EBADMSG, "it was damaged: its hash is another one");
	if (!name || strcmp(name, cluster) != 0)
		return err_set(err, EBADMSG, "of cluster \"%.100s\", and this is \"%s\"",
			name ? name : "", cluster);
	loading->state.saved_at = (time_t)json_integer_value(json_object_get(head, "saved"));
	return 0;
}

static int load(struct loading *loading, const char *path, const char *cluster, struct err *err)
{
	_cleanup_buf_ struct buf text = {0};
	struct split split = {0};
	json_error_t why;
	json_t *head;
	int rc;

	if (file_read(path, STATE_MAX_BYTES, &text, err) < 0)
		return -1;
	split_begin(&split, SPLIT_LIST, on_item, loading);
	rc = split_feed(&split, buf_text(&text), text.len, err);
	if (rc == 0)
		rc = split_end(&split, err);
	if (rc == 0) {
		head = json_loadb(buf_text(&split.rest), split.rest.len, 0, &why);
		rc = head ? check_head(loading, head, cluster, err)
			  : err_set(err, EBADMSG, "no JSON: %s", why.text);
		json_decref(head);
	}
	split_free(&split);
	return rc < 0 ? err_wrap(err, "%s", path) : 0;
}

int state_load(const char *path, const char *cluster, state_reduce_fn *reduce, const void *arg,
	struct kube_state *state, struct err *err)
{
	struct loading loading = {.reduce = reduce, .arg = arg, .hash = HASH_START};

	if (load(&loading, path, cluster, err) < 0) {
		state_clear(&loading.state);
		return -1;
	}
	state_clear(state);
	*state = loading.state;
	return 0;
}
