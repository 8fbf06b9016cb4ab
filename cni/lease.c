/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lease.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "code.h"

#define MAGIC UINT64_C(0x73657361656c7472) /* "rtleases" */
#define STORE_VERSION 1u

/* Magic, boot id and checksum stay where they are in every version to come: a bit
 * that flipped in the boot id must not look like a reboot. */
struct header {
	uint64_t magic;
	uint32_t version;
	uint32_t slot_size;
	char boot_id[LEASE_BOOT_ID_SIZE];
	char zero[LEASE_SLOT_SIZE - 28 - LEASE_BOOT_ID_SIZE];
	uint32_t slot_count; /* at least so many, or the file was cut off */
	uint64_t checksum;   /* of everything before it */
};

struct slot_addr {
	uint8_t family; /* AF_INET, AF_INET6 */
	uint8_t bytes[16];
};

struct slot {
	uint64_t checksum; /* of everything behind it */
	uint8_t state;	   /* enum lease_state; 0 only in a slot that was never written */
	uint8_t addr_count;
	char ifname[16];
	char container[LEASE_CONTAINER_MAX + 1];
	struct slot_addr addrs[LEASE_ADDRS_MAX];
	uint8_t foreign;
	uint8_t zero;
	uint64_t time_ns;
};

_Static_assert(sizeof(struct header) == LEASE_SLOT_SIZE, "the header takes a slot's place");
_Static_assert(sizeof(struct slot) == LEASE_SLOT_SIZE, "slots are back to back");

/* Four FNV-1a sums over 64-bit words side by side.  Multiplying by an odd number
 * loses nothing, so a slot that differs in one word never has the same sum; four
 * sums keep the processor's multiplier busy, which at 16 000 slots is the
 * difference between 0.3 and 1.5 ms. */
static uint64_t checksum(const struct slot *slot)
{
	typedef uint64_t __attribute__((may_alias)) word;
	const word *words = (const word *)slot;
	const uint64_t prime = UINT64_C(0x100000001b3);
	/* Four variables and no array, which a compiler would keep in memory. */
	uint64_t a = 1 ^ words[0], b = 2, c = 3, d = 4;

	/* The first word is the sum itself; it is taken out again. */
	for (size_t i = 0; i < LEASE_SLOT_SIZE / 8; i += 4) {
		a = (a ^ words[i]) * prime;
		b = (b ^ words[i + 1]) * prime;
		c = (c ^ words[i + 2]) * prime;
		d = (d ^ words[i + 3]) * prime;
	}
	a = (a ^ b) * prime;
	a = (a ^ c) * prime;
	return (a ^ d) * prime;
}

static const struct slot *slot_at(const struct lease_store *store, size_t i)
{
	return (const struct slot *)(const void *)(store->bytes + lease_slot_offset(i));
}

static bool addr_is_sound(const struct slot_addr *addr)
{
	return addr->family == AF_INET || addr->family == AF_INET6;
}

/* A sum that fits says that these are the bytes we wrote.  The rest is for bytes
 * that someone else wrote, so that nothing is read behind its end. */
static bool slot_is_sound(const struct slot *slot)
{
	if (slot->checksum != checksum(slot))
		return false;
	if (slot->state != LEASE_HELD && slot->state != LEASE_FREED)
		return false;
	if (slot->ifname[sizeof(slot->ifname) - 1] || slot->container[LEASE_CONTAINER_MAX])
		return false;
	if (slot->addr_count > LEASE_ADDRS_MAX)
		return false;
	for (size_t i = 0; i < slot->addr_count; i++)
		if (!addr_is_sound(&slot->addrs[i]))
			return false;
	return true;
}

static void slot_addr_get(const struct slot *slot, size_t i, struct addr *addr)
{
	addr->family = slot->addrs[i].family;
	memcpy(addr->bytes, slot->addrs[i].bytes, sizeof(addr->bytes));
}

static unsigned __int128 slot_addr_number(const struct slot_addr *addr)
{
	return addr_bytes_number(addr->family, addr->bytes);
}

