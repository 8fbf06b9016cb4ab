/* SPDX-License-Identifier: GPL-2.0-or-later */
/* outputs: what the CNI plugin and the runtime are told. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/outputs.h"
#include "base/file.h"
#include "unit.h"

static struct prefix pod_cidr = {{AF_INET, {10, 244, 1, 0}}, 24};
static struct node self = {.name = "node1", .pod_cidrs = {&pod_cidr, 1}};

/* The file of that name, after it was written to a folder of its own. */
static void read_back(const char *dir, const char *name, char *text, size_t size)
{
	_cleanup_buf_ struct buf have = {0};
	struct err err;
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	ck_assert_msg(file_read(path, size - 1, &have, &err) == 0, "%s", err.msg);
	snprintf(text, size, "%s", buf_text(&have));
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(node_json_says_how_pods_are_made_here)
{
	static const struct {
		enum cni_mode mode;
		const char *text;
	} rows[] = {{CNI_MODE_BRIDGE, "\"mode\": \"bridge\""},
		{CNI_MODE_ROUTED, "\"mode\": \"routed\""}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cluster cluster = {.cni = {.mode = rows[i].mode,
						  .bridge = "roost0",
						  .bin_dir = "/opt/cni/bin"}};
		char dir[] = "/tmp/check_outputs.XXXXXX", text[1024];
		struct err err;

		ck_assert_ptr_nonnull(mkdtemp(dir));
		ck_assert_int_eq(outputs_write_node(dir, &cluster, &self, 1450, &err), 0);
		read_back(dir, "node.json", text, sizeof(text));
		ck_assert_ptr_nonnull(strstr(text, rows[i].text));
		ck_assert_ptr_nonnull(strstr(text, "\"mtu\": 1450"));
		ck_assert_ptr_nonnull(strstr(text, "\"10.244.1.0/24\""));
	}
}
END_TEST

START_TEST(the_conflist_is_the_same_in_both_modes)
{
	char texts[2][1024];

	for (int mode = CNI_MODE_BRIDGE; mode <= CNI_MODE_ROUTED; mode++) {
		char dir[] = "/tmp/check_outputs.XXXXXX";
		struct cluster cluster = {.cni = {.mode = (enum cni_mode)mode,
						  .bridge = "roost0",
						  .bin_dir = "/nowhere",
						  .conf_dir = dir}};
		struct err err;

		ck_assert_ptr_nonnull(mkdtemp(dir));
		ck_assert_int_eq(outputs_write_conflist(&cluster, &self, &err), 0);
		read_back(dir, "10-roost.conflist", texts[mode], sizeof(texts[mode]));
	}
	ck_assert_str_eq(texts[0], texts[1]);
}
END_TEST

/* Writes the list and is killed when the file gets larger than this. */
static void write_until(const char *dir, rlim_t size)
{
	struct cluster cluster = {
		.cni = {.bridge = "roost0", .bin_dir = "/nowhere", .conf_dir = dir}};
	const struct rlimit limit = {size, size};
	struct err err;

	signal(SIGXFSZ, SIG_DFL);
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_FSIZE, &limit) < 0)
		_exit(2);
	_exit(outputs_write_conflist(&cluster, &self, &err) < 0);
}

/* A runtime reads all files of the folder that end like this (libcni, ConfFiles). */
static void only_file_is(const char *dir, const char *text)
{
	_cleanup_buf_ struct buf have = {0};
	char path[256];
	struct dirent *entry;
	struct err err;
	DIR *stream = opendir(dir);

	ck_assert_ptr_nonnull(stream);
	while ((entry = readdir(stream))) {
		const char *end = strrchr(entry->d_name, '.');

		if (strcmp(entry->d_name, "10-roost.conflist") == 0)
			continue;
		ck_assert_ptr_nonnull(end);
		ck_assert_msg(strcmp(end, ".conf") != 0 && strcmp(end, ".conflist") != 0 &&
				      strcmp(end, ".json") != 0,
			"%s", entry->d_name);
	}
	closedir(stream);
	snprintf(path, sizeof(path), "%s/10-roost.conflist", dir);
	ck_assert_msg(file_read(path, 4096, &have, &err) == 0, "%s", err.msg);
	ck_assert_str_eq(buf_text(&have), text);
}

START_TEST(killed_at_any_byte_of_the_conflist_the_old_one_stays_whole)
{
	char dir[] = "/tmp/check_outputs.XXXXXX", path[256];
	_cleanup_buf_ struct buf whole = {0};
	struct cluster cluster = {
		.cni = {.bridge = "roost0", .bin_dir = "/nowhere", .conf_dir = dir}};
	struct err err;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/10-roost.conflist", dir);
	ck_assert_int_eq(outputs_write_conflist(&cluster, &self, &err), 0);
	ck_assert_int_eq(file_read(path, 4096, &whole, &err), 0);
	ck_assert_uint_gt(whole.len, 100);
	ck_assert_int_eq(file_replace(path, "the old one", 11, 0644, &err), 0);
	for (size_t size = 0; size <= whole.len; size++) {
		int status;
		pid_t child;

		child = fork();
		ck_assert_int_ge(child, 0);
		if (child == 0)
			write_until(dir, size);
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		if (size == whole.len) {
			ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
			only_file_is(dir, buf_text(&whole));
			break;
		}
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ, "%d", status);
		only_file_is(dir, "the old one");
	}
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

UNIT(outputs, killed_at_any_byte_of_the_conflist_the_old_one_stays_whole,
	node_json_says_how_pods_are_made_here, the_conflist_is_the_same_in_both_modes)
