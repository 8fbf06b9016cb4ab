/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/outputs.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

#define OUTPUT_MAX_BYTES (1u << 20)

static int write_text_if_changed(const char *path, const char *text, size_t len, struct err *err)
{
	_cleanup_buf_ struct buf have = {0};
	struct err ignored;

	if (file_read(path, OUTPUT_MAX_BYTES, &have, &ignored) == 0 && have.len == len &&
		memcmp(have.text, text, len) == 0)
		return 0;
	return file_replace(path, text, len, 0644, err);
}

/* Takes over `json`. */
static int write_if_changed(const char *path, json_t *json, struct err *err)
{
	_cleanup_free_ char *text = json_dumps(json, JSON_INDENT(2));
	size_t len;

	json_decref(json);
	if (!text)
		return err_set(err, ENOMEM, "%s: cannot write JSON", path);
	len = strlen(text);
	text = xrealloc(text, len + 2);
	text[len++] = '\n';
	return write_text_if_changed(path, text, len, err);
}

static json_t *pod_cidrs(const struct node *self)
{
	json_t *list = json_array();
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < self->pod_cidrs.n; i++)
		json_array_append_new(list,
			json_string(prefix_format(&self->pod_cidrs.items[i], text)));
	return list;
}

int outputs_write_node(const char *run_dir, const struct cluster *cluster, const struct node *self,
	unsigned mtu, struct err *err)
{
	json_t *json = json_pack("{s:i, s:s, s:s, s:s, s:o, s:s}", "version", 1, "node", self->name,
		"mode", cni_mode_name(cluster->cni.mode), "bridge", cluster->cni.bridge, "podCIDRs", pod_cidrs(self),
		"binDir", cluster->cni.bin_dir);
	char path[PATH_MAX];

	if (mtu)
		json_object_set_new(json, "mtu", json_integer(mtu));
	snprintf(path, sizeof(path), "%s/node.json", run_dir);
	return write_if_changed(path, json, err);
}

static int copy_node(const char *from_dir, const char *to_dir, struct err *err)
{
	_cleanup_buf_ struct buf text = {0};
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/node.json", from_dir);
	if (file_read(path, OUTPUT_MAX_BYTES, &text, err) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/node.json", to_dir);
	return write_text_if_changed(path, buf_text(&text), text.len, err);
}

int outputs_save_node(const char *run_dir, const char *state_dir, struct err *err)
{
	return copy_node(run_dir, state_dir, err);
}

int outputs_put_node_back(const char *run_dir, const char *state_dir, struct err *err)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/node.json", run_dir);
	if (access(path, F_OK) == 0 || copy_node(state_dir, run_dir, err) == 0 ||
		err->code == ENOENT)
		return 0;
	return -1;
}

static void conflist_path(const struct cluster *cluster, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/10-roost.conflist", cluster->cni.conf_dir);
}

bool outputs_are_there(const char *run_dir, const struct cluster *cluster)
{
	char node[PATH_MAX], conflist[PATH_MAX];

	snprintf(node, sizeof(node), "%s/node.json", run_dir);
	conflist_path(cluster, conflist);
	return access(node, F_OK) == 0 && access(conflist, F_OK) == 0;
}

void outputs_remove_conflist(const struct cluster *cluster)
{
	char path[PATH_MAX];

	conflist_path(cluster, path);
	unlink(path);
}

/* Appends a plugin of somebody else's when it is installed. */
static void add_if_installed(json_t *plugins, const char *bin_dir, const char *type,
	const char *capability)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", bin_dir, type);
	if (access(path, X_OK) == 0)
		json_array_append_new(plugins,
			json_pack("{s:s, s:{s:b}}", "type", type, "capabilities", capability, 1));
}

int outputs_write_conflist(const struct cluster *cluster, const struct node *self, struct err *err)
{
	char path[PATH_MAX];
	json_t *plugins;

	conflist_path(cluster, path);
	if (self->pod_cidrs.n == 0) {
		if (unlink(path) < 0 && errno != ENOENT)
			return err_errno(err, "%s", path);
		return 0;
	}
	/* libcni before 1.3 reads cniVersion only, and refuses 1.1.0; later ones take the
	 * newest of cniVersions that they know (CNI spec 1.1.0, section 1). */
	/* podCIDRs, MTU and the rest stand in node.json, read at each ADD: so this file
	 * does not change with them and no runtime has to read it again. */
	plugins = json_array();
	json_array_append_new(plugins,
		json_pack("{s:s, s:{s:s}}", "type", "roost", "ipam", "type", "roost"));
	add_if_installed(plugins, cluster->cni.bin_dir, "portmap", "portMappings");
	add_if_installed(plugins, cluster->cni.bin_dir, "bandwidth", "bandwidth");
	return write_if_changed(path,
		json_pack("{s:s, s:[ss], s:s, s:o}", "cniVersion", "1.0.0", "cniVersions", "1.0.0",
			"1.1.0", "name", OUTPUTS_NETWORK, "plugins", plugins),
		err);
}