size_t lease_slot_offset(size_t slot)
{
	return LEASE_SLOT_SIZE + slot * LEASE_SLOT_SIZE;
}

size_t lease_slot_count(const struct lease_store *store)
{
	return store->size < LEASE_SLOT_SIZE ? 0 : store->size / LEASE_SLOT_SIZE - 1;
}

static uint64_t header_checksum(const struct header *header)
{
	return hash_add(HASH_START, header, offsetof(struct header, checksum));
}

int lease_header_read(const struct lease_store *store, const char *boot_id,
	enum lease_header *which, struct err *err)
{
	const struct header *header = (const struct header *)(const void *)store->bytes;

	if (store->size == 0) {
		*which = LEASE_HEADER_FRESH;
		return 0;
	}
	*which = LEASE_HEADER_DAMAGED;
	if (store->size < sizeof(*header) || header->magic != MAGIC ||
		header->checksum != header_checksum(header))
		return 0;
	/* Before the version: nothing of another boot is alive, whoever wrote it. */
	if (strncmp(header->boot_id, boot_id, sizeof(header->boot_id)) != 0) {
		*which = LEASE_HEADER_OTHER_BOOT;
		return 0;
	}
	if (header->version != STORE_VERSION || header->slot_size != LEASE_SLOT_SIZE)
		return err_set(err, CNI_IO,
			"lease store of version %u, this roost knows version %u", header->version,
			STORE_VERSION);
	/* One pwrite per slot and no shrinking: only damage ends in the middle of one, or
	 * before what was there once. */
	if (store->size % LEASE_SLOT_SIZE == 0 && lease_slot_count(store) >= header->slot_count)
		*which = LEASE_HEADER_THIS_BOOT;
	return 0;
}

void lease_header_write(
	const char *boot_id, size_t slot_count, unsigned char bytes[LEASE_SLOT_SIZE])
{
	struct header header = {
		.magic = MAGIC,
		.version = STORE_VERSION,
		.slot_size = LEASE_SLOT_SIZE,
		.slot_count = (uint32_t)slot_count,
	};

	snprintf(header.boot_id, sizeof(header.boot_id), "%s", boot_id);
	header.checksum = header_checksum(&header);
	memcpy(bytes, &header, sizeof(header));
}

bool lease_decode(const struct lease_store *store, size_t i, struct lease *lease)
{
	/* A copy first: the bytes may change under a reader without the lock. */
	const struct slot slot = *slot_at(store, i);

	if (!slot_is_sound(&slot))
		return false;
	memset(lease, 0, sizeof(*lease));
	lease->state = (enum lease_state)slot.state;
	memcpy(lease->container, slot.container, sizeof(lease->container));
	memcpy(lease->ifname, slot.ifname, sizeof(lease->ifname));
	lease->foreign = slot.foreign != 0;
	lease->time_ns = slot.time_ns;
	lease->addr_count = slot.addr_count;
	for (size_t k = 0; k < slot.addr_count; k++)
		slot_addr_get(&slot, k, &lease->addrs[k]);
	return true;
}

void lease_encode(const struct lease *lease, unsigned char bytes[LEASE_SLOT_SIZE])
{
	struct slot slot = {
		.state = (uint8_t)lease->state,
		.addr_count = (uint8_t)lease->addr_count,
		.foreign = lease->foreign,
		.time_ns = lease->time_ns,
	};

	snprintf(slot.container, sizeof(slot.container), "%s", lease->container);
	snprintf(slot.ifname, sizeof(slot.ifname), "%s", lease->ifname);
	for (size_t i = 0; i < lease->addr_count; i++) {
		slot.addrs[i].family = lease->addrs[i].family;
		memcpy(slot.addrs[i].bytes, lease->addrs[i].bytes, sizeof(slot.addrs[i].bytes));
	}
	slot.checksum = checksum(&slot);
	memcpy(bytes, &slot, sizeof(slot));
}

