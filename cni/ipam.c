/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ipam.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "code.h"
#include "import.h"
#include "links.h"

#define FILE_NAME "leases"
#define NEW_NAME FILE_NAME ".new"
#define DAMAGED_NAME FILE_NAME ".damaged"
#define NODE_NAME ".node"			    /* no network can be called so */
#define GONE_AFTER_NS (UINT64_C(300) * 1000000000u) /* five minutes without a link */

/* A store whose lock is ours.  It is mapped, not read: a store of thousands of
 * leases is then looked through without being copied. */
struct ipam {
	const struct ipam_place *place;
	char dir[PATH_MAX];
	char boot_id[LEASE_BOOT_ID_SIZE];
	int dir_fd;
	int fd;
	void *mapped;
	size_t mapped_size;
	struct buf image; /* what is looked at instead of the file, once there is one */
	struct lease_store store;

	/* Those who share the node's subnets with it: see ipam_place.shared. */
	int node_fd;	      /* the lock of them all, -1: nobody changes anything */
	struct ipam_place at; /* what `place` of one of the others is */
	struct arena mem;     /* for the rest */
	struct ipam **others;
	size_t other_count;
	struct lease_store *other_stores;
	bool unlocked;
};

static void ipam_close(struct ipam *ipam)
{
	if (ipam->mapped)
		munmap(ipam->mapped, ipam->mapped_size);
	buf_free(&ipam->image);
	for (size_t i = 0; i < ipam->other_count; i++)
		ipam_close(ipam->others[i]);
	arena_free(&ipam->mem);
	cleanup_close(&ipam->fd);
	cleanup_close(&ipam->dir_fd); /* this is the unlock */
	cleanup_close(&ipam->node_fd);
}

#define _cleanup_ipam_ __attribute__((cleanup(ipam_close)))
#define IPAM_OF(at) ((struct ipam){.place = (at), .dir_fd = -1, .fd = -1, .node_fd = -1})

static int io_error(const struct ipam *ipam, const char *what, struct err *err)
{
	err_errno(err, "lease store %s: %s", ipam->dir, what);
	err->code = CNI_IO;
	return -1;
}

static int read_boot_id(struct ipam *ipam, struct err *err)
{
	_cleanup_close_ int fd = -1;
	ssize_t n;

	if (*ipam->boot_id)
		return 0;
	fd = open(LEASE_BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, ipam->boot_id, sizeof(ipam->boot_id) - 1);
	if (n == LEASE_BOOT_ID_SIZE - 1)
		return 0;
	err_errno(err, "%s", LEASE_BOOT_ID_FILE);
	err->code = CNI_IO;
	return -1;
}

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

static int make_dirs(const char *path, struct err *err)
{
	umask(022);
	if (file_mkdirs(path, 0755, err) == 0)
		return 0;
	err->code = CNI_IO;
	return err_wrap(err, "lease store");
}

/* Leaves dir_fd at -1 when there is no such folder and it is not to be made. */
static int open_dir(struct ipam *ipam, bool create, struct err *err)
{
	ipam->dir_fd = open(ipam->dir, DIR_FLAGS);
	if (ipam->dir_fd >= 0 || (errno == ENOENT && !create))
		return 0;
	if (errno != ENOENT)
		return io_error(ipam, "opening", err);
	if (make_dirs(ipam->dir, err) < 0)
		return -1;
	ipam->dir_fd = open(ipam->dir, DIR_FLAGS);
	if (ipam->dir_fd < 0 || fchmod(ipam->dir_fd, 0711) < 0)
		return io_error(ipam, "creating", err);
	return 0;
}

static int lock(const struct ipam *ipam, int fd, struct err *err)
{
	if (flock(fd, LOCK_EX) == 0)
		return 0;
	if (errno == EINTR) /* only SIGALRM has a handler: our time is over */
		return err_set(err, CNI_TRY_LATER,
			"lease store %s: its lock is held by another process", ipam->dir);
	return io_error(ipam, "locking", err);
}

/* Before any other lock, so that nobody waits for somebody who waits for him. */
static int lock_node(struct ipam *ipam, struct err *err)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/" NODE_NAME, ipam->place->data_dir) >=
		(int)sizeof(path))
		return err_set(err, CNI_CONFIG, "ipam.dataDir: path too long");
	ipam->node_fd = open(path, DIR_FLAGS);
	if (ipam->node_fd < 0 && errno == ENOENT) {
		if (make_dirs(ipam->place->data_dir, err) < 0)
			return -1;
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return io_error(ipam, "creating " NODE_NAME, err);
		ipam->node_fd = open(path, DIR_FLAGS);
	}
	return ipam->node_fd < 0 ? io_error(ipam, "opening " NODE_NAME, err)
				 : lock(ipam, ipam->node_fd, err);
}

