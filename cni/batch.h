/* SPDX-License-Identifier: GPL-2.0-or-later */
/* batch -- several rtnetlink messages in one sendmsg.
 *
 * libnl builds the messages.  Only the last one asks for an acknowledgement: the
 * kernel works through all of them, in order, before sendmsg returns, goes on
 * after one that failed, and reports a failure whether asked or not.  So one
 * system call does a dozen things and a second one learns how they went; the
 * sockets and caches of libnl would be one of each per message.
 *
 * Every message carries what to say when it fails.  A batch is built, run once,
 * and freed by its scope. */
#ifndef ROOST_CNI_BATCH_H
#define ROOST_CNI_BATCH_H

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan.h"

/* What we want to know of a link. */
struct link {
	int index; /* 0: there is no such link */
	unsigned flags;
	uint32_t mtu;
	int peer; /* IFLA_LINK: the other end's index, in its own namespace */
	int master;
	uint8_t operstate;
	uint8_t port_state; /* as a bridge port: BR_STATE_FORWARDING ... */
	uint8_t mac[PLAN_MAC_SIZE];
	char name[IFNAMSIZ];
	char kind[16];
	char alias[PLAN_ALIAS_SIZE];
};

#define BATCH_MAX 160 /* a message per route, ROUTES_MAX of them; the rest is few */

struct step {
	char what[96];	 /* for the error: "adding 10.244.1.2/24 to eth0" */
	int tolerated;	 /* an errno that is no failure, or 0 */
	int error;	 /* what the kernel said: an errno, or 0 */
	char reason[64]; /* and its own words, if it had any */
	struct nl_msg *msg;
	struct link *link; /* where the answer to a query goes */
	int *oif;	   /* the same for a route query */
	bool *exists;	   /* whether the error was EEXIST */
	bool *all_local;   /* and for the question whether an address is in use */
};

struct batch {
	struct step *steps; /* moves while the batch grows */
	size_t count;
	uint32_t first_seq;
};

void batch_free(struct batch *batch);
#define _cleanup_batch_ __attribute__((cleanup(batch_free)))

/* Adds a message of `type` with its fixed header; the caller appends attributes.
 * `tolerated` is an errno that is no failure here, or 0; the text says what is
 * being done. */
struct nl_msg *batch_add(struct batch *batch, int type, int flags, const void *header, size_t size,
	int tolerated, const char *fmt, ...) __attribute__((format(printf, 7, 8)));

void batch_put(struct nl_msg *msg, int type, const void *data, size_t size);
void batch_put_string(struct nl_msg *msg, int type, const char *text);
void batch_put_u32(struct nl_msg *msg, int type, uint32_t number);
void batch_put_u8(struct nl_msg *msg, int type, uint8_t number);
struct nlattr *batch_nest(struct nl_msg *msg, int type); /* ended by nla_nest_end() */

/* Sends the batch on a socket and reads the answers.  *seq is the socket's counter.
 * The first step that failed is the error (CNI_KERNEL). */
int batch_run(int fd, struct batch *batch, uint32_t *seq, struct err *err);

/* errno as an error; EINTR is SIGALRM and thus CNI_TRY_LATER, else CNI_KERNEL. */
int batch_error(struct err *err, const char *what);

/* Calls `seen` for every object of a dump (RTM_GETADDR, RTM_GETROUTE ...). */
int batch_dump(int fd, uint32_t *seq, int type, void (*seen)(struct nlmsghdr *, void *), void *data,
	struct err *err);

/* Calls `seen` for every link of a kind.  *torn tells that links came or went
 * meanwhile, so that one may be missing: try again. */
int batch_dump_links(int fd, uint32_t *seq, const char *kind,
	void (*seen)(const struct link *, void *), void *data, bool *torn, struct err *err);

/* Common messages.  A link is meant by its index, or with index 0 by its name; the
 * name is for the error text in any case. */
void batch_query_link(struct batch *batch, int index, const char *name, struct link *link);
void batch_query_route(struct batch *batch, const struct addr *to, int *oif);
/* Clears *all_local unless what is sent to the address arrives here. */
void batch_query_local(struct batch *batch, const struct addr *addr, bool *all_local);
struct nl_msg *batch_change_link(struct batch *batch, int index, const char *name, unsigned flags,
	int tolerated, const char *what);
void batch_set_up(struct batch *batch, int index, const char *name);
void batch_set_no_link_local(struct batch *batch, int index, const char *name);
void batch_add_addr(struct batch *batch, int index, const char *name, const struct prefix *addr);
void batch_add_link_local(
	struct batch *batch, int index, const char *name, const uint8_t mac[PLAN_MAC_SIZE]);
/* A route for each, but one with several ways (plan_same_route()) for those that go to
 * the same place.  `on_link`: gateways are on this link whatever the pod's addresses
 * say.  What is in the kernel already is marked `taken`. */
void batch_add_routes(
	struct batch *batch, int index, struct cni_route *routes, size_t count, bool on_link);
/* The node's way to one address of a routed pod. */
void batch_add_pod_route(struct batch *batch, int index, const struct addr *addr);
/* A neighbour that is never asked for and never forgotten. */
void batch_add_neighbour(struct batch *batch, int index, const char *name, const struct addr *addr,
	const uint8_t mac[PLAN_MAC_SIZE]);

#endif
