/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lease: which container holds which addresses, as bytes; and range below it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "cni/code.h"
#include "cni/lease.h"
#include "unit.h"

#define BOOT "64ddd676-7216-4fb1-a20b-c02c39eb3a06"
#define OTHER "00000000-7216-4fb1-a20b-c02c39eb3a06"

/* ---------------------------------------------------------------- a store in memory */

#define ROOM 2048

static union {
	uint64_t align;
	unsigned char bytes[LEASE_SLOT_SIZE * (ROOM + 1)];
} memory;
static struct lease_store store;
static uint64_t clock_ns;

static void start(void)
{
	lease_header_write(BOOT, 0, memory.bytes);
	store = (struct lease_store){memory.bytes, LEASE_SLOT_SIZE};
	clock_ns = 1;
}

static void write_slot(const struct lease *lease, size_t slot)
{
	ck_assert_uint_lt(slot, ROOM);
	lease_encode(lease, memory.bytes + lease_slot_offset(slot));
	if (slot == lease_slot_count(&store))
		store.size += LEASE_SLOT_SIZE;
}

static struct range R(const char *subnet, const char *first, const char *last) {
	struct range range = {0};
	struct err err = {0};

	ck_assert(prefix_parse(subnet, &range.subnet));
	ck_assert(!first || addr_parse(first, &range.first));
	ck_assert(!last || addr_parse(last, &range.last));
	ck_assert_msg(range_complete(&range, &err) == 0, "%s", err.msg);
	return range;
}

static struct addr
A(const char *text) {
	struct addr addr;

	ck_assert_msg(addr_parse(text, &addr), "%s", text);
	return addr;
}

/* The sets that the tests allocate from. */
static struct range ranges[4];
static struct range_set sets[4];
static size_t set_count;
static struct addr requested[4];
static size_t requested_count;

/* And another network's store. */
static union {
	uint64_t align;
	unsigned char bytes[LEASE_SLOT_SIZE * 8];
} other_memory;
static struct lease_store others[1];
static size_t other_count;

static void use(const char *subnet, const char *first, const char *last)
{
	ranges[set_count] = R(subnet, first, last);
	sets[set_count] = (struct range_set){&ranges[set_count], 1};
	set_count++;
}

static int take(const char *container, struct lease *lease, struct err *err)
{
	const struct lease_want want = {.container = container,
		.ifname = "eth0",
		.sets = sets,
		.set_count = set_count,
		.requested = requested,
		.requested_count = requested_count,
		.others = others,
		.other_count = other_count};
	size_t slot;

	if (lease_choose(&store, &want, lease, &slot, err) < 0)
		return -1;
	write_slot(lease, slot);
	return 0;
}

/* Takes what has to be there and says it as text: "10.0.0.2 fd00::2". */
static const char *taken(const char *container)
{
	static char text[256];
	struct lease lease;
	struct err err = {0};

	ck_assert_msg(take(container, &lease, &err) == 0, "%s", err.msg);
	*text = '\0';
	for (size_t i = 0; i < lease.addr_count; i++) {
		char addr[ADDR_TEXT_MAX];

		strcat(text, i ? " " : "");
		strcat(text, addr_format(&lease.addrs[i], addr));
	}
	return text;
}

static void give_back(const char *container)
{
	bool damaged;
	struct lease lease;
	size_t slot = lease_find(&store, container, "eth0", &damaged);

	ck_assert_uint_ne(slot, LEASE_NONE);
	ck_assert(lease_decode(&store, slot, &lease));
	lease.state = LEASE_FREED;
	lease.time_ns = clock_ns++;
	write_slot(&lease, slot);
}

static const char *refusal(const char *container, int code)
{
	static struct err err;
	struct lease lease;

	ck_assert_int_eq(take(container, &lease, &err), -1);
	ck_assert_int_eq(err.code, code);
	return err.msg;
}

/* ---------------------------------------------------------------- bytes */

