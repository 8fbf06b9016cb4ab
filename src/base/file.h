/* SPDX-License-Identifier: GPL-2.0-or-later */
/* file -- whole files, read with a limit and replaced atomically. */
#ifndef ROOST_FILE_H
#define ROOST_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "buf.h"
#include "err.h"

/* Appends the file's bytes to *out.  A file of more than `limit` bytes, or one
 * that is not a regular file, is an error; err->code is the errno (EFBIG). */
int file_read(const char *path, size_t limit, struct buf *out, struct err *err);

/* The same for what a person names on a command line: also a pipe, and "-" is standard
 * input.  It waits for whoever writes. */
int file_read_input(const char *path, size_t limit, struct buf *out, struct err *err);

/* Replaces `path` by rename(2): a reader sees the old bytes or the new ones, and
 * after a crash one of the two is on disk.  The temporary file is a dotfile in
 * the same folder, so that a folder watched for *.conf never shows it. */
int file_replace(const char *path, const void *data, size_t len, mode_t mode, struct err *err);

/* Creates a new file with these bytes and fsyncs it; it must not exist yet. */
int file_create(const char *path, const void *data, size_t len, mode_t mode, struct err *err);

/* fsync of a folder, so that a rename in it survives a crash. */
int file_sync_dir(const char *path, struct err *err);

/* mkdir -p; existing folders keep their mode. */
int file_mkdirs(const char *path, mode_t mode, struct err *err);

/* rm -rf of one path; a missing one is fine. */
int file_remove_tree(const char *path, struct err *err);

#endif
