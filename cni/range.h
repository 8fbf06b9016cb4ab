/* SPDX-License-Identifier: GPL-2.0-or-later */
/* range -- where pod addresses may come from: pure values.
 *
 * A set is one family's worth of addresses: a pod gets one address out of every
 * set.  A set of several ranges is a node whose podCIDR was extended.  Names and
 * meanings are host-local's (subnet, rangeStart, rangeEnd, gateway). */
#ifndef ROOST_CNI_RANGE_H
#define ROOST_CNI_RANGE_H

#include <endian.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/prefix.h"

/* Of a range with more addresses only the first 65 536 are ever given out: what
 * is taken is tracked with a bit each, and no node has that many pods. */
#define RANGE_ADDRS_MAX 65536u

struct range {
	struct prefix subnet;
	struct addr first, last; /* both may be given out */
	struct addr gateway;	 /* never given out */
};

struct range_set {
	struct range *ranges;
	size_t count;
};

/* An address as a number, which is what makes its place in a range cheap: the store
 * asks for it for every address of every slot. */
static inline unsigned __int128 addr_bytes_number(uint8_t family, const uint8_t *bytes)
{
	uint32_t short_part;
	uint64_t parts[2];

	if (family == AF_INET) {
		memcpy(&short_part, bytes, sizeof(short_part));
		return be32toh(short_part);
	}
	memcpy(parts, bytes, sizeof(parts));
	return (unsigned __int128)be64toh(parts[0]) << 64 | be64toh(parts[1]);
}

static inline unsigned __int128 addr_number(const struct addr *addr)
{
	return addr_bytes_number(addr->family, addr->bytes);
}

/* Fills in what is not set (family 0) and checks the whole: first address
 * subnet + 1, last one the last that is no broadcast address, gateway subnet + 1.
 * A subnet with room for less than a gateway and a pod is an error, and so is a
 * range with nothing but the gateway in it.  err->code is CNI_CONFIG. */
int range_complete(struct range *range, struct err *err);

/* How many addresses the range has, the gateway counted when it lies in it, at
 * most RANGE_ADDRS_MAX. */
size_t range_size(const struct range *range);

/* The address's place in the range, or range_size() when it is not in it. */
size_t range_index(const struct range *range, const struct addr *addr);

#endif