static bool slot_is_of(const struct slot *slot, const char *container, const char *ifname)
{
	return slot->state == LEASE_HELD && strcmp(slot->container, container) == 0 &&
	       strcmp(slot->ifname, ifname) == 0;
}

size_t lease_find(
	const struct lease_store *store, const char *container, const char *ifname, bool *damaged)
{
	size_t count = lease_slot_count(store);

	*damaged = false;
	for (size_t i = 0; i < count; i++) {
		const struct slot *slot = slot_at(store, i);

		if (!slot_is_sound(slot))
			*damaged = true;
		else if (slot_is_of(slot, container, ifname))
			return i;
	}
	return LEASE_NONE;
}

/* ---------------------------------------------------------------- choosing */

/* What is known of one range's addresses, a bit each. */
struct usage {
	const struct range *range;
	uint8_t family;
	unsigned __int128 first; /* its first address as a number */
	size_t size;
	size_t gateways; /* in it: never given out, marked as held */
	uint64_t *held;
	uint64_t *seen; /* held now, or freed and remembered */
};

struct usage_set {
	struct usage *usage; /* one per range */
	size_t count;
};

struct chooser {
	const struct lease_store *store;
	const struct lease_want *want;
	struct arena *mem;
	struct usage_set sets[LEASE_ADDRS_MAX];
	size_t spare;  /* a freed slot with no address of today's ranges, or LEASE_NONE */
	size_t oldest; /* the slot freed first, or LEASE_NONE */
	uint64_t oldest_ns;
};

/* Where an address is in a set. */
struct place {
	struct usage *usage; /* NULL: nowhere */
	size_t index;
	size_t slot; /* that remembers it, if that is known; else LEASE_NONE */
};

static const struct place nowhere = {.slot = LEASE_NONE};

