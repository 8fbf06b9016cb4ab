/* SPDX-License-Identifier: GPL-2.0-or-later */
/* prefix: addresses and prefixes of both families as plain values. */
#include <string.h>
#include <sys/socket.h>

#include "base/prefix.h"
#include "unit.h"

/* For rows that are right by construction. */
static struct addr A(const char *text)
{
	struct addr addr;

	ck_assert_msg(addr_parse(text, &addr), "%s is no address", text);
	return addr;
}

static struct prefix P(const char *text)
{
	struct prefix prefix;

	ck_assert_msg(prefix_parse(text, &prefix), "%s is no prefix", text);
	return prefix;
}

START_TEST(address_is_written_as_rfc_5952_says)
{
	static const char *const rows[][2] = {
		{"0.0.0.0", "0.0.0.0"},
		{"192.168.1.11", "192.168.1.11"},
		{"255.255.255.255", "255.255.255.255"},
		{"::", "::"},
		{"FD00:1:0:0:0:0:0:11", "fd00:1::11"},
		{"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
		{"2001:0db8::0001", "2001:db8::1"},
		{"fe80::1", "fe80::1"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct addr addr = A(rows[i][0]);
		char room[ADDR_TEXT_MAX];

		ck_assert_str_eq(addr_format(&addr, room), rows[i][1]);
		ck_assert_int_eq(addr.family, strchr(rows[i][0], ':') ? AF_INET6 : AF_INET);
	}
}
END_TEST

START_TEST(what_is_not_exactly_an_address_is_refused)
{
	static const char *const rows[] = {
		"", " ", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-4", "1.2.3.4 ", " 1.2.3.4",
		"01.2.3.4", "1.2.3.04", "0x1.2.3.4", "1.2.3.4/32", "1.2.3.4\n", "localhost", ":", ":::",
		"1::2::3", "fe80::1%eth0", "[::1]", "::ffff:1.2.3.4", "::ffff:102:304", "12345::",
		"1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7", "g::",
		"0000000000000000000000000000000000000000000000000000::1",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct addr addr = {.family = 99};

		ck_assert_msg(!addr_parse(rows[i], &addr), "took \"%s\"", rows[i]);
		ck_assert_int_eq(addr.family, 99);
	}
}
END_TEST

START_TEST(prefix_keeps_its_text)
{
	static const char *const rows[] = {
		"0.0.0.0/0", "10.244.1.0/24", "10.244.1.1/32", "10.244.1.77/24", "::/0",
		"fd00:10:244::/48", "fd00::1/128",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct prefix prefix = P(rows[i]);
		char room[PREFIX_TEXT_MAX];

		ck_assert_str_eq(prefix_format(&prefix, room), rows[i]);
	}
}
END_TEST

START_TEST(longest_text_fits_the_room)
{
	struct prefix prefix = P("1111:2222:3333:4444:5555:6666:7777:8888/128");
	char room[PREFIX_TEXT_MAX];

	ck_assert_str_eq(prefix_format(&prefix, room),
		"1111:2222:3333:4444:5555:6666:7777:8888/128");
}
END_TEST

START_TEST(what_is_not_exactly_a_prefix_is_refused)
{
	static const char *const rows[] = {
		"", "/", "10.0.0.0", "10.0.0.0/", "/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08",
		"10.0.0.0/00", "10.0.0.0/+8", "10.0.0.0/8 ", "10.0.0.0/ 8", "10.0.0.0/8/8", "10.0.0/8",
		"10.0.0.0/4294967304", "10.0.0.0/18446744073709551624", "::/129", "::/1280",
		"::ffff:0:0/96", "10.0.0.0/8\n", "10.0.0.0/255.0.0.0",
		"00000000000000000000000000000000000000000000000000000000000000000000/8",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct prefix prefix = {.len = 99};

		ck_assert_msg(!prefix_parse(rows[i], &prefix), "took \"%s\"", rows[i]);
		ck_assert_int_eq(prefix.len, 99);
	}
}
END_TEST

START_TEST(no_address_is_written_as_a_dash)
{
	struct addr none = {0};
	char room[ADDR_TEXT_MAX];

	ck_assert_str_eq(addr_format(&none, room), "-");
}
END_TEST

START_TEST(order_is_ipv4_first_then_bytes_then_shorter_first)
{
	static const char *const rows[] = {
		"0.0.0.0/0", "9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/24", "10.0.1.0/24", "200.0.0.0/8",
		"::/0", "fd00::/8", "fd00::/48", "fd00:1::/48",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t j = 0; j < ARRAY_LEN(rows); j++) {
			struct prefix a = P(rows[i]), b = P(rows[j]);
			int order = prefix_cmp(&a, &b);

			ck_assert_msg((order > 0) - (order < 0) == (i > j) - (i < j), "%s, %s",
				rows[i], rows[j]);
		}
}
END_TEST

START_TEST(first_and_last_address_and_host_bits)
{
	static const struct {
		const char *prefix, *first, *last;
		bool host_bits;
	} rows[] = {
		{"10.244.1.0/24", "10.244.1.0", "10.244.1.255", false},
		{"10.244.1.77/24", "10.244.1.0", "10.244.1.255", true},
		{"10.244.1.77/32", "10.244.1.77", "10.244.1.77", false},
		{"10.244.1.77/31", "10.244.1.76", "10.244.1.77", true},
		{"10.244.128.0/17", "10.244.128.0", "10.244.255.255", false},
		{"0.0.0.1/0", "0.0.0.0", "255.255.255.255", true},
		{"fd00:10:244::/47", "fd00:10:244::", "fd00:10:245:ffff:ffff:ffff:ffff:ffff", false},
		{"fd00::1/127", "fd00::", "fd00::1", true},
		{"::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct prefix prefix = P(rows[i].prefix);
		struct addr first = prefix_first(&prefix), last = prefix_last(&prefix);
		char room[ADDR_TEXT_MAX];

		ck_assert_str_eq(addr_format(&first, room), rows[i].first);
		ck_assert_str_eq(addr_format(&last, room), rows[i].last);
		ck_assert_msg(prefix_has_host_bits(&prefix) == rows[i].host_bits, "%s",
			rows[i].prefix);
	}
}
END_TEST

START_TEST(contains_and_overlaps)
{
	static const struct {
		const char *a, *b;
		bool a_contains_b, b_contains_a;
	} rows[] = {
		{"10.244.0.0/16", "10.244.1.0/24", true, false},
		{"10.244.1.0/24", "10.244.1.0/24", true, true},
		{"10.244.1.0/24", "10.244.2.0/24", false, false},
		{"10.244.0.0/23", "10.244.1.0/24", true, false},
		{"10.244.2.0/23", "10.244.1.0/24", false, false},
		{"0.0.0.0/0", "10.0.0.0/8", true, false},
		{"0.0.0.0/0", "::/0", false, false},
		{"::/0", "fd00::/8", true, false},
		{"fd00:10:244::/48", "fd00:10:244:ffff::/64", true, false},
		{"fd00:10:244::/48", "fd00:10:245::/48", false, false},
		{"10.244.1.7/32", "10.244.1.7/32", true, true},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct prefix a = P(rows[i].a), b = P(rows[i].b);
		bool overlap = rows[i].a_contains_b || rows[i].b_contains_a;

		ck_assert_msg(prefix_contains(&a, &b) == rows[i].a_contains_b, "%s", rows[i].b);
		ck_assert_msg(prefix_contains(&b, &a) == rows[i].b_contains_a, "%s", rows[i].b);
		ck_assert_msg(prefix_overlaps(&a, &b) == overlap, "%s", rows[i].b);
		ck_assert_msg(prefix_overlaps(&b, &a) == overlap, "%s", rows[i].b);
	}
}
END_TEST

START_TEST(contains_the_addresses_of_its_own_family_only)
{
	struct prefix pods = P("10.244.1.0/24"), all6 = P("::/0");
	struct addr in = A("10.244.1.255"), out = A("10.244.2.0"), six = A("fd00::1");

	ck_assert(prefix_contains_addr(&pods, &in));
	ck_assert(!prefix_contains_addr(&pods, &out));
	ck_assert(!prefix_contains_addr(&pods, &six));
	ck_assert(!prefix_contains_addr(&all6, &in));
	ck_assert(prefix_contains_addr(&all6, &six));
}
END_TEST

START_TEST(adding_carries_and_stops_at_the_end_of_the_family)
{
	static const struct {
		const char *from;
		uint64_t n;
		const char *sum; /* NULL: leaves the family's space */
	} rows[] = {
		{"10.244.1.0", 0, "10.244.1.0"},
		{"10.244.1.255", 1, "10.244.2.0"},
		{"0.255.255.255", 1, "1.0.0.0"},
		{"0.0.0.0", 0xffffffff, "255.255.255.255"},
		{"0.0.0.1", 0xffffffff, NULL},
		{"255.255.255.255", 1, NULL},
		{"10.0.0.0", UINT64_MAX, NULL},
		{"fd00::ffff:ffff:ffff:ffff", 1, "fd00:0:0:1::"},
		{"fd00::1", UINT64_MAX, "fd00:0:0:1::"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct addr from = A(rows[i].from), sum = {.family = 99};
		char room[ADDR_TEXT_MAX];

		ck_assert(addr_add(&from, rows[i].n, &sum) == (rows[i].sum != NULL));
		if (rows[i].sum)
			ck_assert_str_eq(addr_format(&sum, room), rows[i].sum);
		else
			ck_assert_int_eq(sum.family, 99);
	}
}
END_TEST

UNIT(prefix, address_is_written_as_rfc_5952_says, what_is_not_exactly_an_address_is_refused,
	prefix_keeps_its_text, longest_text_fits_the_room, what_is_not_exactly_a_prefix_is_refused,
	no_address_is_written_as_a_dash, order_is_ipv4_first_then_bytes_then_shorter_first,
	first_and_last_address_and_host_bits, contains_and_overlaps,
	contains_the_addresses_of_its_own_family_only,
	adding_carries_and_stops_at_the_end_of_the_family)