START_TEST(a_lease_comes_back_as_it_was_written)
{
	struct lease lease = {.state = LEASE_HELD,
			     .ifname = "eth0",
			     .time_ns = 1700000000,
			     .addr_count = 2},
		     back;

	start();
	memset(lease.container, 'c', LEASE_CONTAINER_MAX);
	lease.addrs[0] = A("10.0.0.2");
	lease.addrs[1] = A("fd00::2");
	write_slot(&lease, 0);
	ck_assert(lease_decode(&store, 0, &back));
	ck_assert_mem_eq(&lease, &back, sizeof(lease));
}
END_TEST

START_TEST(any_flipped_bit_makes_a_lease_unreadable)
{
	struct lease lease;

	start();
	use("10.0.0.0/24", NULL, NULL);
	taken("c1");
	for (size_t bit = 0; bit < LEASE_SLOT_SIZE * 8; bit++) {
		unsigned char *byte = memory.bytes + lease_slot_offset(0) + bit / 8;

		*byte ^= (unsigned char)(1u << bit % 8);
		ck_assert_msg(!lease_decode(&store, 0, &lease), "bit %zu", bit);
		*byte ^= (unsigned char)(1u << bit % 8);
	}
	ck_assert(lease_decode(&store, 0, &lease));
}
END_TEST

START_TEST(a_damaged_lease_stops_giving_but_not_finding)
{
	bool damaged;

	start();
	use("10.0.0.0/24", NULL, NULL);
	taken("c1");
	taken("c2");
	memory.bytes[lease_slot_offset(0) + 40] ^= 1;
	ck_assert_ptr_nonnull(strstr(refusal("c3", CNI_IO), "lease 0 is damaged"));
	ck_assert_uint_eq(lease_find(&store, "c2", "eth0", &damaged), 1);
	ck_assert_uint_eq(lease_find(&store, "c1", "eth0", &damaged), LEASE_NONE);
	ck_assert(damaged);
}
END_TEST

START_TEST(the_header_says_whose_boot_it_is)
{
	enum lease_header header;
	struct err err;

	start();
	ck_assert_int_eq(lease_header_read(&store, BOOT, &header, &err), 0);
	ck_assert_int_eq(header, LEASE_HEADER_THIS_BOOT);
	ck_assert_int_eq(lease_header_read(&store, OTHER, &header, &err), 0);
	ck_assert_int_eq(header, LEASE_HEADER_OTHER_BOOT);
	store.size = 0;
	ck_assert_int_eq(lease_header_read(&store, BOOT, &header, &err), 0);
	ck_assert_int_eq(header, LEASE_HEADER_FRESH);
}
END_TEST

/* As a newer roost would write it: the checksum is its last word for ever. */
static void set_version(unsigned char version)
{
	uint64_t sum;

	memory.bytes[8] = version;
	sum = hash_add(HASH_START, memory.bytes, LEASE_SLOT_SIZE - 8);
	memcpy(memory.bytes + LEASE_SLOT_SIZE - 8, &sum, sizeof(sum));
}

START_TEST(a_store_of_another_version_is_refused_unless_its_boot_is_over)
{
	enum lease_header header;
	struct err err;

	start();
	set_version(2);
	ck_assert_int_eq(lease_header_read(&store, BOOT, &header, &err), -1);
	ck_assert_int_eq(err.code, CNI_IO);
	ck_assert_str_eq(err.msg, "lease store of version 2, this roost knows version 1");
	ck_assert_int_eq(lease_header_read(&store, OTHER, &header, &err), 0);
}
END_TEST