static bool bit_get(const uint64_t *bits, size_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static void bit_set(uint64_t *bits, size_t i)
{
	bits[i / 64] |= UINT64_C(1) << (i % 64);
}

/* The first bit that is not set, or `count`. */
static size_t bit_first_zero(const uint64_t *bits, size_t count)
{
	size_t i = 0;

	while (i < count && bits[i / 64] == UINT64_MAX)
		i += 64;
	while (i < count && bit_get(bits, i))
		i++;
	return i < count ? i : count;
}

static void place_hold(struct place place)
{
	bit_set(place.usage->held, place.index);
	bit_set(place.usage->seen, place.index);
}

static bool place_is_held(struct place place)
{
	return bit_get(place.usage->held, place.index);
}

static struct addr place_addr(struct place place)
{
	struct addr addr = {0};

	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a place that was found has one */
	addr_add(&place.usage->range->first, place.index, &addr);
	return addr;
}

static bool usage_has(
	const struct usage *usage, uint8_t family, unsigned __int128 number, size_t *index)
{
	/* An address before the first one wraps to a huge number. */
	number -= usage->first;
	*index = (size_t)number;
	return usage->family == family && number < usage->size;
}

static struct place set_find(const struct usage_set *set, uint8_t family, unsigned __int128 number)
{
	size_t index;

	for (size_t i = 0; i < set->count; i++)
		if (usage_has(&set->usage[i], family, number, &index))
			return (struct place){&set->usage[i], index, LEASE_NONE};
	return nowhere;
}

static void usage_init(struct usage *usage, const struct range *range, struct arena *mem)
{
	usage->range = range;
	usage->family = range->first.family;
	usage->first = addr_number(&range->first);
	usage->size = range_size(range);
	usage->held = arena_alloc(mem, (usage->size / 64 + 1) * sizeof(uint64_t));
	usage->seen = arena_alloc(mem, (usage->size / 64 + 1) * sizeof(uint64_t));
}

static struct place chooser_find(
	const struct chooser *chooser, uint8_t family, unsigned __int128 number)
{
	struct place place = nowhere;

	for (size_t i = 0; !place.usage && i < chooser->want->set_count; i++)
		place = set_find(&chooser->sets[i], family, number);
	return place;
}

/* Of every range: two ranges may share a subnet and not its gateway
 * (containernetworking/plugins#363). */
static void hold_gateways(struct chooser *chooser)
{
	for (size_t i = 0; i < chooser->want->set_count; i++)
		for (size_t k = 0; k < chooser->sets[i].count; k++) {
			const struct addr *gateway = &chooser->sets[i].usage[k].range->gateway;
			struct place place =
				chooser_find(chooser, gateway->family, addr_number(gateway));

			if (!place.usage || place_is_held(place))
				continue;
			place_hold(place);
			place.usage->gateways++;
		}
}

static void chooser_init(struct chooser *chooser)
{
	for (size_t i = 0; i < chooser->want->set_count; i++) {
		const struct range_set *from = &chooser->want->sets[i];
		struct usage_set *set = &chooser->sets[i];

		set->count = from->count;
		set->usage = arena_alloc(chooser->mem, from->count * sizeof(*set->usage));
		for (size_t k = 0; k < from->count; k++)
			usage_init(&set->usage[k], &from->ranges[k], chooser->mem);
	}
	hold_gateways(chooser);
}

static void note_freed(struct chooser *chooser, const struct slot *slot, size_t index, bool useful)
{
	if (!useful)
		chooser->spare = index;
	if (chooser->oldest != LEASE_NONE && slot->time_ns >= chooser->oldest_ns)
		return;
	chooser->oldest = index;
	chooser->oldest_ns = slot->time_ns;
}

/* `index` is LEASE_NONE in another network's store: its slots are not ours to use. */
static void note_slot(struct chooser *chooser, const struct slot *slot, size_t index)
{
	bool useful = false;

	for (size_t k = 0; k < slot->addr_count; k++) {
		struct place place = chooser_find(
			chooser, slot->addrs[k].family, slot_addr_number(&slot->addrs[k]));

		if (!place.usage)
			continue;
		useful = true;
		bit_set(place.usage->seen, place.index);
		if (slot->state == LEASE_HELD)
			bit_set(place.usage->held, place.index);
	}
	if (slot->state == LEASE_FREED && index != LEASE_NONE)
		note_freed(chooser, slot, index, useful);
}

static int already_held(const struct slot *slot, struct err *err)
{
	struct addr addr;
	char text[ADDR_TEXT_MAX] = "no address";

	if (slot->addr_count > 0) {
		slot_addr_get(slot, 0, &addr);
		addr_format(&addr, text);
	}
	return err_set(err, CNI_EXISTS, "container %s already holds %s for %s", slot->container,
		text, slot->ifname);
}

static int note_slots(struct chooser *chooser, struct err *err)
{
	size_t count = lease_slot_count(chooser->store);

	for (size_t i = 0; i < count; i++) {
		const struct slot *slot = slot_at(chooser->store, i);

		if (!slot_is_sound(slot))
			return err_set(err, CNI_IO,
				"lease %zu is damaged: whose address it holds is not known, so "
				"none is "
				"given out",
				i);
		if (slot_is_of(slot, chooser->want->container, chooser->want->ifname))
			return already_held(slot, err);
		note_slot(chooser, slot, i);
	}
	return 0;
}

static void note_others(struct chooser *chooser)
{
	for (size_t i = 0; i < chooser->want->other_count; i++) {
		const struct lease_store *other = &chooser->want->others[i];
		size_t count = lease_slot_count(other);

		for (size_t k = 0; k < count; k++)
			if (slot_is_sound(slot_at(other, k)))
				note_slot(chooser, slot_at(other, k), LEASE_NONE);
	}
}

static struct place pick_never_used(const struct usage_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		struct usage *usage = &set->usage[i];
		size_t index = bit_first_zero(usage->seen, usage->size);

		if (index < usage->size)
			return (struct place){usage, index, LEASE_NONE};
	}
	return nowhere;
}

/* A place that is better than the best one so far, in one store; *best_ns is when it was
 * freed. */
