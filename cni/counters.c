/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "counters.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

#define FORMAT 1

const char *const counters_bounds[COUNTERS_BUCKETS] = {
	"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "1", "5"};
static const uint64_t bounds_ns[COUNTERS_BUCKETS] = {
	5000000, 10000000, 25000000, 50000000, 100000000, 250000000, 1000000000, 5000000000};

uint64_t counters_now_ns(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Made aside, so that nobody meets it without its size; of two the first one stays. */
static int create(const char *path)
{
	static const struct counters none = {.version = FORMAT};
	char temp[PATH_MAX + 16];
	struct err ignored;

	snprintf(temp, sizeof(temp), "%s.%ld", path, (long)getpid());
	if (file_create(temp, &none, sizeof(none), 0644, &ignored) == 0 && link(temp, path) < 0)
		errno = EEXIST;
	unlink(temp);
	return open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
}

static void add(uint64_t *to, uint64_t n)
{
	__atomic_fetch_add(to, n, __ATOMIC_RELAXED);
}

void counters_note(const char *data_dir, enum counted what, bool failed, uint64_t ns)
{
	struct counters *counters;
	char path[PATH_MAX];
	size_t bucket = 0;
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/.counters", data_dir);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		fd = create(path);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size != sizeof(*counters))
		return; /* the end of the process closes it */
	counters = mmap(NULL, sizeof(*counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (counters == MAP_FAILED || counters->version != FORMAT)
		return;
	if (failed) {
		add(&counters->of[what].failed, 1);
		return;
	}
	while (bucket < COUNTERS_BUCKETS && ns > bounds_ns[bucket])
		bucket++;
	add(&counters->of[what].ns, ns);
	add(&counters->of[what].buckets[bucket], 1);
}

int counters_read(const char *data_dir, struct counters *counters, struct err *err)
{
	_cleanup_buf_ struct buf bytes = {0};
	char path[PATH_MAX];

	memset(counters, 0, sizeof(*counters));
	snprintf(path, sizeof(path), "%s/.counters", data_dir);
	if (file_read(path, sizeof(*counters), &bytes, err) < 0)
		return err->code == ENOENT ? 0 : -1;
	if (bytes.len == sizeof(*counters))
		memcpy(counters, bytes.text, sizeof(*counters));
	if (counters->version == FORMAT)
		return 0;
	memset(counters, 0, sizeof(*counters));
	return err_set(err, EINVAL, "%s: not written by this version of Roost", path);
}
