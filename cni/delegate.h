/* SPDX-License-Identifier: GPL-2.0-or-later */
/* delegate -- runs the IPAM plugin of somebody else ("Delegated Plugins" in the
 * CNI specification).
 *
 * It gets what we got: the bytes of stdin as they came, the environment but for
 * CNI_COMMAND, our stderr.  It runs in the node's namespace, also when we have gone
 * into the pod's, dies when we die, and has no more time than we have. */
#ifndef ROOST_CNI_DELEGATE_H
#define ROOST_CNI_DELEGATE_H

#include "base/buf.h"
#include "base/err.h"

struct delegate {
	const char *type; /* the plugin's file name, in one of the folders of CNI_PATH */
	const char *path; /* CNI_PATH; NULL: not set */
	const char *stdin_bytes;
	size_t stdin_len;
	int netns; /* the node's, -1 before delegate_open() */
};

#define DELEGATE_OUTPUT_MAX ((size_t)1 << 20)

/* Remembers the namespace that we are in. */
int delegate_open(struct delegate *delegate, struct err *err);
void delegate_close(struct delegate *delegate);

/* Runs it to its end; what it printed is in *out.  CNI_CONFIG when there is no such
 * plugin, CNI_TRY_LATER when SIGALRM came first, its own code or CNI_DELEGATE when
 * it failed. */
int delegate_run(
	const struct delegate *delegate, const char *command, struct buf *out, struct err *err);

#endif