static void pick_freed_in(const struct lease_store *store, bool ours, const struct usage_set *set,
	struct place *best, uint64_t *best_ns)
{
	size_t count = lease_slot_count(store);

	for (size_t i = 0; i < count; i++) {
		const struct slot *slot = slot_at(store, i);

		if (slot->state != LEASE_FREED || slot->time_ns >= *best_ns ||
			(!ours && !slot_is_sound(slot)))
			continue;
		for (size_t k = 0; k < slot->addr_count; k++) {
			struct place place = set_find(
				set, slot->addrs[k].family, slot_addr_number(&slot->addrs[k]));

			if (!place.usage || place_is_held(place))
				continue;
			*best = place;
			best->slot = ours ? i : LEASE_NONE;
			*best_ns = slot->time_ns;
		}
	}
}

static struct place pick_freed_first(const struct chooser *chooser, const struct usage_set *set)
{
	struct place best = nowhere;
	uint64_t best_ns = UINT64_MAX;

	pick_freed_in(chooser->store, true, set, &best, &best_ns);
	for (size_t i = 0; i < chooser->want->other_count; i++)
		pick_freed_in(&chooser->want->others[i], false, set, &best, &best_ns);
	return best;
}

/* The second family takes the address with the number that the first one got, as
 * long as it is free: 10.244.1.7 goes with fd00:10:244:1::7.  Pairs then stay
 * pairs, and with the MAC address that plan derives from the first of them no
 * neighbour's cache is ever wrong about either. */
static struct place pick_pair(const struct usage_set *set, size_t range, size_t index)
{
	struct place place = nowhere;

	if (range < set->count && index < set->usage[range].size)
		place = (struct place){&set->usage[range], index, LEASE_NONE};
	return place.usage && !place_is_held(place) ? place : nowhere;
}

static int used_up(const struct usage_set *set, struct err *err)
{
	char text[PREFIX_TEXT_MAX];
	size_t total = 0;

	for (size_t i = 0; i < set->count; i++)
		total += set->usage[i].size - set->usage[i].gateways;
	prefix_format(&set->usage[0].range->subnet, text);
	if (set->count == 1)
		return err_set(err, CNI_TRY_LATER, "%s: all %zu addresses are in use", text, total);
	return err_set(err, CNI_TRY_LATER, "%s and %zu more: all %zu addresses are in use", text,
		set->count - 1, total);
}

/* Puts the addresses asked for into the sets they belong to. */
static int pick_requested(const struct chooser *chooser, struct place picked[], struct err *err)
{
	for (size_t i = 0; i < chooser->want->requested_count; i++) {
		const struct addr *addr = &chooser->want->requested[i];
		struct place place = nowhere;
		char text[ADDR_TEXT_MAX];
		size_t set;

		addr_format(addr, text);
		for (set = 0; !place.usage && set < chooser->want->set_count; set++)
			place = set_find(&chooser->sets[set], addr->family, addr_number(addr));
		if (!place.usage)
			return err_set(
				err, CNI_CONFIG, "requested address %s is in no range", text);
		if (picked[set - 1].usage)
			return err_set(err, CNI_CONFIG,
				"requested address %s: another one of its range is requested as "
				"well",
				text);
		if (place_is_held(place))
			return err_set(err, CNI_TRY_LATER, "requested address %s is in use", text);
		picked[set - 1] = place;
	}
	return 0;
}

static int pick_all(const struct chooser *chooser, struct place picked[], struct err *err)
{
	if (pick_requested(chooser, picked, err) < 0)
		return -1;
	for (size_t i = 0; i < chooser->want->set_count; i++) {
		const struct usage_set *set = &chooser->sets[i];

		if (!picked[i].usage && i > 0)
			picked[i] =
				pick_pair(set, (size_t)(picked[0].usage - chooser->sets[0].usage),
					picked[0].index);
		if (!picked[i].usage)
			picked[i] = pick_never_used(set);
		if (!picked[i].usage)
			picked[i] = pick_freed_first(chooser, set);
		if (!picked[i].usage)
			return used_up(set, err);
	}
	return 0;
}