static int open_file(struct ipam *ipam, struct err *err)
{
	ipam->fd = openat(ipam->dir_fd, FILE_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return ipam->fd >= 0 || errno == ENOENT ? 0 : io_error(ipam, "opening " FILE_NAME, err);
}

/* Of a file that is too large, which is a damaged one, not more than is needed. */
static int map_file(struct ipam *ipam, struct err *err)
{
	const off_t max = (off_t)lease_slot_offset(LEASE_SLOTS_MAX);
	struct stat st;

	if (fstat(ipam->fd, &st) < 0)
		return io_error(ipam, "stat", err);
	if (!S_ISREG(st.st_mode))
		return err_set(
			err, CNI_IO, "lease store %s: " FILE_NAME " is no regular file", ipam->dir);
	if (st.st_size == 0)
		return 0;
	ipam->mapped_size = (size_t)(st.st_size > max ? max + 1 : st.st_size);
	ipam->mapped = mmap(NULL, ipam->mapped_size, PROT_READ, MAP_SHARED, ipam->fd, 0);
	if (ipam->mapped == MAP_FAILED) {
		ipam->mapped = NULL;
		return io_error(ipam, "mmap", err);
	}
	ipam->store = (struct lease_store){ipam->mapped, ipam->mapped_size};
	return 0;
}

static int write_bytes(struct ipam *ipam, const unsigned char bytes[LEASE_SLOT_SIZE], size_t offset,
	struct err *err)
{
	ssize_t n = pwrite(ipam->fd, bytes, LEASE_SLOT_SIZE, (off_t)offset);

	if (n == LEASE_SLOT_SIZE)
		return 0;
	if (n >= 0)
		errno = ENOSPC;
	io_error(ipam, "writing", err);
	/* The disk filled up in the middle: take the stump away again. */
	if (n > 0 && offset >= ipam->store.size && ftruncate(ipam->fd, (off_t)ipam->store.size) < 0)
		return err_wrap(err, "and cut off in the middle of a lease");
	return -1;
}

/* Slots `first` to `last` of the image, in one write.  However that ends, each slot on
 * disk is the old one or the new one, for none lies in two pages. */
static int write_slots(struct ipam *ipam, size_t first, size_t last, struct err *err)
{
	const size_t offset = lease_slot_offset(first);
	const size_t size = lease_slot_offset(last + 1) - offset;
	ssize_t n = pwrite(ipam->fd, ipam->image.text + offset, size, (off_t)offset);

	if (n >= 0 && (size_t)n == size)
		return 0;
	if (n >= 0)
		errno = ENOSPC;
	return io_error(ipam, "writing", err);
}

static int write_slot(struct ipam *ipam, const struct lease *lease, size_t slot, struct err *err)
{
	unsigned char bytes[LEASE_SLOT_SIZE];
	ssize_t ignored;

	lease_encode(lease, bytes);
	if (write_bytes(ipam, bytes, lease_slot_offset(slot), err) < 0)
		return -1;
	if (lease_slot_offset(slot) < ipam->image.len)
		memcpy(ipam->image.text + lease_slot_offset(slot), bytes, sizeof(bytes));
	if (slot < lease_slot_count(&ipam->store))
		return 0;
	/* One more than there were.  Without the new count the lease is as good. */
	lease_header_write(ipam->boot_id, slot + 1, bytes);
	ignored = pwrite(ipam->fd, bytes, sizeof(bytes), 0);
	(void)ignored;
	return 0;
}

static uint64_t now_since_boot_ns(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---------------------------------------------------------------- made anew */

/* What a new store is put together from. */
struct rebuild {
	struct arena mem;
	struct lease *leases; /* first those that were kept, then those that were found */
	size_t count;
	struct addr *addrs; /* all that the kept ones and the links have, in order */
	size_t kept_count, addr_count;
	size_t linked, imported;
	bool saved; /* the damaged file, under another name */
};

static void rebuild_free(struct rebuild *rebuild)
{
	arena_free(&rebuild->mem);
}

static int compare_names(const struct lease *a, const struct lease *b)
{
	int order = strcmp(a->container, b->container);

	return order ? order : strcmp(a->ifname, b->ifname);
}

static int compare_leases(const void *a, const void *b)
{
	return compare_names(*(struct lease *const *)a, *(struct lease *const *)b);
}

static int compare_addrs(const void *a, const void *b)
{
	return addr_cmp(a, b);
}

/* Pointers to the held ones, to be searched by name. */
static struct lease **sort_leases(
	struct lease *leases, size_t count, struct arena *mem, size_t *sorted_count)
{
	struct lease **sorted = NULL;

	*sorted_count = 0;
	for (size_t i = 0; i < count; i++)
		if (leases[i].state == LEASE_HELD)
			*ARENA_PUSH(mem, sorted, sorted_count) = &leases[i];
	if (*sorted_count)
		qsort(sorted, *sorted_count, sizeof(struct lease *), compare_leases);
	return sorted;
}

static bool has_lease(struct lease **sorted, size_t count, const struct lease *lease)
{
	return count && bsearch(&lease, sorted, count, sizeof(struct lease *), compare_leases);
}

static bool has_addr(const struct rebuild *rebuild, const struct addr *addr)
{
	return rebuild->addr_count &&
	       bsearch(addr, rebuild->addrs, rebuild->addr_count, sizeof(*addr), compare_addrs);
}

static void add_lease(struct rebuild *rebuild, const struct lease *lease)
{
	*ARENA_PUSH(&rebuild->mem, rebuild->leases, &rebuild->count) = *lease;
}

static void keep_sound_slots(struct rebuild *rebuild, const struct lease_store *store)
{
	size_t slots = lease_slot_count(store);
	struct lease lease;

	for (size_t i = 0; i < slots; i++)
		if (lease_decode(store, i, &lease))
			add_lease(rebuild, &lease);
}

/* A slot that is sound was written by the owner of the link, and says more. */
static int add_links(struct rebuild *rebuild, const struct ipam *ipam, struct err *err)
{
	struct lease **kept, *found;
	size_t kept_count, count;

	if (!ipam->place->links)
		return 0;
	if (links_list(ipam->place->links, ipam->place->network, &rebuild->mem, &found, &count,
		    err) < 0)
		return -1;
	kept = sort_leases(rebuild->leases, rebuild->count, &rebuild->mem, &kept_count);
	/* The array moves when it grows: look them all up first. */
	for (size_t i = 0; i < count; i++)
		if (has_lease(kept, kept_count, &found[i]))
			found[i].state = LEASE_FREED;
	for (size_t i = 0; i < count; i++) {
		if (found[i].state == LEASE_FREED)
			continue;
		if (found[i].addr_count == 0)
			return err_set(err, CNI_IO,
				"lease store %s: the addresses of %s are not known any more",
				ipam->dir, found[i].container);
		found[i].time_ns = now_since_boot_ns();
		add_lease(rebuild, &found[i]);
		rebuild->linked++;
	}
	return 0;
}

static void sort_addrs(struct rebuild *rebuild)
{
	for (size_t i = 0; i < rebuild->count; i++)
		for (size_t k = 0; k < rebuild->leases[i].addr_count; k++)
			*ARENA_PUSH(&rebuild->mem, rebuild->addrs, &rebuild->addr_count) =
				rebuild->leases[i].addrs[k];
	if (rebuild->addr_count)
		qsort(rebuild->addrs, rebuild->addr_count, sizeof(*rebuild->addrs), compare_addrs);
}

/* An address that a slot tells of was host-local's no more when that was written. */
static int add_imports(struct rebuild *rebuild, const struct ipam *ipam, struct err *err)
{
	struct lease *found;
	size_t count;

	if (!*ipam->place->import_dir)
		return 0;
	if (import_host_local(ipam->place->import_dir, &rebuild->mem, &found, &count, err) < 0)
		return -1;
	sort_addrs(rebuild);
	for (size_t i = 0; i < count; i++) {
		struct lease lease = found[i];

		lease.addr_count = 0;
		for (size_t k = 0; k < found[i].addr_count; k++)
			if (!has_addr(rebuild, &found[i].addrs[k]))
				lease.addrs[lease.addr_count++] = found[i].addrs[k];
		if (lease.addr_count == 0)
			continue;
		lease.time_ns = now_since_boot_ns();
		add_lease(rebuild, &lease);
		rebuild->imported++;
	}
	return 0;
}

static void use_image(struct ipam *ipam)
{
	ipam->store =
		(struct lease_store){(const unsigned char *)ipam->image.text, ipam->image.len};
}

static int make_image(struct ipam *ipam, const struct rebuild *rebuild, struct err *err)
{
	unsigned char bytes[LEASE_SLOT_SIZE];

	if (rebuild->count > LEASE_SLOTS_MAX)
		return err_set(err, CNI_IO, "lease store %s: too many leases", ipam->dir);
	ipam->image.len = 0;
	lease_header_write(ipam->boot_id, rebuild->count, bytes);
	buf_add(&ipam->image, bytes, sizeof(bytes));
	for (size_t i = 0; i < rebuild->count; i++) {
		lease_encode(&rebuild->leases[i], bytes);
		buf_add(&ipam->image, bytes, sizeof(bytes));
	}
	use_image(ipam);
	return 0;
}

static int write_image(struct ipam *ipam, struct err *err)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
	_cleanup_close_ int fd = -1;
	ssize_t n;

	/* One that was left by a process that was killed. */
	if (unlinkat(ipam->dir_fd, NEW_NAME, 0) < 0 && errno != ENOENT)
		return io_error(ipam, "removing " NEW_NAME, err);
	fd = openat(ipam->dir_fd, NEW_NAME, flags, 0644);
	if (fd < 0 || fchmod(fd, 0644) < 0)
		return io_error(ipam, "creating " NEW_NAME, err);
	n = pwrite(fd, ipam->image.text, ipam->image.len, 0);
	if (n >= 0 && (size_t)n < ipam->image.len)
		errno = ENOSPC;
	if (n < 0 || (size_t)n < ipam->image.len ||
		renameat(ipam->dir_fd, NEW_NAME, ipam->dir_fd, FILE_NAME) < 0) {
		io_error(ipam, "writing " NEW_NAME, err);
		unlinkat(ipam->dir_fd, NEW_NAME, 0);
		return -1;
	}
	cleanup_close(&ipam->fd);
	ipam->fd = fd;
	fd = -1;
	return 0;
}

enum cause { CAUSE_NONE, CAUSE_MISSING, CAUSE_DAMAGED };

/* Fills the image; `cause` decides what of the old store is of use. */
static int rebuild_image(
	struct ipam *ipam, enum cause cause, struct rebuild *rebuild, struct err *err)
{
	if (cause == CAUSE_DAMAGED)
		keep_sound_slots(rebuild, &ipam->store);
	rebuild->kept_count = rebuild->count;
	if (add_links(rebuild, ipam, err) < 0 || add_imports(rebuild, ipam, err) < 0)
		return -1;
	return make_image(ipam, rebuild, err);
}

static void tell(const struct ipam *ipam, enum cause cause, const struct rebuild *rebuild)
{
	if (cause != CAUSE_DAMAGED && !rebuild->linked && !rebuild->imported)
		return;
	fprintf(stderr,
		"roost: lease store %s %s: made from %zu sound leases, %zu links, %zu records of "
		"host-local\n",
		ipam->dir,
		rebuild->saved		 ? "was damaged (it is " DAMAGED_NAME " now)"
		: cause == CAUSE_DAMAGED ? "was damaged"
					 : "was missing",
		rebuild->kept_count, rebuild->linked, rebuild->imported);
}

/* Makes the store anew, on disk as well if `keep`.  A damaged one of a network without
 * links cannot be: -1 with what *err says already. */
static int renew(struct ipam *ipam, enum cause cause, bool keep, struct err *err)
{
	__attribute__((cleanup(rebuild_free))) struct rebuild rebuild = {0};

	if (cause == CAUSE_DAMAGED && !ipam->place->links)
		return -1;
	if (rebuild_image(ipam, cause, &rebuild, err) < 0)
		return -1;
	if (!keep)
		return 0;
	/* To be looked at by a person; nothing depends on it. */
	unlinkat(ipam->dir_fd, DAMAGED_NAME, 0);
	rebuild.saved = cause == CAUSE_DAMAGED &&
			linkat(ipam->dir_fd, FILE_NAME, ipam->dir_fd, DAMAGED_NAME, 0) == 0;
	if (write_image(ipam, err) < 0)
		return -1;
	tell(ipam, cause, &rebuild);
	return 0;
}

/* ---------------------------------------------------------------- many at once */

/* Which leases are to be given back. */
struct stale {
	bool (*is)(const struct lease *lease, const void *data);
	const void *data;
};

/* Frees them in the image, and on disk if `keep`. */
static int free_stale(
	struct ipam *ipam, const struct stale *stale, bool keep, size_t *freed, struct err *err)
{
	const uint64_t now_ns = now_since_boot_ns();
	size_t first = 0, last = 0, slots = lease_slot_count(&ipam->store);

	*freed = 0;
	if (!ipam->image.len)
		buf_add(&ipam->image, ipam->store.bytes, ipam->store.size);
	use_image(ipam);
	for (size_t i = 0; i < slots; i++) {
		struct lease lease;

		if (!lease_decode(&ipam->store, i, &lease) || lease.state != LEASE_HELD ||
			!stale->is(&lease, stale->data))
			continue;
		lease.state = LEASE_FREED;
		lease.time_ns = now_ns;
		lease_encode(&lease, (unsigned char *)ipam->image.text + lease_slot_offset(i));
		first = *freed ? first : i;
		last = i;
		++*freed;
	}
	return *freed && keep ? write_slots(ipam, first, last, err) : 0;
}

struct unlinked {
	struct lease **linked; /* those who have a link, in order */
	size_t linked_count;
	uint64_t now_ns;
};

static bool is_unlinked(const struct lease *lease, const void *data)
{
	const struct unlinked *unlinked = data;

	return !lease->foreign && lease->time_ns + GONE_AFTER_NS <= unlinked->now_ns &&
	       !has_lease(unlinked->linked, unlinked->linked_count, lease);
}

/* What has had no link for a while. */
static int reclaim(struct ipam *ipam, bool keep, size_t *reclaimed, struct err *err)
{
	_cleanup_arena_ struct arena mem = {0};
	struct unlinked unlinked = {.now_ns = now_since_boot_ns()};
	struct lease *found;
	size_t count;

	*reclaimed = 0;
	if (links_list(ipam->place->links, ipam->place->network, &mem, &found, &count, err) < 0)
		return -1;
	unlinked.linked = sort_leases(found, count, &mem, &unlinked.linked_count);
	return free_stale(ipam, &(struct stale){is_unlinked, &unlinked}, keep, reclaimed, err);
}

/* ---------------------------------------------------------------- opening */

/* What there is, without making or writing anything: CAUSE_MISSING when there is no
 * store of this boot (ipam->dir_fd is -1 without a folder), CAUSE_DAMAGED when it
 * cannot be read; that damage is in single slots shows later. */
static int ipam_open(struct ipam *ipam, bool create, enum cause *cause, struct err *err)
{
	enum lease_header header;

	*cause = CAUSE_MISSING;
	if (snprintf(ipam->dir, sizeof(ipam->dir), "%s/%s", ipam->place->data_dir,
		    ipam->place->network) >= (int)sizeof(ipam->dir))
		return err_set(err, CNI_CONFIG, "ipam.dataDir: path too long");
	if ((create && ipam->place->shared && lock_node(ipam, err) < 0) ||
		open_dir(ipam, create, err) < 0 || read_boot_id(ipam, err) < 0)
		return -1;
	if (ipam->dir_fd < 0)
		return 0;
	if ((!ipam->unlocked && lock(ipam, ipam->dir_fd, err) < 0) || open_file(ipam, err) < 0)
		return -1;
	if (ipam->fd < 0)
		return 0;
	if (map_file(ipam, err) < 0)
		return -1;
	if (lease_header_read(&ipam->store, ipam->boot_id, &header, err) < 0)
		return err_wrap(err, "%s/" FILE_NAME, ipam->dir);
	switch (header) {
	case LEASE_HEADER_THIS_BOOT:
		*cause = CAUSE_NONE;
		break;
	case LEASE_HEADER_DAMAGED:
		err_set(err, CNI_IO, "lease store %s: " FILE_NAME " is damaged", ipam->dir);
		*cause = CAUSE_DAMAGED;
		break;
	case LEASE_HEADER_FRESH:
	case LEASE_HEADER_OTHER_BOOT:
		ipam->store = (struct lease_store){0};
		break;
	}
	return 0;
}

static bool has_damage(const struct lease_store *store)
{
	struct lease lease;
	size_t slots = lease_slot_count(store);

	for (size_t i = 0; i < slots; i++)
		if (!lease_decode(store, i, &lease))
			return true;
	return false;
}

/* ---------------------------------------------------------------- the other networks */

static struct ipam *new_other(struct ipam *ipam, const char *network)
{
	struct ipam *other = arena_alloc(&ipam->mem, sizeof(*other));

	*other = IPAM_OF(&other->at);
	other->at = (struct ipam_place){
		.data_dir = ipam->place->data_dir,
		.network = arena_strdup(&ipam->mem, network),
		.import_dir = arena_printf(&ipam->mem, IMPORT_DIR "/%s", network),
		.links = ipam->place->links,
	};
	other->unlocked = ipam->node_fd < 0;
	memcpy(other->boot_id, ipam->boot_id, sizeof(other->boot_id));
	*ARENA_PUSH(&ipam->mem, ipam->others, &ipam->other_count) = other;
	return other;
}

/* A damaged one, or a folder without one, is left for its own network to mend; what it
 * would become counts.  (One of another boot holds nothing.) */
static int open_other(struct ipam *ipam, const char *network, struct err *err)
{
	struct ipam *other = new_other(ipam, network);
	enum cause cause;

	if (ipam_open(other, false, &cause, err) < 0)
		return -1;
	if (cause == CAUSE_NONE && has_damage(&other->store)) {
		cause = CAUSE_DAMAGED;
		err_set(err, CNI_IO, "lease store %s: " FILE_NAME " is damaged", other->dir);
	}
	if (cause == CAUSE_DAMAGED || (cause == CAUSE_MISSING && !other->mapped))
		return renew(other, cause, false, err);
	return 0;
}

/* A folder that no network can have its name from is none; nor is a file. */
static bool may_be_network(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN);
}

