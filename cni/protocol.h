/* SPDX-License-Identifier: GPL-2.0-or-later */
/* protocol -- what comes in and goes out, as the CNI specification says.
 *
 * In: the CNI_ variables and the bytes of stdin become one struct cni_request.
 * Out: a struct cni_result or an error becomes JSON in the shape of the version
 * that the configuration asked for.  Nothing here opens, reads or writes anything.
 *
 * DEL and GC look at no more of a configuration than they need (version, name,
 * dataDir): a configuration that was changed to something we would refuse must
 * not keep a container from going (CNI.md D4 calls for it, and kubelet retries a
 * failed DEL for ever). */
#ifndef ROOST_CNI_PROTOCOL_H
#define ROOST_CNI_PROTOCOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/prefix.h"
#include "code.h"
#include "dns.h"
#include "fields.h"
#include "range.h"

#define CNI_STDIN_MAX ((size_t)8 << 20)
#define CNI_NETWORK_MAX 79 /* bytes of a network's name: it has to fit a link's alias */
#define CNI_NODE_FILE "/run/roost/node.json"
#define CNI_TYPE "roost" /* what `type` and `ipam.type` call us */
#define CNI_BRIDGE "roost0"
#define CNI_MTU_MIN 1280 /* IPv6 needs it (RFC 8200, 5) */

/* In order, so that `spec >= SPEC_0_3_0` reads as it should. */
enum cni_spec {
	SPEC_0_1_0,
	SPEC_0_2_0,
	SPEC_0_3_0,
	SPEC_0_3_1,
	SPEC_0_4_0,
	SPEC_1_0_0,
	SPEC_1_1_0,
};

enum cni_command { CNI_ADD, CNI_DEL, CNI_CHECK, CNI_GC, CNI_STATUS, CNI_TELL_VERSION };

/* The environment, NULL where a variable is not set. */
struct cni_env {
	const char *command;
	const char *container;
	const char *netns;
	const char *ifname;
	const char *args;
};

#define CNI_UNSET (-1)

struct cni_route {
	struct prefix dst;
	struct addr gateway; /* family 0: none given */
	uint32_t mtu;	     /* 0: not given, like advmss */
	uint32_t advmss;
	int64_t priority; /* CNI_UNSET, like table and scope */
	int64_t table;
	int64_t scope;
	bool taken; /* the kernel had one to the same place before, and keeps it */
};

struct cni_interface {
	const char *name;
	const char *mac;
	const char *sandbox; /* "" on the host */
	uint32_t mtu;
};

struct cni_ip {
	struct prefix address;
	struct addr gateway;
	int interface; /* index, or CNI_UNSET */
};

struct cni_result {
	struct cni_interface *interfaces;
	size_t interface_count;
	struct cni_ip *ips;
	size_t ip_count;
	struct cni_route *routes;
	size_t route_count;
	struct dns dns;
};

/* An attachment that GC has to leave alone. */
struct cni_attachment {
	const char *container;
	const char *ifname;
};

struct cni_request {
	enum cni_command command;
	enum cni_spec spec;
	const char *container;
	const char *netns; /* "" when not given */
	const char *ifname;
	const char *network;

	bool ipam_only;	      /* the configuration is another plugin's and we are its ipam.type */
	const char *delegate; /* the foreign plugin in ipam.type; NULL: the store is ours */

	const char *data_dir;
	const char *import_dir; /* host-local's folder of this network; "": none */
	const char *node_file;
	const char *bridge; /* NULL: node.json's, else CNI_BRIDGE; the same for mode */
	const char *mode;
	bool routed;  /* what mode says, once the request is complete */
	uint32_t mtu; /* 0: node.json's, else the uplink's */
	bool hairpin;
	struct range_set *sets; /* none: from node.json's podCIDRs */
	size_t set_count;
	struct cni_route *routes; /* none: a default route per family */
	size_t route_count;
	bool has_routes;
	struct addr *requested;
	size_t requested_count;
	uint8_t mac[6];
	bool has_mac;
	struct dns dns;		 /* the configuration's, else what IPAM says */
	struct dns dns_wish;	 /* runtimeConfig's, which goes before */
	const char *resolv_conf; /* where IPAM takes it from; NULL: nowhere */

	bool has_previous;
	struct cni_result previous;
	struct cni_attachment *attachments;
	size_t attachment_count;

	json_t *document; /* stdin, held until cni_request_free() */
};

/* What a request says, without system calls.  Codes: CNI_ENVIRONMENT, CNI_VERSION,
 * CNI_DECODE (no JSON, or a key of the wrong type), CNI_CONFIG (a wrong value),
 * CNI_UNSUPPORTED.  Arena and environment must outlive the request. */
int cni_command_decode(const struct cni_env *env, struct cni_request *request, struct err *err);
int cni_request_decode(const struct cni_env *env, const char *bytes, size_t len, struct arena *mem,
	struct cni_request *request, struct err *err);
void cni_request_free(struct cni_request *request);

/* True when node.json has something to say that the configuration left open;
 * cni_request_needs_node() when nothing can be done without it. */
bool cni_request_wants_node(const struct cni_request *request);
bool cni_request_needs_node(const struct cni_request *request);

/* Fills in from node.json what the configuration left open. */
int cni_request_add_node(struct cni_request *request, const char *bytes, size_t len,
	struct arena *mem, struct err *err);

/* The last word before a plan is made: defaults, and what only now can be judged. */
int cni_request_complete(struct cni_request *request, struct err *err);

/* The two parts of a result that other things have as well (answer.c). */
int cni_routes_decode(const struct fields *object, struct arena *mem, struct cni_route **routes,
	size_t *count, struct err *err);
int cni_previous_decode(
	const struct fields *object, struct arena *mem, struct cni_result *result, struct err *err);

/* What an IPAM plugin printed: a result of any version, with one address at least
 * and no interfaces.  *document holds it, for the caller to free, or is NULL. */
int cni_answer_decode(const char *bytes, size_t len, struct arena *mem, json_t **document,
	struct cni_result *result, struct err *err);

/* What it printed when it failed becomes *err; -1. */
int cni_failure_decode(const char *bytes, size_t len, struct err *err);

/* One JSON document and a newline. */
int cni_result_print(
	const struct cni_result *result, enum cni_spec spec, struct buf *out, struct err *err);
void cni_error_print(const struct err *error, enum cni_spec spec, struct buf *out);

/* A message may quote what came in, cut anywhere: this makes it one line of ASCII. */
void cni_error_clean(struct err *error);
void cni_versions_print(struct buf *out);

const char *cni_spec_name(enum cni_spec spec);

#define MAC_TEXT_MAX 18

/* "0a:58:0a:f4:01:02"; '-' is taken for ':' as well. */
bool mac_parse(const char *text, uint8_t mac[6]);
const char *mac_format(const uint8_t mac[6], char room[MAC_TEXT_MAX]);

#endif
