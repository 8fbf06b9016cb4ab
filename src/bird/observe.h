/* SPDX-License-Identifier: GPL-2.0-or-later */
/* observe -- what BIRD has: its sessions, and its routes for pods and Services.
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
	unsigned preferred; /* of the imported: no other protocol has a better one */
	unsigned updates; /* received since it is up */
	unsigned limit_reached; /* the import limit, if there are more routes; else 0 */
	unsigned refused; /* updates that the import filters turned down since it is up */
	bool dynamic; /* BIRD made it of the one with this name */
	bool *told; /* by place in bird_state.own: this session is; NULL: was not asked for */
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
	bool starting;                    /* BIRD 3: has written nothing to the kernel yet */
	struct bird_session *sessions; /* by name */
	size_t n_sessions;
	struct bird_route *routes;
	size_t n_routes;
	struct prefixes own; /* this node's podCIDRs */
	struct bird_route *marked; /* those of `routes` that a condition holds for, when asked */
	size_t n_marked;
};

/* Asks BIRD everything; and, unless `mark` is NULL, which routes this condition in BIRD's
 * language holds for (at most OBSERVE_MARK_MAX bytes).  `done` gets the state, which it owns and frees with bird_state_free();
 * never called from within observe_start(). */
#define OBSERVE_MARK_MAX 120
#define OBSERVE_TOLD_MAX 160
typedef void observe_fn(struct bird_state *state, void *arg);
struct observation;
struct observation *observe_start(struct event_base *base, const struct cluster *cluster,
	const char *mark, observe_fn *done, void *arg);
/* Stops it; `done` is not called any more. */
void observe_cancel(struct observation *observation);
void bird_state_free(struct bird_state *state);

const struct bird_session *bird_find_session(const struct bird_state *state, const char *name);

/* What BIRD prints with the templates' time format; 0 when somebody changed that. */
time_t bird_time(const char *text);

/* The pure part: answers to "show status", "show protocols all", "show bfd
 * sessions", "show route", the same for marked routes, "eval ROOST_CONFIG". */
void parse_status(const struct reply *reply, struct bird_state *state);
void parse_protocols(const struct reply *reply, struct bird_state *state);
void parse_bfd(const struct reply *reply, struct bird_state *state);
void parse_routes(const struct reply *reply, struct bird_state *state);
void parse_marked(const struct reply *reply, struct bird_state *state);
/* The question whether a session is told of a route; the answer has one, BIRD_ROUTE. */
void observe_told_command(
	char room[OBSERVE_TOLD_MAX], const struct prefix *prefix, const char *session);

/* Is a session that is up told of this podCIDR of ours?  Who is told of more than these is
 * asked for; with others the count is enough. */
bool bird_is_told(const struct bird_state *state, const struct bird_session *session,
	const struct prefix *prefix);
void parse_config_id(const struct reply *reply, char id[CONFIG_ID_LEN + 1]);

#endif
