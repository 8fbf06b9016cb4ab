/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a lease store, and any sequence of taking, giving back and damage.
 * No address is ever held twice, and nothing is read outside of the bytes. */
#include <sys/socket.h>

#include "base/mem.h"
#include "cni/code.h"
#include "cni/lease.h"
#include "fuzz.h"

#define BOOT "64ddd676-7216-4fb1-a20b-c02c39eb3a06"
#define SLOTS 64

static struct range ranges[2];
static const struct range_set sets[2] = {{&ranges[0], 1}, {&ranges[1], 1}};

static void make_ranges(void)
{
	struct err err;

	memset(ranges, 0, sizeof(ranges));
	MUST(prefix_parse("10.0.0.0/28", &ranges[0].subnet));
	MUST(prefix_parse("fd00::/64", &ranges[1].subnet));
	MUST(range_complete(&ranges[0], &err) == 0 && range_complete(&ranges[1], &err) == 0);
}

static bool is_held(const struct lease_store *store, const struct addr *addr)
{
	struct lease lease;

	for (size_t i = 0; i < lease_slot_count(store); i++)
		for (size_t k = 0; lease_decode(store, i, &lease) && lease.state == LEASE_HELD &&
				   k < lease.addr_count;
			k++)
			if (addr_cmp(&lease.addrs[k], addr) == 0)
				return true;
	return false;
}

/* Chooses, and checks that the choice is free, also of the other network, and of its range. */
static int choose(const struct lease_store *store, const struct lease_store *other,
	const char *name, struct lease *lease, size_t *slot)
{
	const struct lease_want want = {.container = name,
		.ifname = "eth0",
		.sets = sets,
		.set_count = 2,
		.others = other,
		.other_count = other != NULL};
	struct err err;

	if (lease_choose(store, &want, lease, slot, &err) < 0) {
		MUST(err.code == CNI_IO || err.code == CNI_EXISTS || err.code == CNI_TRY_LATER);
		return -1;
	}
	MUST(lease->addr_count == 2 && *slot <= lease_slot_count(store));
	for (size_t i = 0; i < 2; i++) {
		MUST(!is_held(store, &lease->addrs[i]));
		MUST(!other || !is_held(other, &lease->addrs[i]));
		MUST(range_index(&ranges[i], &lease->addrs[i]) < range_size(&ranges[i]));
		MUST(addr_cmp(&lease->addrs[i], &ranges[i].gateway) != 0);
	}
	return 0;
}

static void any_bytes(const uint8_t *data, size_t size)
{
	static _Alignas(8) unsigned char own[LEASE_SLOT_SIZE];
	const struct lease_store empty = {own, sizeof(own)};
	unsigned char *bytes = xmalloc(size); /* aligned, and no byte more */
	struct lease_store store = {bytes, size};
	enum lease_header header;
	struct lease lease;
	struct err err;
	size_t slot;

	if (size)
		memcpy(bytes, data, size);
	if (lease_header_read(&store, BOOT, &header, &err) == 0 && header == LEASE_HEADER_THIS_BOOT)
		choose(&store, NULL, "c", &lease, &slot);
	lease_header_write(BOOT, 0, own);
	choose(&empty, &store, "c", &lease, &slot);
	for (size_t i = 0; i < lease_slot_count(&store); i++)
		if (lease_decode(&store, i, &lease))
			MUST(strlen(lease.container) <= LEASE_CONTAINER_MAX &&
				lease.addr_count <= 4);
	free(bytes);
}

struct world {
	_Alignas(8) unsigned char bytes[LEASE_SLOT_SIZE * (SLOTS + 1)];
	struct lease_store store;
	uint64_t now;
};

static void put(struct world *world, const struct lease *lease, size_t slot)
{
	if (slot >= SLOTS)
		return;
	lease_encode(lease, world->bytes + lease_slot_offset(slot));
	if (slot == lease_slot_count(&world->store))
		world->store.size += LEASE_SLOT_SIZE;
}

static void turn(struct world *world, uint8_t op, uint8_t arg)
{
	struct lease lease;
	char name[8];
	bool damaged;
	size_t slot;

	snprintf(name, sizeof(name), "c%u", arg % 32u);
	switch (op % 8) {
	case 0: /* damage */
		if (world->store.size > LEASE_SLOT_SIZE)
			world->bytes[LEASE_SLOT_SIZE +
				     arg * 37u % (world->store.size - LEASE_SLOT_SIZE)] ^= op;
		break;
	case 1:
	case 2:
	case 3:
		slot = lease_find(&world->store, name, "eth0", &damaged);
		if (slot == LEASE_NONE)
			break;
		MUST(lease_decode(&world->store, slot, &lease));
		lease.state = LEASE_FREED;
		lease.time_ns = world->now++;
		put(world, &lease, slot);
		break;
	default:
		if (choose(&world->store, NULL, name, &lease, &slot) == 0)
			put(world, &lease, slot);
		break;
	}
}

static void any_turns(const uint8_t *data, size_t size)
{
	static struct world world;

	lease_header_write(BOOT, 0, world.bytes);
	world.store = (struct lease_store){world.bytes, LEASE_SLOT_SIZE};
	for (size_t i = 0; i + 1 < size; i += 2)
		turn(&world, data[i], data[i + 1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	make_ranges();
	if (size && data[0] & 1)
		any_turns(data + 1, size - 1);
	else if (size)
		any_bytes(data + 1, size - 1);
	return 0;
}