/* The slot that remembers an address.  One that was never used is in none, and then
 * nobody has to look. */
static size_t find_freed(const struct chooser *chooser, struct place picked)
{
	const struct addr wanted = place_addr(picked);
	size_t count = lease_slot_count(chooser->store);

	if (picked.slot != LEASE_NONE || !bit_get(picked.usage->seen, picked.index))
		return picked.slot;
	for (size_t i = 0; i < count; i++) {
		const struct slot *slot = slot_at(chooser->store, i);

		for (size_t k = 0; slot->state == LEASE_FREED && k < slot->addr_count; k++) {
			struct addr addr;

			slot_addr_get(slot, k, &addr);
			if (addr_cmp(&addr, &wanted) == 0)
				return i;
		}
	}
	return LEASE_NONE;
}

/* An address that was used goes back into the slot that remembers it; this bounds
 * the number of slots by the number of addresses of the first set. */
static int pick_slot(
	const struct chooser *chooser, const struct place picked[], size_t *slot, struct err *err)
{
	size_t count = lease_slot_count(chooser->store);

	*slot = chooser->want->set_count ? find_freed(chooser, picked[0]) : LEASE_NONE;
	if (*slot == LEASE_NONE)
		*slot = chooser->spare;
	if (*slot == LEASE_NONE)
		*slot = count < LEASE_SLOTS_MAX ? count : chooser->oldest;
	if (*slot == LEASE_NONE)
		return err_set(err, CNI_TRY_LATER, "all %d leases are held", LEASE_SLOTS_MAX);
	return 0;
}

int lease_choose(const struct lease_store *store, const struct lease_want *want,
	struct lease *chosen, size_t *slot, struct err *err)
{
	_cleanup_arena_ struct arena mem = {0};
	struct chooser chooser = {
		.store = store,
		.mem = &mem,
		.want = want,
		.spare = LEASE_NONE,
		.oldest = LEASE_NONE,
	};
	struct place picked[LEASE_ADDRS_MAX] = {0};

	if (strlen(want->container) > LEASE_CONTAINER_MAX)
		return err_set(err, CNI_ENVIRONMENT, "container id is longer than %d bytes",
			LEASE_CONTAINER_MAX);
	if (want->set_count > LEASE_ADDRS_MAX)
		return err_set(err, CNI_CONFIG, "more than %d range sets", LEASE_ADDRS_MAX);
	chooser_init(&chooser);
	if (note_slots(&chooser, err) < 0)
		return -1;
	note_others(&chooser);
	if (pick_all(&chooser, picked, err) < 0)
		return -1;
	memset(chosen, 0, sizeof(*chosen));
	chosen->state = LEASE_HELD;
	chosen->foreign = want->foreign;
	snprintf(chosen->container, sizeof(chosen->container), "%s", want->container);
	snprintf(chosen->ifname, sizeof(chosen->ifname), "%s", want->ifname);
	for (size_t i = 0; i < want->set_count; i++)
		chosen->addrs[chosen->addr_count++] = place_addr(picked[i]);
	return pick_slot(&chooser, picked, slot, err);
}

/* ---------------------------------------------------------------- reading */

#define STORE_SIZE_MAX ((size_t)(LEASE_SLOTS_MAX + 1) * LEASE_SLOT_SIZE)

static int boot_id_read(char boot_id[LEASE_BOOT_ID_SIZE], struct err *err)
{
	_cleanup_buf_ struct buf text = {0};

	if (file_read(LEASE_BOOT_ID_FILE, 64, &text, err) < 0)
		return -1;
	snprintf(boot_id, LEASE_BOOT_ID_SIZE, "%.36s", buf_text(&text));
	return 0;
}

