/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"

static int read_all(int fd, const char *path, size_t limit, struct buf *out, struct err *err)
{
	size_t total = 0;

	for (;;) {
		char chunk[16384];
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "%s", path);
		if (n == 0)
			return 0;
		total += (size_t)n;
		if (total > limit)
			return err_set(err, EFBIG, "%s: larger than %zu bytes", path, limit);
		buf_add(out, chunk, (size_t)n);
	}
}

int file_read(const char *path, size_t limit, struct buf *out, struct err *err)
{
	/* O_NONBLOCK: opening a fifo must not hang; it changes nothing for a file. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return err_errno(err, "%s", path);
	if (fstat(fd, &st) < 0)
		return err_errno(err, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EINVAL, "%s: not a regular file", path);
	return read_all(fd, path, limit, out, err);
}

int file_read_input(const char *path, size_t limit, struct buf *out, struct err *err)
{
	_cleanup_close_ int fd = -1;

	if (strcmp(path, "-") == 0)
		return read_all(STDIN_FILENO, "standard input", limit, out, err);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_errno(err, "%s", path) : read_all(fd, path, limit, out, err);
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int file_create(const char *path, const void *data, size_t len, mode_t mode, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	int failed;

	if (fd < 0)
		return err_errno(err, "%s", path);
	failed = fchmod(fd, mode) < 0 || write_all(fd, data, len) < 0 || fsync(fd) < 0;
	if (close(fd) < 0 || failed) {
		err_errno(err, "%s", path);
		unlink(path);
		return -1;
	}
	return 0;
}

int file_sync_dir(const char *path, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return err_errno(err, "%s", path);
	return 0;
}

int file_replace(const char *path, const void *data, size_t len, mode_t mode, struct err *err)
{
	char dir[PATH_MAX], temp[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int dir_len = slash && slash > path ? (int)(slash - path) : 1; /* 1: "." and "/" */

	if (snprintf(dir, sizeof(dir), "%.*s", dir_len, slash ? path : ".") >= (int)sizeof(dir) ||
		snprintf(temp, sizeof(temp), "%s/.%s.tmp", dir, slash ? slash + 1 : path) >=
			(int)sizeof(temp))
		return err_set(err, ENAMETOOLONG, "%s: path too long", path);
	/* One writer per file: a left-over is from our own crash. */
	if (unlink(temp) < 0 && errno != ENOENT)
		return err_errno(err, "%s", temp);
	if (file_create(temp, data, len, mode, err) < 0)
		return -1;
	if (rename(temp, path) < 0) {
		err_errno(err, "%s", path);
		unlink(temp);
		return -1;
	}
	return file_sync_dir(dir, err);
}

int file_mkdirs(const char *path, mode_t mode, struct err *err)
{
	char part[PATH_MAX];
	size_t len = strlen(path);
	struct stat st;

	if (len == 0 || len >= sizeof(part))
		return err_set(err, ENAMETOOLONG, "%s: bad path", path);
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return err_errno(err, "%s", part);
	}
	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return err_set(err, ENOTDIR, "%s: %s", path, strerror(ENOTDIR));
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int file_remove_tree(const char *path, struct err *err)
{
	if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT)
		return err_errno(err, "%s", path);
	return 0;
}
