/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prefix.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

size_t addr_size(uint8_t family)
{
	return family == AF_INET ? 4 : 16;
}

uint8_t addr_bits(uint8_t family)
{
	return family == AF_INET ? 32 : 128;
}

bool addr_parse(const char *text, struct addr *addr)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct addr parsed = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};

	if (inet_pton(parsed.family, text, parsed.bytes) != 1)
		return false;
	if (parsed.family == AF_INET6 && memcmp(parsed.bytes, mapped, sizeof(mapped)) == 0)
		return false;
	*addr = parsed;
	return true;
}

bool prefix_parse(const char *text, struct prefix *prefix)
{
	const char *slash = strchr(text, '/');
	char addr_text[ADDR_TEXT_MAX];
	struct prefix parsed = {0};
	unsigned len = 0;

	if (!slash || (size_t)(slash - text) >= sizeof(addr_text))
		return false;
	memcpy(addr_text, text, (size_t)(slash - text));
	addr_text[slash - text] = '\0';
	if (!addr_parse(addr_text, &parsed.addr))
		return false;
	if (slash[1] == '\0' || (slash[1] == '0' && slash[2] != '\0'))
		return false;
	for (const char *p = slash + 1; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		len = len * 10 + (unsigned)(*p - '0');
		if (len > addr_bits(parsed.addr.family))
			return false;
	}
	parsed.len = (uint8_t)len;
	*prefix = parsed;
	return true;
}

const char *addr_format(const struct addr *addr, char room[ADDR_TEXT_MAX])
{
	if (!inet_ntop(addr->family, addr->bytes, room, ADDR_TEXT_MAX))
		snprintf(room, ADDR_TEXT_MAX, "-");
	return room;
}

const char *prefix_format(const struct prefix *prefix, char room[PREFIX_TEXT_MAX])
{
	char addr[ADDR_TEXT_MAX];

	snprintf(room, PREFIX_TEXT_MAX, "%s/%u", addr_format(&prefix->addr, addr), prefix->len);
	return room;
}

int addr_cmp(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family)
		return a->family == AF_INET || b->family == 0 ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

int prefix_cmp(const struct prefix *a, const struct prefix *b)
{
	int order = addr_cmp(&a->addr, &b->addr);

	return order ? order : (int)a->len - (int)b->len;
}

/* Clears (or sets) every bit behind the first `len`. */
static struct addr masked(const struct addr *addr, uint8_t len, bool ones)
{
	struct addr out = *addr;
	size_t size = addr_size(addr->family);

	for (size_t i = 0; i < size; i++) {
		unsigned keep = len <= 8 * i ? 0 : len - 8 * (unsigned)i;
		uint8_t mask = (uint8_t)(keep >= 8 ? 0xff : 0xff00 >> keep);

		out.bytes[i] = (uint8_t)(ones ? out.bytes[i] | (uint8_t)~mask : out.bytes[i] & mask);
	}
	return out;
}

struct addr prefix_first(const struct prefix *prefix)
{
	return masked(&prefix->addr, prefix->len, false);
}

struct addr prefix_last(const struct prefix *prefix)
{
	return masked(&prefix->addr, prefix->len, true);
}

bool prefix_has_host_bits(const struct prefix *prefix)
{
	struct addr first = prefix_first(prefix);

	return addr_cmp(&first, &prefix->addr) != 0;
}

bool prefix_contains_addr(const struct prefix *outer, const struct addr *addr)
{
	struct addr first = prefix_first(outer);
	struct addr start;

	if (outer->addr.family != addr->family)
		return false;
	start = masked(addr, outer->len, false);
	return addr_cmp(&first, &start) == 0;
}

bool prefix_contains(const struct prefix *outer, const struct prefix *inner)
{
	return outer->len <= inner->len && prefix_contains_addr(outer, &inner->addr);
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
	return prefix_contains(a, b) || prefix_contains(b, a);
}

bool addr_add(const struct addr *addr, uint64_t n, struct addr *sum)
{
	struct addr out = *addr;
	uint64_t carry = n;

	for (size_t i = addr_size(addr->family); i-- > 0;) {
		uint64_t digit = out.bytes[i] + (carry & 0xff);

		out.bytes[i] = (uint8_t)digit;
		carry = (carry >> 8) + (digit >> 8);
	}
	if (carry)
		return false;
	*sum = out;
	return true;
}
