/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cluster -- what the cluster should be: the one data model.
 *
 * Sources build it (decode.c from a document), everything else reads it through
 * `const struct cluster *`.  Names here are the names in roost.yaml.  The value
 * and all it points to live in one arena; nodes and peers are in the order of the
 * source until cluster_check() has accepted them, then sorted by name, so that
 * equal clusters render to equal bytes. */
#ifndef ROOST_CLUSTER_H
#define ROOST_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/prefix.h"

/* Address families, as an index: what exists once per family is an array. */
enum family { IPV4, IPV6, FAMILIES };
enum family family_of(const struct addr *addr);
bool addr_is_link_local(const struct addr *addr); /* fe80::/10 */
const char *family_name(enum family family); /* "IPv4" */

struct prefixes {
	struct prefix *items;
	size_t n;
};

struct label {
	const char *key, *value;
};

struct labels {
	struct label *items;
	size_t n;
};

/* Which nodes speak to each other: all, everyone to the reflectors, nobody. */
enum topology { TOPOLOGY_MESH, TOPOLOGY_REFLECTOR, TOPOLOGY_NONE };

/* What `roostctl drain` has come to on this node (agent/drain.h). */
enum drain_state {
	DRAIN_OFF,
	DRAIN_LEAVING, /* says that it will go: GRACEFUL_SHUTDOWN, RFC 8326 */
	DRAIN_DRAINED, /* and what others can do instead it does no more */
};

struct node {
	const char *name;
	struct addr address[FAMILIES]; /* family 0: has none of this family */
	struct prefixes pod_cidrs;
	struct labels labels;
	uint32_t as_number; /* 0: cluster_resolve_as_numbers() gives it one */
	bool reflector; /* passes on to each node what it heard from the others (RFC 4456) */
	const char *created; /* Kubernetes: when; the older of two that clash is right */
	bool gone;           /* Kubernetes: held back (kube/kube.h), and wrong in any clash */
	bool not_ready;      /* Kubernetes says so; for people only, BGP knows better */
	unsigned n_reflectors; /* with its value of topologyKey; cluster_check() counts */
	bool leaving[FAMILIES]; /* its session outlives a change of topology (bird/leaving.h) ... */
	bool spare[FAMILIES];   /* ... and is told that we can do without it */
	enum drain_state drain; /* of the node that this runs on */
};

/* What is announced to a router. */
enum export {
	EXPORT_PODS = 1 << 0,
	EXPORT_CLUSTER = 1 << 1,
	EXPORT_DEFAULT = 1 << 2,
	EXPORT_SERVICES = 1 << 3,
};

/* Whence a Service has an address: status.loadBalancer, spec.externalIPs, spec.clusterIPs. */
enum service_kind { SERVICE_LOAD_BALANCER_IP, SERVICE_EXTERNAL_IP, SERVICE_CLUSTER_IP, SERVICE_KINDS };

/* Does this node announce it, and why not. */
enum service_verdict {
	SERVICE_ANNOUNCED,
	SERVICE_OUTSIDE,     /* of cluster.serviceCIDRs */
	SERVICE_TAKEN,       /* it is a node's or a router's own */
	SERVICE_PROXY_MODE,  /* packets to it are not for a node: ipMode Proxy (KEP-1860) */
	SERVICE_EXCLUDED,    /* the node's label says: no load balancers here */
	SERVICE_DRAINED,     /* other nodes do it (agent/drain.h) */
	SERVICE_NO_ENDPOINT, /* nowhere */
	SERVICE_NOT_HERE,    /* none on this node, and the Service's policy is Local */
};

/* An address of a Kubernetes Service, as this node treats it. */
struct service_address {
	struct prefix prefix; /* a /32 or /128 */
	const char *service;  /* "namespace/name" */
	enum service_kind kind;
	enum service_verdict verdict;
};

/* Sorted by prefix; two Services may share one. */
struct services {
	struct service_address *items;
	size_t n;
	struct prefixes announced; /* sorted, each once */
};

