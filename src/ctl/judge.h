/* SPDX-License-Identifier: GPL-2.0-or-later */
/* judge -- what roostctl doctor makes of a machine: facts in, findings out.  Pure.
 *
 * One line of a table per check; a check looks at the facts it names and says what was
 * seen and, unless that is fine, what to do about it.  What could not be found out (no
 * root, no roostd yet, a file that is missing before anything is installed) is not known,
 * which is no failure and says so. */
#ifndef ROOST_JUDGE_H
#define ROOST_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "bird/observe.h"
#include "bird/render.h"
#include "cni/lease.h"
#include "kernel/fib.h"
#include "model/cluster.h"

#define UNKNOWN (-1) /* of a number that is never negative */

/* A process of this machine, as far as it may be looked at. */
struct process {
	int pid; /* 0: there is none */
	const char *name;
	const char *command; /* with its arguments, blanks between them */
	long open_files;     /* soft RLIMIT_NOFILE, UNKNOWN */
};

/* A file that somebody must be able to read, or nobody else. */
struct file_fact {
	const char *path;
	bool is_secret;
	struct err unreadable; /* for roostd's user; code 0: it can */
	unsigned mode;         /* 0: not there */
};

struct link_fact {
	const char *name;
	unsigned mtu;
	bool up;
};

struct disk_fact {
	const char *path;
	long long free_bytes; /* for others than root; UNKNOWN */
	long long free_files;
};

struct facts {
	struct arena arena;

	/* what should be */
	const char *file;
	const struct cluster *cluster; /* NULL: ... */
	struct err file_error;
	struct err nodes_error; /* code != 0: Kubernetes' Nodes are not known, self is NULL */
	const char *node_name;
	const struct node *self; /* NULL: not in the file */
	const struct session_want *sessions;
	size_t n_sessions;

	/* BIRD */
	struct bird_state *bird; /* NULL: not asked */
	struct process bird_process;
	unsigned n_birds; /* in this network namespace for certain; others cannot be told apart */
	const char *other_bird; /* of these, the command of one that was not started as Roost's; NULL */
	bool rendered;			/* a configuration could be made ... */
	struct err render_error;	/* ... and BIRD takes it, code 0; or why not */
	const char *own_templates; /* names of those in /etc/roost/bird-templates, "" */

	/* roostd */
	struct process roostd;
	struct err socket_error; /* of asking roostd, code 0: it answers */
	const char *problem;     /* the first it has, "": none */
	size_t n_problems;
	unsigned socket_mode, bird_socket_mode; /* 0: not there */
	const char *roostd_user; /* as whom it runs, or would; NULL: there is no user roost */
	struct file_fact *files;
	size_t n_files;

	/* the network */
	int forwarding[FAMILIES]; /* sysctls: UNKNOWN, or the value */
	const char *uplink;       /* with the node's address, NULL: none */
	unsigned uplink_mtu;
	bool has_address[FAMILIES];
	int rp_filter; /* of the uplink, the stricter of "all" and its own */
	int accept_ra; /* of the uplink */
	bool default_by_ra;
	const char *duplicate[FAMILIES]; /* who else has the node's address: a MAC; NULL: nobody */
	bool asked_for_duplicates[FAMILIES];
	const char *port_owner; /* of TCP port 179: "bird", NULL: nobody, "" not known */
	long neighbour_limit;   /* gc_thresh3 of the stricter family */
	long optmem_max;
	int bridge_nf; /* net.bridge.bridge-nf-call-iptables */
	long conntrack_count, conntrack_max;
	struct link_fact *pod_links; /* the bridge and the host's ends of pods' links */
	size_t n_pod_links;
	struct link_fact bridge; /* name NULL: there is none */
	bool bridge_has_address;
	struct fib fib; /* the main table inside the cluster's podCIDRs */
	bool fib_read;
	const char *ruleset; /* as `nft list ruleset` has it; NULL: not known */
	const char *legacy;  /* as iptables-legacy-save has it; "" */
	bool networkd_runs, networkd_keeps; /* ManageForeignRoutes=no */

	/* the machine */
	long long now, built; /* seconds since 1970 */
	int clock_synchronised; /* UNKNOWN, 0, 1 */
	long inotify_instances, inotify_watches;
	struct disk_fact disks[2];

	/* the plugin */
	bool has_plugin, has_loopback;
	const char *winning_conflist; /* the first of conf_dir by name; "" none */
	struct err lease_error;
	size_t n_leases; /* of the network "roost" */
};

enum level { LEVEL_OK, LEVEL_UNKNOWN, LEVEL_WARNING, LEVEL_FAIL };
const char *level_name(enum level level);

struct finding {
	const char *check; /* "forwarding" */
	enum level level;
	char seen[700];
	char advice[400]; /* "": nothing is to be done */
};

/* All checks, in their order; in `arena`. */
struct finding *judge_all(const struct facts *facts, struct arena *arena, size_t *n);

#endif