START_TEST(any_flipped_bit_of_the_header_is_damage_and_no_reboot)
{
	enum lease_header header;
	struct err err;

	start();
	for (size_t bit = 0; bit < LEASE_SLOT_SIZE * 8; bit++) {
		memory.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
		ck_assert_int_eq(lease_header_read(&store, BOOT, &header, &err), 0);
		ck_assert_int_eq(header, LEASE_HEADER_DAMAGED);
		memory.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	ck_assert_int_eq(lease_header_read(&store, BOOT, &header, &err), 0);
	ck_assert_int_eq(header, LEASE_HEADER_THIS_BOOT);
}
END_TEST

START_TEST(a_store_cut_off_anywhere_is_damaged_or_whole)
{
	enum lease_header header;
	struct err err;

	start();
	use("10.0.0.0/24", NULL, NULL);
	taken("c1");
	lease_header_write(BOOT, 1, memory.bytes);
	for (size_t size = 1; size <= 2 * LEASE_SLOT_SIZE; size++) {
		store.size = size;
		ck_assert_int_eq(lease_header_read(&store, BOOT, &header, &err), 0);
		ck_assert_int_eq(header,
			size < 2 * LEASE_SLOT_SIZE ? LEASE_HEADER_DAMAGED : LEASE_HEADER_THIS_BOOT);
	}
}
END_TEST

/* ---------------------------------------------------------------- choosing */

START_TEST(addresses_never_used_are_given_first_and_lowest_first)
{
	start();
	use("10.0.0.0/24", NULL, NULL);
	ck_assert_str_eq(taken("c1"), "10.0.0.2");
	ck_assert_str_eq(taken("c2"), "10.0.0.3");
	give_back("c1");
	ck_assert_str_eq(taken("c3"), "10.0.0.4");
}
END_TEST

START_TEST(then_the_one_freed_first_is_used_again_first)
{
	start();
	use("10.0.0.0/29", NULL, NULL); /* .2 to .6 */
	for (int i = 2; i <= 6; i++)
		taken((const char[]){'c', (char)('0' + i), 0});
	give_back("c4");
	give_back("c2");
	give_back("c6");
	ck_assert_str_eq(taken("d1"), "10.0.0.4");
	ck_assert_str_eq(taken("d2"), "10.0.0.2");
	give_back("d1");
	ck_assert_str_eq(taken("d3"), "10.0.0.6");
	ck_assert_str_eq(taken("d4"), "10.0.0.4");
}
END_TEST

/* There is no time that an address has to rest: with all others in use it is given at
 * once, else only after all that were freed before it, however long ago. */
START_TEST(what_was_just_freed_is_given_when_nothing_else_is_left_and_no_sooner)
{
	start();
	use("10.0.0.0/29", NULL, NULL); /* .2 to .6 */
	for (int i = 2; i <= 6; i++)
		taken((const char[]){'c', (char)('0' + i), 0});
	clock_ns = UINT64_C(3600) * 1000000000;
	give_back("c3");
	clock_ns += UINT64_C(3600) * 1000000000;
	give_back("c5");
	ck_assert_str_eq(taken("d1"), "10.0.0.3");
	give_back("d1");
	ck_assert_str_eq(taken("d2"), "10.0.0.5");
	ck_assert_str_eq(taken("d3"), "10.0.0.3"); /* freed a nanosecond ago */
	refusal("d4", CNI_TRY_LATER);
}
END_TEST

static void other_holds(
	const char *container, const char *addr, enum lease_state state, uint64_t time_ns)
{
	struct lease lease = {
		.state = state, .ifname = "eth0", .time_ns = time_ns, .addr_count = 1};

	snprintf(lease.container, sizeof(lease.container), "%s", container);
	lease.addrs[0] = A(addr);
	if (other_count == 0) {
		lease_header_write(BOOT, 0, other_memory.bytes);
		others[0] = (struct lease_store){other_memory.bytes, LEASE_SLOT_SIZE};
		other_count = 1;
	}
	lease_encode(&lease, other_memory.bytes + others[0].size);
	others[0].size += LEASE_SLOT_SIZE;
}

START_TEST(what_another_network_holds_is_not_given_and_what_it_freed_rests)
{
	start();
	use("10.0.0.0/29", NULL, NULL); /* .2 to .6 */
	other_holds("c1", "10.0.0.2", LEASE_HELD, 1);
	other_holds("x", "10.0.0.4", LEASE_FREED, 1);
	other_holds("y", "10.0.0.3", LEASE_FREED, 5);
	other_holds("z", "192.0.2.1", LEASE_HELD, 5);
	ck_assert_str_eq(taken("c1"), "10.0.0.5"); /* c1 is another one's, too */
	ck_assert_str_eq(taken("c2"), "10.0.0.6");
	clock_ns = 3;
	give_back("c1");
	ck_assert_str_eq(taken("c3"), "10.0.0.4");
	ck_assert_str_eq(taken("c4"), "10.0.0.5");
	ck_assert_str_eq(taken("c5"), "10.0.0.3");
	refusal("c6", CNI_TRY_LATER);
	requested[0] = A("10.0.0.2");
	requested_count = 1;
	ck_assert_str_eq(refusal("c6", CNI_TRY_LATER), "requested address 10.0.0.2 is in use");
	ck_assert_uint_eq(lease_slot_count(&store), 4);
}
END_TEST

START_TEST(network_broadcast_and_gateway_are_never_given)
{
	start();
	use("10.0.0.0/29", NULL, NULL);
	for (int i = 2; i <= 6; i++) {
		char name[16], addr[32];

		snprintf(name, sizeof(name), "c%d", i);
		snprintf(addr, sizeof(addr), "10.0.0.%d", i);
		ck_assert_str_eq(taken(name), addr);
	}
	ck_assert_str_eq(refusal("c7", CNI_TRY_LATER), "10.0.0.0/29: all 5 addresses are in use");
}
END_TEST

START_TEST(a_full_24_says_253)
{
	start();
	use("10.244.1.0/24", NULL, NULL);
	for (int i = 0; i < 253; i++) {
		char name[16];

		snprintf(name, sizeof(name), "c%d", i);
		taken(name);
	}
	ck_assert_str_eq(
		refusal("one-more", CNI_TRY_LATER), "10.244.1.0/24: all 253 addresses are in use");
}
END_TEST

START_TEST(a_pair_keeps_its_number_in_both_families)
{
	start();
	use("10.0.0.0/29", NULL, NULL);
	use("fd00::/64", NULL, NULL);
	ck_assert_str_eq(taken("c1"), "10.0.0.2 fd00::2");
	for (int i = 3; i <= 6; i++)
		taken((const char[]){'c', (char)('0' + i), 0});
	give_back("c4");
	give_back("c1");
	ck_assert_str_eq(taken("d1"), "10.0.0.4 fd00::4");
	ck_assert_str_eq(taken("d2"), "10.0.0.2 fd00::2");
	ck_assert_uint_eq(lease_slot_count(&store), 5);
}
END_TEST

START_TEST(a_pair_is_taken_whole_or_not_at_all)
{
	start();
	use("10.0.0.0/24", NULL, NULL);
	use("fd00::/126", NULL, NULL); /* ::2 and ::3 */
	taken("c1");
	taken("c2");
	ck_assert_str_eq(refusal("c3", CNI_TRY_LATER), "fd00::/126: all 2 addresses are in use");
	ck_assert_uint_eq(lease_slot_count(&store), 2);
}
END_TEST

START_TEST(a_second_range_extends_the_first)
{
	struct range both[2];

	start();
	both[0] = R("10.0.0.0/30", NULL, NULL);
	both[1] = R("10.0.9.0/30", NULL, NULL);
	sets[0] = (struct range_set){both, 2};
	set_count = 1;
	ck_assert_str_eq(taken("c1"), "10.0.0.2");
	ck_assert_str_eq(taken("c2"), "10.0.9.2");
	ck_assert_str_eq(
		refusal("c3", CNI_TRY_LATER), "10.0.0.0/30 and 1 more: all 2 addresses are in use");
}
END_TEST

START_TEST(ranges_of_one_subnet_never_give_each_others_gateway)
{
	struct range both[2];

	start();
	both[0] = R("10.0.0.0/24", "10.0.0.10", "10.0.0.11");
	both[1] = R("10.0.0.0/24", "10.0.0.20", "10.0.0.22");
	ck_assert(addr_parse("10.0.0.21", &both[0].gateway));
	sets[0] = (struct range_set){both, 2};
	set_count = 1;
	ck_assert_str_eq(taken("c1"), "10.0.0.10");
	ck_assert_str_eq(taken("c2"), "10.0.0.11");
	ck_assert_str_eq(taken("c3"), "10.0.0.20");
	ck_assert_str_eq(taken("c4"), "10.0.0.22");
	ck_assert_str_eq(
		refusal("c5", CNI_TRY_LATER), "10.0.0.0/24 and 1 more: all 4 addresses are in use");
}
END_TEST

START_TEST(rangeStart_and_rangeEnd_bound_what_is_given)
{
	start();
	use("10.0.0.0/24", "10.0.0.10", "10.0.0.11");
	ck_assert_str_eq(taken("c1"), "10.0.0.10");
	ck_assert_str_eq(taken("c2"), "10.0.0.11");
	refusal("c3", CNI_TRY_LATER);
}
END_TEST

START_TEST(one_attachment_holds_one_lease)
{
	struct lease_want want = {
		.container = "c1", .ifname = "net1", .sets = sets, .set_count = 1};
	struct lease lease;
	struct err err;
	size_t slot;

	start();
	use("10.0.0.0/24", NULL, NULL);
	taken("c1");
	ck_assert_str_eq(refusal("c1", CNI_EXISTS), "container c1 already holds 10.0.0.2 for eth0");
	ck_assert_int_eq(lease_choose(&store, &want, &lease, &slot, &err), 0);
	give_back("c1");
	ck_assert_str_eq(taken("c1"), "10.0.0.3");
}
END_TEST

START_TEST(a_requested_address_is_given_when_it_is_free)
{
	start();
	use("10.0.0.0/24", NULL, NULL);
	use("fd00::/64", NULL, NULL);
	requested[0] = A("10.0.0.7");
	requested_count = 1;
	ck_assert_str_eq(taken("c1"), "10.0.0.7 fd00::7");
	ck_assert_str_eq(refusal("c2", CNI_TRY_LATER), "requested address 10.0.0.7 is in use");
	requested[0] = A("10.0.0.1");
	ck_assert_str_eq(refusal("c2", CNI_TRY_LATER), "requested address 10.0.0.1 is in use");
	requested[0] = A("10.0.1.7");
	ck_assert_str_eq(refusal("c2", CNI_CONFIG), "requested address 10.0.1.7 is in no range");
	requested[0] = A("10.0.0.8");
	requested[1] = A("10.0.0.9");
	requested_count = 2;
	refusal("c2", CNI_CONFIG);
}
END_TEST

START_TEST(only_the_first_65536_addresses_of_a_range_are_used)
{
	start();
	use("fd00::/64", NULL, NULL);
	ck_assert_uint_eq(range_size(&ranges[0]), 65536);
	requested_count = 1;
	requested[0] = A("fd00::ffff");
	taken("c1");
	requested[0] = A("fd00::1:1");
	refusal("c2", CNI_CONFIG);
}
END_TEST

/* Random taking and giving back, checked against a plain array of who has what. */
START_TEST(no_address_is_ever_held_twice_and_the_store_stays_bounded)
{
	enum { PODS = 40 };
	bool up[PODS] = {0};
	unsigned random = 1;

	start();
	use("10.0.0.0/27", NULL, NULL); /* 29 addresses */
	use("fd00::/64", NULL, NULL);
	for (int turn = 0; turn < 20000; turn++) {
		struct lease lease, other;
		char name[16];
		struct err err;
		unsigned i;

		random = random * 1103515245 + 12345;
		i = random >> 16 & 0x7fff;
		i %= PODS;
		snprintf(name, sizeof(name), "p%u", i);
		if (up[i]) {
			give_back(name);
			up[i] = false;
			continue;
		}
		if (take(name, &lease, &err) < 0) {
			ck_assert_int_eq(err.code, CNI_TRY_LATER);
			continue;
		}
		up[i] = true;
		for (size_t k = 0; k < lease_slot_count(&store); k++) {
			ck_assert(lease_decode(&store, k, &other));
			if (other.state != LEASE_HELD || strcmp(other.container, name) == 0)
				continue;
			ck_assert(addr_cmp(&other.addrs[0], &lease.addrs[0]) != 0);
			ck_assert(addr_cmp(&other.addrs[1], &lease.addrs[1]) != 0);
		}
	}
	ck_assert_uint_le(lease_slot_count(&store), 29);
}
END_TEST

START_TEST(slots_of_a_podCIDR_that_is_gone_are_used_again)
{
	start();
	use("10.0.0.0/24", NULL, NULL);
	taken("c1");
	taken("c2");
	give_back("c1");
	set_count = 0;
	use("10.9.0.0/24", NULL, NULL);
	ck_assert_str_eq(taken("c3"), "10.9.0.2");
	ck_assert_str_eq(taken("c4"), "10.9.0.3");
	ck_assert_uint_eq(lease_slot_count(&store), 3);
}
END_TEST

/* ---------------------------------------------------------------- ranges */

START_TEST(a_range_that_makes_no_sense_says_why)
{
	static const struct {
		const char *subnet, *first, *last, *gateway, *says;
	} rows[] = {
		{"10.0.0.0/31", NULL, NULL, NULL,
			"subnet 10.0.0.0/31 is too small for a gateway and a pod: a /30 or larger "
			"is needed"},
		{"10.0.0.1/32", NULL, NULL, NULL,
			"subnet 10.0.0.1/32 is too small for a gateway and a pod: a /30 or larger "
			"is needed"},
		{"fd00::/127", NULL, NULL, NULL,
			"subnet fd00::/127 is too small for a gateway and a pod: a /126 or larger "
			"is needed"},
		{"fd00::/128", NULL, NULL, NULL,
			"subnet fd00::/128 is too small for a gateway and a pod: a /126 or larger "
			"is needed"},
		{"10.0.0.7/24", NULL, NULL, NULL,
			"subnet 10.0.0.7/24 has bits set behind its prefix length"},
		{"10.0.0.0/24", "10.0.0.0", NULL, NULL,
			"rangeStart 10.0.0.0 is no host address of 10.0.0.0/24"},
		{"10.0.0.0/24", NULL, "10.0.0.255", NULL,
			"rangeEnd 10.0.0.255 is no host address of 10.0.0.0/24"},
		{"10.0.0.0/24", NULL, NULL, "10.0.1.1",
			"gateway 10.0.1.1 is no host address of 10.0.0.0/24"},
		{"10.0.0.0/24", NULL, NULL, "fd00::1",
			"gateway fd00::1 is no host address of 10.0.0.0/24"},
		{"10.0.0.0/24", "10.0.0.9", "10.0.0.8", NULL,
			"10.0.0.0/24: rangeEnd comes before rangeStart"},
		{"10.0.0.0/24", "10.0.0.1", "10.0.0.1", NULL,
			"10.0.0.0/24: the gateway is the only address"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct range range = {0};
		struct err err = {0};

		ck_assert(prefix_parse(rows[i].subnet, &range.subnet));
		ck_assert(!rows[i].first || addr_parse(rows[i].first, &range.first));
		ck_assert(!rows[i].last || addr_parse(rows[i].last, &range.last));
		ck_assert(!rows[i].gateway || addr_parse(rows[i].gateway, &range.gateway));
		ck_assert_int_eq(range_complete(&range, &err), -1);
		ck_assert_str_eq(err.msg, rows[i].says);
		ck_assert_int_eq(err.code, CNI_CONFIG);
	}
}
END_TEST

START_TEST(the_smallest_ranges_hold_what_they_can)
{
	start();
	use("10.0.0.0/30", NULL, NULL);
	ck_assert_str_eq(taken("c1"), "10.0.0.2");
	refusal("c2", CNI_TRY_LATER);
	start();
	set_count = 0;
	use("fd00::/126", NULL, NULL); /* no broadcast address in IPv6 */
	ck_assert_str_eq(taken("c1"), "fd00::2");
	ck_assert_str_eq(taken("c2"), "fd00::3");
	refusal("c3", CNI_TRY_LATER);
}
END_TEST

START_TEST(the_last_address_there_is_can_be_in_a_range)
{
	struct range range = R("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124", NULL, NULL);
	struct addr last = A("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");

	ck_assert_uint_eq(range_size(&range), 15);
	ck_assert_uint_eq(range_index(&range, &last), 14);
}
END_TEST

/* ---------------------------------------------------------------- reading */

static char dir[64];

static void write_file(const char *network, const char *boot_id)
{
	char path[128];
	struct err err;

	snprintf(path, sizeof(path), "%s/%s", dir, network);
	ck_assert_int_eq(file_mkdirs(path, 0755, &err), 0);
	snprintf(path, sizeof(path), "%s/%s/leases", dir, network);
	lease_header_write(boot_id, 0, memory.bytes);
	ck_assert_int_eq(file_create(path, memory.bytes, store.size, 0644, &err), 0);
}

static void read_boot_id(char boot_id[LEASE_BOOT_ID_SIZE])
{
	struct buf text = {0};
	struct err err;

	ck_assert_int_eq(file_read(LEASE_BOOT_ID_FILE, 64, &text, &err), 0);
	snprintf(boot_id, LEASE_BOOT_ID_SIZE, "%.36s", text.text);
	buf_free(&text);
}

START_TEST(listing_shows_what_is_held_in_every_network_of_this_boot)
{
	struct arena mem = {0};
	struct lease *leases;
	char boot_id[LEASE_BOOT_ID_SIZE];
	size_t count;
	struct err err = {0};

	snprintf(dir, sizeof(dir), "/tmp/roost-check-lease-%d", (int)getpid());
	read_boot_id(boot_id);
	ck_assert_int_eq(lease_list(dir, &mem, &leases, &count, &err), 0);
	ck_assert_uint_eq(count, 0);
	start();
	use("10.0.0.0/24", NULL, NULL);
	taken("c1");
	taken("c2");
	give_back("c1");
	write_file("pods", boot_id);
	write_file("other", boot_id);
	write_file("yesterday", OTHER);
	ck_assert_msg(lease_list(dir, &mem, &leases, &count, &err) == 0, "%s", err.msg);
	ck_assert_uint_eq(count, 2);
	ck_assert_str_eq(leases[0].network, "other");
	ck_assert_str_eq(leases[1].network, "pods");
	ck_assert_str_eq(leases[1].container, "c2");
	arena_free(&mem);
	ck_assert_int_eq(file_remove_tree(dir, &err), 0);
}
END_TEST

START_TEST(reading_a_damaged_store_is_an_error_that_names_it)
{
	struct arena mem = {0};
	struct lease *leases;
	char boot_id[LEASE_BOOT_ID_SIZE], path[128];
	size_t count;
	struct err err = {0};

	snprintf(dir, sizeof(dir), "/tmp/roost-check-lease-%d", (int)getpid());
	snprintf(path, sizeof(path), "%s/pods/leases", dir);
	read_boot_id(boot_id);
	start();
	use("10.0.0.0/24", NULL, NULL);
	taken("c1");
	memory.bytes[lease_slot_offset(0) + 20] ^= 4;
	write_file("pods", boot_id);
	ck_assert_int_eq(lease_read(path, &mem, &leases, &count, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "/pods/leases: lease 0 is damaged"));
	arena_free(&mem);
	ck_assert_int_eq(file_remove_tree(dir, &err), 0);
}
END_TEST

UNIT(lease, a_lease_comes_back_as_it_was_written, any_flipped_bit_makes_a_lease_unreadable,
	a_damaged_lease_stops_giving_but_not_finding, the_header_says_whose_boot_it_is,
	a_store_of_another_version_is_refused_unless_its_boot_is_over,
	any_flipped_bit_of_the_header_is_damage_and_no_reboot,
	a_store_cut_off_anywhere_is_damaged_or_whole,
	addresses_never_used_are_given_first_and_lowest_first,
	then_the_one_freed_first_is_used_again_first,
	what_was_just_freed_is_given_when_nothing_else_is_left_and_no_sooner,
	what_another_network_holds_is_not_given_and_what_it_freed_rests,
	network_broadcast_and_gateway_are_never_given, a_full_24_says_253,
	a_pair_keeps_its_number_in_both_families, a_pair_is_taken_whole_or_not_at_all,
	a_second_range_extends_the_first, ranges_of_one_subnet_never_give_each_others_gateway,
	rangeStart_and_rangeEnd_bound_what_is_given, one_attachment_holds_one_lease,
	a_requested_address_is_given_when_it_is_free,
	only_the_first_65536_addresses_of_a_range_are_used,
	no_address_is_ever_held_twice_and_the_store_stays_bounded,
	slots_of_a_podCIDR_that_is_gone_are_used_again, a_range_that_makes_no_sense_says_why,
	the_smallest_ranges_hold_what_they_can, the_last_address_there_is_can_be_in_a_range,
	listing_shows_what_is_held_in_every_network_of_this_boot,
	reading_a_damaged_store_is_an_error_that_names_it)
