/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dns -- what a result tells of name servers: pure values.
 *
 * It is the runtime's to use; nothing here writes a resolv.conf.  It may come from
 * three places: the configuration's `dns`, which stands in for what IPAM says as soon
 * as it has any key, were it an empty list (ptp's tests want that); IPAM, that is
 * `ipam.resolvConf` or another IPAM plugin; and runtimeConfig.dns, whose lists go
 * before both, each for itself (CONVENTIONS.md). */
#ifndef ROOST_CNI_DNS_H
#define ROOST_CNI_DNS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "fields.h"

struct dns_list {
	const char **items;
	size_t count;
};

struct dns {
	bool given; /* something was said, if only an empty list */
	struct dns_list servers, search, options;
	const char *domain; /* NULL: none */
};

/* Key `key` of an object, in the words of a result: nameservers, domain, search,
 * options.  dns_wish_decode(): in those of runtimeConfig, servers, searches, options. */
int dns_decode(const struct fields *object, const char *key, struct arena *mem, struct dns *dns,
	struct err *err);
int dns_wish_decode(const struct fields *object, const char *key, struct arena *mem,
	struct dns *dns, struct err *err);

/* The lines of a resolv.conf(5), the way host-local reads them. */
void dns_resolv_conf_decode(const char *text, struct arena *mem, struct dns *dns);

/* `dns` with what `wish` has in its stead. */
struct dns dns_overlay(const struct dns *dns, const struct dns *wish);

/* NULL when there is nothing to tell: a result has no empty dns. */
json_t *dns_json(const struct dns *dns);

#endif
