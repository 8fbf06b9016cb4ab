/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lease -- which container holds which addresses, as bytes of one file.
 *
 * One file per network, <dataDir>/<network>/leases: a header of 256 bytes, then
 * slots of 256 bytes.  A slot is one attachment (container, interface) with the
 * addresses of all its families, so that a dual-stack pair is taken and given
 * back in one write: a process that is killed has written it or has not.  A slot
 * carries a checksum; so does the header, which counts the slots (rewritten after one
 * was added), so that a file that was cut off between two of them is found out.  A slot that was
 * freed keeps its addresses: addresses never used are given out first, lowest first, then those
 * freed the longest ago.
 *
 * Everything is in the byte order of the host: the file lives as long as the
 * kernel's boot id in its header, another boot empties the store.
 *
 * A slot that cannot be read stops every allocation (CNI_IO): giving an address
 * twice is worse than giving none.  ipam knows a way out, the kernel's links.
 *
 * This module is pure but for lease_read() and lease_list(); who may write, and
 * the lock, is ipam's business. */
#ifndef ROOST_CNI_LEASE_H
#define ROOST_CNI_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/prefix.h"
#include "range.h"

#define LEASE_DATA_DIR "/run/roost/ipam" /* the default dataDir */
#define LEASE_CONTAINER_MAX 151		 /* bytes of a container id that fit a slot */
#define LEASE_ADDRS_MAX 4
#define LEASE_SLOT_SIZE 256
#define LEASE_SLOTS_MAX 65536
#define LEASE_BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"
#define LEASE_BOOT_ID_SIZE 37 /* "64ddd676-7216-4fb1-a20b-c02c39eb3a06" and NUL */

enum lease_state {
	LEASE_HELD = 1,
	LEASE_FREED = 2,
};

struct lease {
	enum lease_state state;
	const char *network; /* set by lease_list(), else NULL */
	char container[LEASE_CONTAINER_MAX + 1];
	char ifname[16];
	bool foreign;	  /* no link of ours belongs to it: what ours tell says nothing of it */
	uint64_t time_ns; /* CLOCK_BOOTTIME, nanoseconds: when it was taken, or freed */
	struct addr addrs[LEASE_ADDRS_MAX];
	size_t addr_count;
};

/* --- reading, for anyone (roostctl, roostd): no lock, no root, nothing changed */

/* The held leases of one store file.  A missing file, and one of another boot,
 * hold none.  A slot that a writer is just changing is read again. */
int lease_read(
	const char *path, struct arena *mem, struct lease **leases, size_t *count, struct err *err);

/* The held leases of all networks below a dataDir, network by network in the
 * order of their names; lease.network is set.  A missing folder holds none. */
int lease_list(const char *data_dir, struct arena *mem, struct lease **leases, size_t *count,
	struct err *err);

/* --- the bytes */

struct lease_store {
	const unsigned char *bytes; /* aligned to 8; the caller's */
	size_t size;
};

enum lease_header {
	LEASE_HEADER_FRESH, /* no bytes at all: a store that was just created */
	LEASE_HEADER_THIS_BOOT,
	LEASE_HEADER_OTHER_BOOT, /* whatever it says, no container lives from it */
	LEASE_HEADER_DAMAGED,	 /* no store, or cut off: some slots may be sound */
};

/* What the header says; -1 (CNI_IO) when a newer roost wrote it in this boot. */
int lease_header_read(const struct lease_store *store, const char *boot_id,
	enum lease_header *header, struct err *err);
void lease_header_write(
	const char *boot_id, size_t slot_count, unsigned char bytes[LEASE_SLOT_SIZE]);

size_t lease_slot_count(const struct lease_store *store);
size_t lease_slot_offset(size_t slot);

/* The slot's lease; false when the slot is damaged. */
bool lease_decode(const struct lease_store *store, size_t slot, struct lease *lease);
void lease_encode(const struct lease *lease, unsigned char bytes[LEASE_SLOT_SIZE]);

/* --- looking up and choosing */

#define LEASE_NONE SIZE_MAX

/* The slot that this attachment holds, or LEASE_NONE; *damaged says whether slots
 * were met that cannot be read. */
size_t lease_find(
	const struct lease_store *store, const char *container, const char *ifname, bool *damaged);

struct lease_want {
	const char *container;
	const char *ifname;
	const struct range_set *sets; /* one address of each, in this order */
	size_t set_count;
	const struct addr *requested; /* addresses asked for by name, each in one of the sets */
	size_t requested_count;
	bool foreign; /* for lease.foreign */
	/* Stores of other networks, looked through already: what is held there is not free
	 * here.  NULL: theirs and ours cannot meet. */
	const struct lease_store *others;
	size_t other_count;
};

/* Chooses addresses and the slot to keep them in (one behind the last: append).
 * *chosen is ready to be encoded but for time_ns.  Codes: CNI_EXISTS,
 * CNI_TRY_LATER when a set is used up, CNI_CONFIG for a request that cannot be
 * met, CNI_IO for a damaged store. */
int lease_choose(const struct lease_store *store, const struct lease_want *want,
	struct lease *chosen, size_t *slot, struct err *err);

#endif
