/* SPDX-License-Identifier: GPL-2.0-or-later */
/* source/file -- the one file and what stands beside it, read and watched.
 *
 * A source never says what changed, only "look again".  It watches folders, not
 * files, with inotify: so an editor's rename, mv, cp and a ConfigMap's swap of the
 * ..data link are all seen.  The watches are set up anew at each load, before the
 * files are read, so that no change falls in between. */
#ifndef ROOST_SOURCE_FILE_H
#define ROOST_SOURCE_FILE_H

#include <event2/event.h>

#include "base/buf.h"
#include "bird/fileset.h"
#include "model/cluster.h"

/* The folder of bird.d/ and bird-templates/; $ROOST_ETC for tests, else /etc/roost. */
const char *source_etc_dir(void);

/* Which node this is: `given` if not NULL, else $NODE_NAME, else the hostname, which
 * is written into `room`. */
const char *source_node_name(const char *given, char room[256]);

/* What a configuration is made of, as bytes. */
struct inputs {
	struct buf yaml;          /* roost.yaml; the caller frees it */
	struct fileset templates; /* the shipped ones, /etc/roost/bird-templates/ over them */
	struct fileset snippets;  /* "bird.d/..." */
};

/* Reads them all; templates and snippets go into `arena`. */
int source_read(const char *path, struct arena *arena, struct inputs *inputs, struct err *err);
int source_read_files(struct arena *arena, struct inputs *inputs, struct err *err);

struct source;

/* Reads the passwordFile of every session that `self` has into session.password.  Its
 * folder is watched from before it is read, until the next source_watch(); `source`
 * may be NULL.  No message quotes what is in it. */
int source_read_passwords(struct source *source, struct cluster *cluster,
	const struct node *self, struct arena *arena, struct err *err);

/* Adds a warning for each file with a password or credentials in it that everybody may
 * read, and for those that everybody may write.  No refusal: what others could read they
 * have read, and a cluster whose file mode is wrong should still come up.  0640 with
 * roostd's group is as it should be. */
void source_warn_of_open_files(const char *path, struct cluster *cluster,
	const struct node *self, struct arena *arena);

typedef void source_fn(void *arg);
/* `changed` may be called at any time after the first source_watch(). */
struct source *source_new(struct event_base *base, const char *path, source_fn *changed, void *arg);
/* (Re)sets the watches; call it before each source_read(). */
void source_watch(struct source *source);
/* Another file besides, until the next source_watch(). */
void source_watch_also(struct source *source, const char *path);
void source_free(struct source *source);

#endif
