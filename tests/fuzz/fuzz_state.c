/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as cluster.json, as roostd reads it and as roostctl does; what is taken comes
 * back when it is written.  The hash is made right, or nothing behind it would be reached. */
#include <inttypes.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "fuzz.h"
#include "kube/node.h"
#include "kube/split.h"
#include "kube/state.h"

static char path[] = "/dev/shm/roost-fuzz-state.XXXXXX";

static json_t *reduce(const json_t *object, const void *arg, struct err *err)
{
	return reduce_node(object, arg, err);
}

static void write_bytes(const void *data, size_t size)
{
	FILE *file = fopen(path, "we");

	MUST(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

static int hash_item(const char *text, size_t len, void *arg, struct err *err)
{
	uint64_t *hash = arg;

	(void)err;
	*hash = hash_add(*hash, text, len);
	return 0;
}

/* The bytes with the hash of their items in place of what they have for one. */
static void write_hashed(const char *data, size_t size)
{
	static const char key[] = "\"hash\": \"";
	struct split split = {0};
	uint64_t hash = HASH_START;
	char *text = calloc(1, size + 1), *at, hex[20];
	struct err err;

	MUST(text);
	memcpy(text, data, size);
	split_begin(&split, SPLIT_LIST, hash_item, &hash);
	split_feed(&split, text, strlen(text), &err);
	split_free(&split);
	at = strstr(text, key);
	snprintf(hex, sizeof(hex), "%016" PRIx64, hash);
	if (at && strlen(at) >= strlen(key) + strlen(hex))
		memcpy(at + strlen(key), hex, strlen(hex));
	write_bytes(text, strlen(text));
	free(text);
}

static void load(state_reduce_fn *how)
{
	static const char *keys[] = {"rack", "roost/reflector"};
	static const struct label_keys wanted = {keys, ARRAY_LEN(keys)};
	struct kube_state state = {0}, back = {0};
	struct err err;

	if (state_load(path, "lab", how, &wanted, &state, &err) < 0) {
		for (enum kube_kind kind = 0; kind < KUBE_KINDS; kind++)
			MUST(!state.sets[kind].n);
		return;
	}
	MUST(state_save(path, "lab", &state, &err) == 0);
	MUST(state_load(path, "lab", NULL, NULL, &back, &err) == 0);
	for (enum kube_kind kind = 0; kind < KUBE_KINDS; kind++)
		MUST(set_equal(&state.sets[kind], &back.sets[kind]));
	state_clear(&state);
	state_clear(&back);
}

static void remove_file(void)
{
	unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (strchr(path, 'X')) {
		int fd = mkstemp(path);

		MUST(fd >= 0 && close(fd) == 0 && atexit(remove_file) == 0);
	}
	write_bytes(data, size);
	load(reduce);
	write_hashed((const char *)data, size);
	load(NULL);
	return 0;
}
