/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "range.h"

#include "code.h"

/* First and last address that a host may have.  The first one is the network's
 * name (IPv4) or the routers' anycast address (RFC 4291, 2.6.1); only IPv4 has a
 * broadcast address at the end. */
static void host_bounds(const struct prefix *subnet, struct addr *first, struct addr *last)
{
	struct addr start = prefix_first(subnet);

	addr_add(&start, 1, first);
	*last = prefix_last(subnet);
	if (subnet->addr.family == AF_INET)
		last->bytes[3]--;
}

static int check_inside(const char *what, const struct addr *addr, const struct addr *first,
	const struct addr *last, const struct prefix *subnet, struct err *err)
{
	char text[ADDR_TEXT_MAX], subnet_text[PREFIX_TEXT_MAX];

	if (addr->family == first->family && addr_cmp(addr, first) >= 0 &&
		addr_cmp(addr, last) <= 0)
		return 0;
	return err_set(err, CNI_CONFIG, "%s %s is no host address of %s", what,
		addr_format(addr, text), prefix_format(subnet, subnet_text));
}

int range_complete(struct range *range, struct err *err)
{
	uint8_t longest = (uint8_t)(addr_bits(range->subnet.addr.family) - 2);
	struct addr first, last;
	char text[PREFIX_TEXT_MAX];

	prefix_format(&range->subnet, text);
	if (prefix_has_host_bits(&range->subnet))
		return err_set(
			err, CNI_CONFIG, "subnet %s has bits set behind its prefix length", text);
	if (range->subnet.len > longest)
		return err_set(err, CNI_CONFIG,
			"subnet %s is too small for a gateway and a pod: a /%u or larger is needed",
			text, longest);
	host_bounds(&range->subnet, &first, &last);
	if (range->first.family == 0)
		range->first = first;
	if (range->last.family == 0)
		range->last = last;
	if (range->gateway.family == 0)
		range->gateway = first;
	if (check_inside("rangeStart", &range->first, &first, &last, &range->subnet, err) < 0 ||
		check_inside("rangeEnd", &range->last, &first, &last, &range->subnet, err) < 0 ||
		check_inside("gateway", &range->gateway, &first, &last, &range->subnet, err) < 0)
		return -1;
	if (addr_cmp(&range->first, &range->last) > 0)
		return err_set(err, CNI_CONFIG, "%s: rangeEnd comes before rangeStart", text);
	if (addr_cmp(&range->first, &range->last) == 0 &&
		addr_cmp(&range->first, &range->gateway) == 0)
		return err_set(err, CNI_CONFIG, "%s: the gateway is the only address", text);
	return 0;
}

size_t range_size(const struct range *range)
{
	unsigned __int128 size = addr_number(&range->last) - addr_number(&range->first) + 1;

	return size > RANGE_ADDRS_MAX ? RANGE_ADDRS_MAX : (size_t)size;
}

size_t range_index(const struct range *range, const struct addr *addr)
{
	size_t size = range_size(range);
	unsigned __int128 place;

	if (addr->family != range->first.family)
		return size;
	/* An address before the first one wraps to a huge number. */
	place = addr_number(addr) - addr_number(&range->first);
	return place < size ? (size_t)place : size;
}
