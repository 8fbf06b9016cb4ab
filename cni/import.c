/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "import.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "code.h"

/* The wall clock may have been set since the pod was made, by as much as this.  Too
 * old a record that is taken for a live one costs an address; the other way round
 * two pods would have the same. */
#define CLOCK_SLACK_S 3600

static int io_error(const char *dir, const char *name, struct err *err)
{
	err_errno(err, "importing %s/%s", dir, name);
	err->code = CNI_IO;
	return -1;
}

static time_t boot_time(void)
{
	struct timespec now = {0}, up = {0};

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &up);
	return now.tv_sec - up.tv_sec;
}

/* The bytes of a record; *len is 0 for one that is nobody's. */
static int read_record(int dir_fd, const char *dir, const char *name, char *text, size_t size,
	ssize_t *len, struct err *err)
{
	_cleanup_close_ int fd =
		openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	*len = 0;
	if (fd < 0 && errno == ENOENT) /* released meanwhile */
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return io_error(dir, name, err);
	/* The change time: that of the contents may come out of a backup. */
	if (!S_ISREG(st.st_mode) || st.st_ctime < boot_time() - CLOCK_SLACK_S)
		return 0;
	*len = read(fd, text, size - 1);
	if (*len < 0)
		return io_error(dir, name, err);
	text[*len] = '\0';
	return 0;
}

/* One line; false when it does not fit. */
static bool take_line(char **text, char *room, size_t size)
{
	size_t len = strcspn(*text, "\r\n");

	if (len >= size)
		return false;
	memcpy(room, *text, len);
	room[len] = '\0';
	*text += len;
	*text += strspn(*text, "\r\n");
	return true;
}

/* The lease of this attachment with room for one address more. */
static struct lease *lease_for(
	const struct lease *want, struct arena *mem, struct lease **leases, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
		if (strcmp((*leases)[i].container, want->container) == 0 &&
			strcmp((*leases)[i].ifname, want->ifname) == 0 &&
			(*leases)[i].addr_count < LEASE_ADDRS_MAX)
			return &(*leases)[i];
	*ARENA_PUSH(mem, *leases, count) = *want;
	return &(*leases)[*count - 1];
}

static int import_file(int dir_fd, const char *dir, const char *name, struct arena *mem,
	struct lease **leases, size_t *count, struct err *err)
{
	struct lease record = {.state = LEASE_HELD, .foreign = true}, *lease;
	char bytes[512], *text = bytes;
	struct addr addr;
	ssize_t len;

	if (!addr_parse(name, &addr)) /* "lock", "last_reserved_ip.0" */
		return 0;
	if (read_record(dir_fd, dir, name, bytes, sizeof(bytes), &len, err) < 0)
		return -1;
	if (len == 0) /* what host-local leaves when it is killed before it writes */
		return 0;
	if (!take_line(&text, record.container, sizeof(record.container)) ||
		!take_line(&text, record.ifname, sizeof(record.ifname)))
		return err_set(err, CNI_IO,
			"importing %s/%s: this is no record of host-local; delete it if no pod has "
			"the address, or set ipam.importDir to \"\"",
			dir, name);
	if (!*record.ifname) /* host-local before 0.8 knew no interfaces */
		strcpy(record.ifname, "eth0");
	lease = lease_for(&record, mem, leases, count);
	lease->addrs[lease->addr_count++] = addr;
	return 0;
}

int import_host_local(
	const char *dir, struct arena *mem, struct lease **leases, size_t *count, struct err *err)
{
	DIR *stream = opendir(dir);
	struct dirent *entry;
	int failed = 0;

	*leases = NULL;
	*count = 0;
	if (!stream)
		return errno == ENOENT ? 0 : io_error(dir, "", err);
	while (!failed && (errno = 0, entry = readdir(stream)))
		failed = import_file(dirfd(stream), dir, entry->d_name, mem, leases, count, err);
	if (!failed && errno)
		failed = io_error(dir, "", err);
	closedir(stream);
	return failed;
}