/* How a BGP session is run; times in seconds. */
struct session {
	unsigned hold_time, keepalive_time;
	unsigned send_hold_time; /* RFC 9687; 0: BIRD's */
	unsigned connect_retry_time; /* 0: the template's */
	bool bfd;
	unsigned bfd_interval_ms, bfd_multiplier; /* 0: BIRD's */
	struct {
		bool enabled;
		unsigned restart_time;
	} graceful_restart;
	struct {
		bool enabled;
		unsigned stale_time;
	} long_lived; /* graceful restart, RFC 9494 */
	struct {
		unsigned prefixes; /* 0: the template's limit */
		bool only_warn;
	} import_limit;
	bool ttl_security;         /* RFC 5082 */
	const char *password;      /* RFC 2385; NULL: none, or still in ... */
	const char *password_file; /* ... this file, for source_read_passwords(), */
	const char *password_file_at; /* which stands here: "roost.yaml:9:4: session.passwordFile" */
};

/* What a node is to the router (RFC 9234). */
enum role { ROLE_NONE, ROLE_PROVIDER, ROLE_PEER, ROLE_CUSTOMER, ROLE_RS_SERVER, ROLE_RS_CLIENT };

enum add_paths { ADD_PATHS_OFF, ADD_PATHS_RX, ADD_PATHS_TX, ADD_PATHS_BOTH };

/* RFC 1997: two parts of 16 bits; RFC 8092, large: three of 32. */
struct community {
	uint32_t parts[3];
};

struct communities {
	struct community *items;
	size_t n;
};

/* A number of which every value is one. */
struct maybe {
	bool given;
	uint32_t value;
};

/* A router that is not a node. */
struct peer {
	const char *name;
	struct addr address; /* a link-local one has an interface */
	bool unnumbered;     /* whoever connects on the interface; the address is fe80:: then */
	uint32_t as_number;
	struct labels node_selector; /* empty: every node */

	/* how it is reached */
	const char *interface;      /* NULL: any */
	struct addr source_address; /* family 0: the node's own */
	unsigned port;              /* 0: 179 */
	bool passive;
	unsigned multihop;   /* hops; 0: it is on our segment, else ... */
	struct addr gateway; /* ... the way to all that it announces; family 0: none */
	enum role role;

	/* what is said */
	struct prefixes import; /* what we take from it ... */
	bool import_default;    /* ... or the cluster's podCIDRs */
	unsigned export;        /* enum export bits */
	enum add_paths add_paths;
	bool extended_next_hop; /* IPv4 routes over an IPv6 session */
	unsigned allow_local_as, as_path_limit; /* 0: none; no limit */
	struct maybe local_preference;          /* of what comes */
	struct maybe med, next_hop_self;        /* of what goes; a bool */
	struct communities communities, large_communities;

	struct session session;
};

/* How the plugin makes pods: ports of the node's bridge, or each with a link and a
 * route of its own (man roost(8), ROUTED PODS). */
enum cni_mode { CNI_MODE_BRIDGE, CNI_MODE_ROUTED };

struct cni {
	enum cni_mode mode;
	const char *bridge;
	unsigned mtu; /* 0: auto */
	const char *bin_dir, *conf_dir;
	struct {
		bool enabled;
		struct prefixes except; /* where pods go with their own addresses */
	} masquerade;
};

/* Nodes come from an API server. */
struct kubernetes {
	bool used;
	const char *kubeconfig;           /* NULL: we are a pod, and use its service account */
	struct labels reflector_selector; /* of Nodes that are reflectors */
	unsigned watch_timeout;           /* seconds of silence */
};

/* A Node that is none of ours, while the others are. */
struct left_out {
	const char *name, *why;
};

/* The AS of the nodes with these labels. */
struct as_rule {
	struct labels node_selector;
	uint32_t as_number;
};

