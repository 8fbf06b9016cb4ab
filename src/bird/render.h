/* SPDX-License-Identifier: GPL-2.0-or-later */
/* render -- a cluster, seen from one node, as BIRD configuration.  Pure: equal
 * input gives equal bytes.
 *
 * BIRD's language is the template language: the templates are real BIRD files that
 * are passed through untouched, and what is generated is data for them: node.conf
 * (`define`s and this node's own routes) and sessions.conf (one `protocol bgp` per
 * neighbour and family).  Everything about one session stands in its own block, so
 * that a change to one neighbour touches no other. */
#ifndef ROOST_RENDER_H
#define ROOST_RENDER_H

#include "bird/fileset.h"
#include "model/cluster.h"

/* What identifies a configuration: a hash over all its bytes.  BIRD holds it as
 * the constant ROOST_CONFIG, where `eval ROOST_CONFIG` finds it again. */
#define CONFIG_ID_LEN 16

struct rendered {
	struct fileset files; /* bird.conf, node.conf, ..., bird.d/ */
	char id[CONFIG_ID_LEN + 1];
};

/* `templates` holds the template files by plain name, `snippets` the operator's as
 * "bird.d/NAME.conf".  The result lives in `arena`.  Fails when a template is
 * missing that the others need. */
int render(const struct cluster *cluster, const struct node *self, const struct fileset *templates,
	const struct fileset *snippets, struct arena *arena, struct rendered *rendered,
	struct err *err);

/* The same with another sessions.conf and a remark behind bird.conf, so another id. */
void render_with_sessions(const struct rendered *from, const char *text, size_t len,
	const char *remark, struct arena *arena, struct rendered *out);

/* Configuration 0: a device protocol and nothing else, so that BIRD can start
 * before anything is known. */
void render_nothing(struct arena *arena, struct rendered *rendered);

#define RENDER_NAME_MAX 64 /* of a BIRD symbol, with its end */
/* Of an unnumbered router BIRD makes the session "tor-a:peer~1" when it connects; no
 * other name has this character. */
#define RENDER_DYNAMIC '~'
void render_node_session_name(
	char room[RENDER_NAME_MAX], const struct node *node, enum family family);

/* One BGP session this node should have. */
struct session_want {
	char name[RENDER_NAME_MAX]; /* the BIRD protocol: "node2:v4", "tor-a:peer" */
	const struct node *node; /* the neighbour: this, */
	const struct peer *peer; /* or this */
	bool leaving;            /* a node that the topology no longer has as a neighbour ... */
	bool spare;              /* ... and that we can do without */
	enum family family;
	struct addr local, neighbor;
	uint32_t neighbor_as;
	const struct session *options; /* of the cluster, or of the peer */
	unsigned max_routes; /* podCIDRs it may bring; UINT_MAX: who knows */
	unsigned n_own;      /* podCIDRs of our own that it is told */
};

/* IPv6 sessions with routers carry IPv4 too where extendedNextHop is on. */
bool session_carries(const struct session_want *session, enum family family);

/* On the podCIDRs that a former neighbour is told which we can do without: a large
 * community (RFC 8092) of the cluster's AS, our number (as of the plugin's routes) and 1. */
#define RENDER_MARK "(%u, 82, 1)"

/* All of them, in the order they are rendered in; in `arena`. */
struct session_want *render_sessions(const struct cluster *cluster, const struct node *self,
	struct arena *arena, size_t *n);

#endif
