/* SPDX-License-Identifier: GPL-2.0-or-later */
/* outputs: what the CNI plugin and the runtime are told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

UNIT(outputs, node_json_says_how_pods_are_made_here, the_conflist_is_the_same_in_both_modes)