struct cluster {
	const char *name;
	uint32_t as_number; /* of nodes that no rule fits */
	struct as_rule *as_rules;
	size_t n_as_rules;
	struct prefixes pod_cidrs;
	struct prefixes service_cidrs;   /* no Service's address outside these is announced */
	unsigned service_addresses;      /* 1 << enum service_kind: which ones are */
	enum topology topology;
	const char *topology_key; /* a label: nodes speak to the reflectors with their value; or NULL */
	struct node *nodes;
	size_t n_nodes;
	struct kubernetes kubernetes; /* in place of `nodes` in the file */
	struct left_out *left_out;    /* of them */
	size_t n_left_out;
	struct peer *peers;
	size_t n_peers;
	struct session session;
	struct cni cni;
	struct {
		const char *socket;
		unsigned confirm_timeout; /* seconds */
	} bird;
	struct {
		const char *socket;
		const char *metrics; /* "127.0.0.1:9472", "" when off */
		unsigned max_withdraw_percent; /* 0..100: what may go without being asked for */
		unsigned withdraw_delay;       /* seconds until more goes all the same */
	} agent;
	struct services services; /* none, unless a peer of this node exports them */
	const char **warnings; /* accepted, but not as the writer may think */
	size_t n_warnings;
};

/* The first rule that fits the node; NULL when none does. */
const struct as_rule *cluster_as_rule(const struct cluster *cluster, const struct node *node);

/* Gives the nodes without an AS number of their own that of their rule, else the
 * cluster's.  Before cluster_check(), once all nodes and their labels are known. */
void cluster_resolve_as_numbers(struct cluster *cluster);

/* As roost.yaml and node.json write it. */
const char *cni_mode_name(enum cni_mode mode);

const char *drain_state_name(enum drain_state state); /* "leaving" */

/* A problem of meaning: which part of the source ("nodes[2].podCIDRs[0]") and
 * what is wrong with it. */
struct problem {
	char path[160];
	char text[512];
};

/* Checks what no single value shows: unique names and addresses, podCIDRs inside
 * the cluster's and apart from each other, a family's podCIDR only on a node with
 * an address of that family.  Sorts nodes and peers by name when all is well;
 * else returns -1 with one problem in *problem: of two values that clash it is the
 * later one in the source that is named. */
int cluster_check(struct cluster *cluster, struct problem *problem);

/* Of these what is wrong with nodes[index] alone, whatever the others are. */
int cluster_check_node(const struct cluster *cluster, size_t index, struct problem *problem);

/* NULL when there is none of that name.  For a checked (sorted) cluster. */
const struct node *cluster_find_node(const struct cluster *cluster, const char *name);

/* Do these two have BGP sessions with each other?  For a checked cluster. */
bool cluster_are_neighbours(
	const struct cluster *cluster, const struct node *a, const struct node *b);

/* Does a password stand in the file itself? */
bool cluster_has_inline_passwords(const struct cluster *cluster);

/* Does the cluster have podCIDRs of this family? */
bool cluster_has_family(const struct cluster *cluster, enum family family);

/* Does the node announce Services to any router?  Else it need not know them. */
bool cluster_exports_services(const struct cluster *cluster, const struct node *node);

/* As Cilium and Antrea call them: "LoadBalancerIP", "ExternalIP", "ClusterIP". */
const char *service_kind_name(enum service_kind kind);

/* The value of a label, NULL when there is none. */
const char *labels_get(const struct labels *labels, const char *key);

/* Does the node carry every label of the selector? */
bool labels_match(const struct labels *selector, const struct labels *labels);

/* Does this node speak to this router? */
bool peer_is_for(const struct peer *peer, const struct node *node);

/* A key for TCP-MD5 that BIRD takes as a string, which knows no escapes: printable
 * ASCII without '"', PASSWORD_MAX bytes of it at most (as the kernel's), not empty. */
#define PASSWORD_MAX 80
bool password_is_valid(const char *text);

/* Can a host be reached at it?  Not loopback, multicast, link-local, unspecified. */
bool addr_is_host(const struct addr *addr);

/* What is wrong with it as a podCIDR; NULL: nothing. */
const char *pod_cidr_fault(const struct prefix *prefix);

/* A name that is safe in a BIRD symbol, in a file name and on a terminal:
 * letters, digits, '-', '_' and '.', beginning with a letter or digit, 253 at most
 * (RFC 1123 subdomain, as Kubernetes node names). */
bool name_is_valid(const char *name);

#endif