/* A writer may be in the middle of a slot: then the next look finds it whole. */
static bool decode_again(const char *path, size_t slot, struct lease *lease)
{
	for (int tries = 0; tries < 3; tries++) {
		_cleanup_buf_ struct buf bytes = {0};
		struct lease_store store;
		struct err ignored;

		if (file_read(path, STORE_SIZE_MAX, &bytes, &ignored) < 0)
			return false;
		store = (struct lease_store){(unsigned char *)bytes.text, bytes.len};
		if (slot < lease_slot_count(&store) && lease_decode(&store, slot, lease))
			return true;
	}
	return false;
}

static int read_held(const char *path, const struct lease_store *store, struct arena *mem,
	struct lease **leases, size_t *count, struct err *err)
{
	size_t slots = lease_slot_count(store);

	for (size_t i = 0; i < slots; i++) {
		struct lease lease;

		if (!lease_decode(store, i, &lease) && !decode_again(path, i, &lease))
			return err_set(err, CNI_IO, "lease %zu is damaged", i);
		if (lease.state == LEASE_HELD)
			*ARENA_PUSH(mem, *leases, count) = lease;
	}
	return 0;
}

static int read_store(const char *path, const char *boot_id, struct arena *mem,
	struct lease **leases, size_t *count, struct err *err)
{
	_cleanup_buf_ struct buf bytes = {0};
	enum lease_header header = LEASE_HEADER_DAMAGED;
	struct lease_store store = {0};

	/* As with the slots. */
	for (int tries = 0; tries < 3 && header == LEASE_HEADER_DAMAGED; tries++) {
		bytes.len = 0;
		if (file_read(path, STORE_SIZE_MAX, &bytes, err) < 0)
			return err->code == ENOENT ? 0 : -1;
		store = (struct lease_store){(unsigned char *)bytes.text, bytes.len};
		if (lease_header_read(&store, boot_id, &header, err) < 0)
			return err_wrap(err, "%s", path);
	}
	if (header == LEASE_HEADER_DAMAGED)
		return err_set(err, CNI_IO, "%s is damaged", path);
	if (header != LEASE_HEADER_THIS_BOOT)
		return 0;
	return read_held(path, &store, mem, leases, count, err) < 0 ? err_wrap(err, "%s", path) : 0;
}

int lease_read(
	const char *path, struct arena *mem, struct lease **leases, size_t *count, struct err *err)
{
	char boot_id[LEASE_BOOT_ID_SIZE];

	*leases = NULL;
	*count = 0;
	if (boot_id_read(boot_id, err) < 0)
		return -1;
	return read_store(path, boot_id, mem, leases, count, err);
}

static int list_network(const char *data_dir, const char *network, const char *boot_id,
	struct arena *mem, struct lease **leases, size_t *count, struct err *err)
{
	const char *name = arena_strdup(mem, network);
	char path[PATH_MAX];
	size_t before = *count;

	if (snprintf(path, sizeof(path), "%s/%s/leases", data_dir, network) >= (int)sizeof(path))
		return err_set(err, ENAMETOOLONG, "%s/%s: path too long", data_dir, network);
	if (read_store(path, boot_id, mem, leases, count, err) < 0)
		return -1;
	for (size_t i = before; i < *count; i++)
		(*leases)[i].network = name;
	return 0;
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int lease_list(const char *data_dir, struct arena *mem, struct lease **leases, size_t *count,
	struct err *err)
{
	char boot_id[LEASE_BOOT_ID_SIZE];
	struct dirent **entries;
	int n, failed = 0;

	*leases = NULL;
	*count = 0;
	if (boot_id_read(boot_id, err) < 0)
		return -1;
	n = scandir(data_dir, &entries, is_visible, alphasort);
	if (n < 0)
		return errno == ENOENT ? 0 : err_errno(err, "%s", data_dir);
	for (int i = 0; i < n; i++) {
		if (!failed)
			failed = list_network(
				data_dir, entries[i]->d_name, boot_id, mem, leases, count, err);
		free(entries[i]);
	}
	free(entries);
	return failed;
}
