/* SPDX-License-Identifier: GPL-2.0-or-later */
/* observe -- what BIRD has: its sessions, and its routes inside the cluster.
 *
 * observe_start() asks over a control connection of its own and hands over one
 * struct bird_state; the parse functions below it are pure.  Nothing here is kept:
 * every question gets a fresh look. */
#ifndef ROOST_OBSERVE_H
#define ROOST_OBSERVE_H

#include <event2/event.h>

#include "bird/render.h"
#include "bird/reply.h"
#include "model/cluster.h"

/* One BGP protocol. */
struct bird_session {
	const char *name;
	const char *state; /* BIRD's BGP state in its words: "Established", "Active", ... */
	bool up;           /* established */
	const char *since; /* as BIRD prints it; the templates make it %FT%T%z */
	const char *info;  /* why it is not up, "" when nothing is known */
	const char *neighbor;
	const char *bfd; /* BIRD's word for the BFD session's state, "" without BFD */
	uint32_t neighbor_as;
	unsigned imported, exported;
	unsigned limit_reached; /* the import limit, if there are more routes; else 0 */
	unsigned refused; /* updates that the import filters turned down since it is up */
};

enum bird_dest { DEST_UNICAST, DEST_UNREACHABLE, DEST_BLACKHOLE, DEST_OTHER };

struct bird_route {
	struct prefix prefix;
	enum bird_dest dest;
	struct addr via; /* the first next hop; family 0: none */
	const char *protocol;
	bool best;
};

struct bird_state {
	struct arena arena; /* of everything here */
	struct err err;     /* code != 0: BIRD could not be asked, the rest is empty */
	const char *version;              /* "2.0.12" */
	const char *started;              /* since when it runs, as BIRD prints it */
	char config_id[CONFIG_ID_LEN + 1]; /* ROOST_CONFIG, "" when not ours */
	bool unconfirmed;                 /* a configuration waits for `configure confirm` */
	bool recovering;                  /* graceful restart recovery: routes are withheld */
	struct bird_session *sessions; /* by name */
	size_t n_sessions;
	struct bird_route *routes;
	size_t n_routes;
	struct bird_route *marked; /* those of `routes` with RENDER_MARK, when asked for */
	size_t n_marked;
};

/* Asks BIRD everything; which routes have the mark of this AS (render.h) only if it
 * is not 0.  `done` gets the state, which it owns and frees with bird_state_free();
 * never called from within observe_start(). */
typedef void observe_fn(struct bird_state *state, void *arg);
struct observation;
struct observation *observe_start(struct event_base *base, const struct cluster *cluster,
	uint32_t mark_as, observe_fn *done, void *arg);
/* Stops it; `done` is not called any more. */
void observe_cancel(struct observation *observation);
void bird_state_free(struct bird_state *state);

const struct bird_session *bird_find_session(const struct bird_state *state, const char *name);

/* The pure part: answers to "show status", "show protocols all", "show bfd
 * sessions", "show route", the same for marked routes, "eval ROOST_CONFIG". */
void parse_status(const struct reply *reply, struct bird_state *state);
void parse_protocols(const struct reply *reply, struct bird_state *state);
void parse_bfd(const struct reply *reply, struct bird_state *state);
void parse_routes(const struct reply *reply, struct bird_state *state);
void parse_marked(const struct reply *reply, struct bird_state *state);
void parse_config_id(const struct reply *reply, char id[CONFIG_ID_LEN + 1]);

#endif
