/* SPDX-License-Identifier: GPL-2.0-or-later */
/* render_tree -- renders for the golden tests, with nothing of a daemon around it.
 *
 *	render_tree FILE                              the names of the nodes
 *	render_tree FILE NODE TEMPLATES SNIPPETS OUT  NODE's files, below the folder OUT
 *
 * Beside FILE there may be a services.json, {"services": [...], "endpointSlices": [...]}
 * as an API server has them. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "bird/render.h"
#include "kernel/masquerade.h"
#include "kube/service.h"
#include "model/decode.h"

static int write_tree(const struct fileset *files, const char *dir, struct err *err)
{
	for (size_t i = 0; i < files->n; i++) {
		const struct file_text *file = &files->items[i];
		char path[4096];

		if (snprintf(path, sizeof(path), "%s/%s", dir, file->name) >= (int)sizeof(path))
			return err_set(err, 1, "%s: path too long", dir);
		if (file_create(path, file->text, file->len, 0644, err) < 0)
			return -1;
	}
	return 0;
}

/* No file where there is to be no table. */
static int write_masquerade(const struct cluster *cluster, const struct node *self,
	const char *dir, struct err *err)
{
	_cleanup_buf_ struct buf text = {0};
	char path[4096];

	masquerade_render(cluster, self, &text);
	if (!text.len)
		return 0;
	snprintf(path, sizeof(path), "%s/masquerade.nft", dir);
	return file_create(path, text.text, text.len, 0644, err);
}

static int reduce_all(const json_t *objects, const char *node_name, bool services, json_t *reduced,
	struct err *err)
{
	const json_t *object;
	size_t i;

	json_array_foreach (objects, i, object) {
		json_t *one = services ? reduce_service(object, err)
				       : reduce_slice(object, node_name, err);

		if (!one)
			return -1;
		json_array_append_new(reduced, one);
	}
	return 0;
}

static int read_services(struct cluster *cluster, const struct node *self, const char *file,
	struct arena *arena, struct err *err)
{
	json_t *services = json_array(), *slices = json_array(), *objects;
	const char *slash = strrchr(file, '/');
	json_error_t error;
	char path[4096];
	int rc = 0;

	snprintf(path, sizeof(path), "%.*s/services.json", slash ? (int)(slash - file) : 1,
		slash ? file : ".");
	objects = json_load_file(path, 0, &error);
	if (!objects && json_error_code(&error) != json_error_cannot_open_file)
		rc = err_set(err, 1, "%s: %s", path, error.text);
	if (reduce_all(json_object_get(objects, "services"), self->name, true, services, err) < 0 ||
		reduce_all(json_object_get(objects, "endpointSlices"), self->name, false, slices,
			err) < 0)
		rc = -1;
	if (rc == 0)
		services_decode(services, slices, cluster, self, arena);
	json_decref(objects);
	json_decref(services);
	json_decref(slices);
	return rc;
}

static int render_tree(struct cluster *cluster, char **argv, struct arena *arena,
	struct err *err)
{
	const struct node *self = cluster_find_node(cluster, argv[2]);
	struct fileset templates = {0}, snippets = {0};
	struct rendered rendered;

	if (!self)
		return err_set(err, 1, "no node %s", argv[2]);
	if (read_services(cluster, self, argv[1], arena, err) < 0)
		return -1;
	if (fileset_read_dir(&templates, arena, argv[3], "", err) < 0 ||
		fileset_read_dir(&snippets, arena, argv[4], "bird.d/", err) < 0 ||
		render(cluster, self, &templates, &snippets, arena, &rendered, err) < 0)
		return -1;
	if (write_masquerade(cluster, self, argv[5], err) < 0)
		return -1;
	return write_tree(&rendered.files, argv[5], err);
}

static int run(int argc, char **argv, struct arena *arena, struct err *err)
{
	const char *slash = strrchr(argv[1], '/');
	_cleanup_buf_ struct buf text = {0};
	struct cluster *cluster;

	if (file_read(argv[1], DECODE_MAX_BYTES, &text, err) < 0 ||
		decode_cluster(slash ? slash + 1 : argv[1], buf_text(&text), text.len, arena,
			&cluster, err) < 0)
		return -1;
	if (argc == 6)
		return render_tree(cluster, argv, arena, err);
	for (size_t i = 0; i < cluster->n_nodes; i++)
		puts(cluster->nodes[i].name);
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_arena_ struct arena arena = {0};
	struct err err;

	if (argc != 2 && argc != 6) {
		fprintf(stderr, "usage: render_tree FILE [NODE TEMPLATES SNIPPETS OUT]\n");
		return 2;
	}
	if (run(argc, argv, &arena, &err) < 0) {
		fprintf(stderr, "render_tree: %s\n", err.msg);
		return 1;
	}
	return 0;
}