static int open_others(struct ipam *ipam, struct err *err)
{
	DIR *stream = opendir(ipam->place->data_dir);
	struct dirent *entry;
	int failed = 0;

	if (!stream)
		return errno == ENOENT ? 0 : io_error(ipam, "looking for other networks", err);
	while (!failed && (errno = 0, entry = readdir(stream)))
		if (may_be_network(entry) && strcmp(entry->d_name, ipam->place->network) != 0)
			failed = open_other(ipam, entry->d_name, err);
	if (!failed && errno)
		failed = io_error(ipam, "looking for other networks", err);
	closedir(stream);
	ipam->other_stores =
		arena_alloc(&ipam->mem, (ipam->other_count + 1) * sizeof(*ipam->other_stores));
	return failed;
}

/* When our own store was lost, others' may have been lost with it, and nobody would
 * know of their pods until they come back themselves. */
static int revive_others(struct ipam *ipam, struct err *err)
{
	const char **networks;
	size_t count;

	if (!ipam->place->links)
		return 0;
	if (links_networks(ipam->place->links, &ipam->mem, &networks, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct ipam *other;
		enum cause cause;
		int failed;

		if (strcmp(networks[i], ipam->place->network) == 0)
			continue;
		other = new_other(ipam, networks[i]);
		failed = ipam_open(other, true, &cause, err) < 0 ||
			 (cause == CAUSE_MISSING && renew(other, cause, true, err) < 0);
		ipam_close(other);
		ipam->other_count--; /* it is opened with all the others */
		if (failed)
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- taking */

static int choose_once(struct ipam *ipam, const struct lease_want *want, struct lease *lease,
	size_t *slot, struct err *err)
{
	struct lease_want all = *want;

	for (size_t i = 0; i < ipam->other_count; i++)
		ipam->other_stores[i] = ipam->others[i]->store;
	all.others = ipam->other_stores;
	all.other_count = ipam->other_count;
	return lease_choose(&ipam->store, &all, lease, slot, err);
}

static int reclaim_all(struct ipam *ipam, bool keep, size_t *reclaimed, struct err *err)
{
	if (reclaim(ipam, keep, reclaimed, err) < 0)
		return -1;
	for (size_t i = 0; i < ipam->other_count; i++) {
		struct ipam *other = ipam->others[i];
		size_t more;

		/* An image of one is of a store that has yet to be mended. */
		if (other->image.len || !lease_slot_count(&other->store))
			continue;
		if (reclaim(other, keep, &more, err) < 0)
			return -1;
		*reclaimed += more;
	}
	return 0;
}

/* choose_once(), with a second try behind each thing that can be mended. */
static int choose(struct ipam *ipam, const struct lease_want *want, bool keep, struct lease *lease,
	size_t *slot, struct err *err)
{
	size_t reclaimed;
	struct err full;

	if (choose_once(ipam, want, lease, slot, err) == 0)
		return 0;
	if (err->code == CNI_IO) {
		err_wrap(err, "%s/" FILE_NAME, ipam->dir);
		if (renew(ipam, CAUSE_DAMAGED, keep, err) < 0)
			return -1;
		if (choose_once(ipam, want, lease, slot, err) == 0)
			return 0;
	}
	if (err->code != CNI_TRY_LATER || !ipam->place->links)
		return -1;
	full = *err;
	if (reclaim_all(ipam, keep, &reclaimed, err) < 0)
		return -1;
	if (reclaimed && keep)
		fprintf(stderr,
			"roost: lease store %s: %s; reclaimed %zu of attachments whose link is "
			"gone\n",
			ipam->dir, full.msg, reclaimed);
	*err = full;
	return reclaimed ? choose_once(ipam, want, lease, slot, err) : -1;
}

int ipam_acquire(const struct ipam_place *place, const struct lease_want *want, struct lease *lease,
	struct err *err)
{
	_cleanup_ipam_ struct ipam ipam = IPAM_OF(place);
	enum cause cause;
	size_t slot;

	if (ipam_open(&ipam, true, &cause, err) < 0 ||
		(cause != CAUSE_NONE && place->shared && revive_others(&ipam, err) < 0) ||
		(cause != CAUSE_NONE && renew(&ipam, cause, true, err) < 0) ||
		(place->shared && open_others(&ipam, err) < 0) ||
		choose(&ipam, want, true, lease, &slot, err) < 0)
		return -1;
	lease->time_ns = now_since_boot_ns();
	return write_slot(&ipam, lease, slot, err);
}

/* No store, nothing to remove; but what is to be imported is, or the next ADD would
 * take over the address of a pod that is gone by then. */
static int open_to_remove(struct ipam *ipam, enum cause *cause, struct err *err)
{
	bool create = *ipam->place->import_dir && access(ipam->place->import_dir, F_OK) == 0;

	if (ipam_open(ipam, create, cause, err) < 0)
		return -1;
	if (*cause != CAUSE_MISSING || !create)
		return 0;
	*cause = CAUSE_NONE;
	return renew(ipam, CAUSE_MISSING, true, err);
}

/* All of them: an attachment that was imported may hold more addresses than fit one. */
static int release_slots(struct ipam *ipam, const char *container, const char *ifname,
	bool *damaged, struct err *err)
{
	struct lease lease;
	size_t slot;

	do {
		slot = lease_find(&ipam->store, container, ifname, damaged);
		if (slot == LEASE_NONE || !lease_decode(&ipam->store, slot, &lease))
			return 0;
		lease.state = LEASE_FREED;
		lease.time_ns = now_since_boot_ns();
		if (write_slot(ipam, &lease, slot, err) < 0)
			return -1;
		*damaged = false;
	} while (lease.foreign);
	return 0;
}

int ipam_release(const struct ipam_place *place, const char *container, const char *ifname,
	bool *damaged, struct err *err)
{
	_cleanup_ipam_ struct ipam ipam = IPAM_OF(place);
	enum cause cause;

	*damaged = false;
	if (open_to_remove(&ipam, &cause, err) < 0)
		return -1;
	if (cause == CAUSE_MISSING)
		return 0;
	if (cause == CAUSE_NONE && release_slots(&ipam, container, ifname, damaged, err) < 0)
		return -1;
	if (cause == CAUSE_NONE && !*damaged)
		return 0;
	/* Its link is gone, so the new store has the lease only if its slot was sound. */
	*damaged = place->links == NULL;
	if (*damaged)
		return 0;
	return renew(&ipam, CAUSE_DAMAGED, true, err) < 0
		       ? -1
		       : release_slots(&ipam, container, ifname, damaged, err);
}

static int compare_instances(const void *a, const void *b)
{
	const struct lease *x = *(const struct lease *const *)a;
	const struct lease *y = *(const struct lease *const *)b;
	int order = compare_names(x, y);

	return order ? order : (x->time_ns > y->time_ns) - (x->time_ns < y->time_ns);
}

struct listed {
	const struct lease **leases; /* in order */
	size_t count;
};

static bool is_listed(const struct lease *lease, const void *data)
{
	const struct listed *listed = data;

	return bsearch(&lease, listed->leases, listed->count, sizeof(struct lease *),
		       compare_instances) != NULL;
}

int ipam_release_all(const struct ipam_place *place, const struct lease *leases, size_t count,
	bool *damaged, struct err *err)
{
	_cleanup_ipam_ struct ipam ipam = IPAM_OF(place);
	struct listed listed = {.count = count};
	enum cause cause;
	size_t freed;

	*damaged = false;
	if (count == 0)
		return 0;
	if (open_to_remove(&ipam, &cause, err) < 0)
		return -1;
	if (cause == CAUSE_DAMAGED && place->links) {
		if (renew(&ipam, cause, true, err) < 0)
			return -1;
		cause = CAUSE_NONE;
	}
	*damaged = cause == CAUSE_DAMAGED || has_damage(&ipam.store);
	if (cause != CAUSE_NONE)
		return 0;
	listed.leases = arena_alloc(&ipam.mem, count * sizeof(*listed.leases));
	for (size_t i = 0; i < count; i++)
		listed.leases[i] = &leases[i];
	qsort(listed.leases, count, sizeof(*listed.leases), compare_instances);
	return free_stale(&ipam, &(struct stale){is_listed, &listed}, true, &freed, err);
}

int ipam_find(const struct ipam_place *place, const char *container, const char *ifname,
	struct lease *lease, struct err *err)
{
	_cleanup_ipam_ struct ipam ipam = IPAM_OF(place);
	enum cause cause;
	bool damaged;
	size_t slot;

	if (ipam_open(&ipam, false, &cause, err) < 0 || (cause == CAUSE_DAMAGED))
		return -1;
	slot = lease_find(&ipam.store, container, ifname, &damaged);
	if (slot != LEASE_NONE && lease_decode(&ipam.store, slot, lease))
		return 0;
	if (damaged)
		return err_set(err, CNI_IO, "lease store %s: " FILE_NAME " is damaged", ipam.dir);
	return err_set(err, CNI_DIFFERS, "container %s holds no address for %s", container, ifname);
}

/* What will be asked of the nearest folder that exists: may we write there, and is
 * there room? */
static int probe_dir(const char *dir, struct statvfs *fs, struct err *err)
{
	char path[PATH_MAX], *slash;

	snprintf(path, sizeof(path), "%s", dir);
	while (access(path, W_OK | X_OK) < 0) {
		slash = strrchr(path, '/');
		if (errno != ENOENT || !slash || slash == path) {
			err_errno(err, "lease store %s", dir);
			err->code = CNI_UNAVAILABLE;
			return -1;
		}
		*slash = '\0';
	}
	if (statvfs(path, fs) < 0)
		*fs = (struct statvfs){0};
	return 0;
}

/* Whether one lease more fits.  A slot of a page that the file has already needs no
 * room; a file system that tells no size (tmpfs without a limit) has room. */
static int probe_room(
	const struct ipam *ipam, size_t slot, const struct statvfs *fs, struct err *err)
{
	struct stat st;

	if (ipam->fd >= 0 && fstat(ipam->fd, &st) == 0 &&
		lease_slot_offset(slot + 1) <= (size_t)st.st_blocks * 512)
		return 0;
	if (fs->f_blocks && fs->f_bfree == 0)
		return err_set(err, CNI_UNAVAILABLE, "lease store %s: no space left", ipam->dir);
	if (ipam->fd < 0 && fs->f_files && fs->f_ffree == 0)
		return err_set(err, CNI_UNAVAILABLE, "lease store %s: no inode left", ipam->dir);
	return 0;
}

int ipam_probe(const struct ipam_place *place, const struct lease_want *want, struct err *err)
{
	_cleanup_ipam_ struct ipam ipam = IPAM_OF(place);
	enum cause cause;
	struct lease lease;
	struct statvfs fs;
	size_t slot;

	if (ipam_open(&ipam, false, &cause, err) < 0 ||
		(cause != CAUSE_NONE && renew(&ipam, cause, false, err) < 0) ||
		(place->shared && open_others(&ipam, err) < 0) ||
		choose(&ipam, want, false, &lease, &slot, err) < 0 ||
		probe_dir(ipam.dir, &fs, err) < 0)
		return -1;
	return probe_room(&ipam, slot, &fs, err);
}

int ipam_list(const struct ipam_place *place, struct arena *mem, struct lease **leases,
	size_t *count, struct err *err)
{
	_cleanup_ipam_ struct ipam ipam = IPAM_OF(place);
	enum cause cause;
	size_t slots;

	*leases = NULL;
	*count = 0;
	if (open_to_remove(&ipam, &cause, err) < 0)
		return -1;
	if (cause == CAUSE_NONE && has_damage(&ipam.store))
		cause = CAUSE_DAMAGED;
	if (cause == CAUSE_DAMAGED && place->links && renew(&ipam, cause, true, err) < 0)
		return -1;
	slots = lease_slot_count(&ipam.store);
	for (size_t i = 0; i < slots; i++) {
		struct lease lease;

		if (lease_decode(&ipam.store, i, &lease) && lease.state == LEASE_HELD)
			*ARENA_PUSH(mem, *leases, count) = lease;
	}
	return 0;
}
