/* SPDX-License-Identifier: GPL-2.0-or-later */
/* prefix -- addresses and prefixes of both families as plain values.
 *
 * Text forms are strict: dotted quad or RFC 4291 text, RFC 5952 on the way out;
 * no leading zeros, no zone, no IPv4-mapped IPv6. */
#ifndef ROOST_PREFIX_H
#define ROOST_PREFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct addr {
	uint8_t family;    /* AF_INET or AF_INET6; 0: none */
	uint8_t bytes[16]; /* network order; an IPv4 address uses the first four */
};

struct prefix {
	struct addr addr;
	uint8_t len; /* bits */
};

#define ADDR_TEXT_MAX 46
#define PREFIX_TEXT_MAX 50

/* Parsers return false on anything that is not exactly an address or a prefix
 * ("10.0.0.0/8"); host bits are kept, see prefix_has_host_bits(). */
bool addr_parse(const char *text, struct addr *addr);
bool prefix_parse(const char *text, struct prefix *prefix);

/* Writes into the caller's room and returns it. */
const char *addr_format(const struct addr *addr, char room[ADDR_TEXT_MAX]);
const char *prefix_format(const struct prefix *prefix, char room[PREFIX_TEXT_MAX]);

/* Order: IPv4 before IPv6, then by bytes, then shorter prefix first. */
int addr_cmp(const struct addr *a, const struct addr *b);
int prefix_cmp(const struct prefix *a, const struct prefix *b);

/* Bytes and bits of a family's address: 4 and 32, or 16 and 128. */
size_t addr_size(uint8_t family);
uint8_t addr_bits(uint8_t family);

bool prefix_has_host_bits(const struct prefix *prefix);
bool prefix_contains(const struct prefix *outer, const struct prefix *inner);
bool prefix_contains_addr(const struct prefix *outer, const struct addr *addr);
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);

/* The address `n` behind this one; false when that leaves the family's space. */
bool addr_add(const struct addr *addr, uint64_t n, struct addr *sum);

/* First and last address of a prefix (host bits all 0, all 1). */
struct addr prefix_first(const struct prefix *prefix);
struct addr prefix_last(const struct prefix *prefix);

#endif
