/* SPDX-License-Identifier: GPL-2.0-or-later */
/* source/file: the one file and what stands beside it, read and watched. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "model/decode.h"
#include "source/file.h"
#include "unit.h"

/* Each test has an /etc/roost of its own. */
struct etc {
	char dir[32];
	struct event_base *base;
	struct source *source;
	unsigned calls; /* of "look again" */
};

static const char *in_etc(const struct etc *etc, const char *name)
{
	static char path[2][300];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", etc->dir, name);
	return path[turn];
}

static void put(const struct etc *etc, const char *name, const char *text)
{
	FILE *file = fopen(in_etc(etc, name), "w"); /* in place, as `cp` does it */

	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

static void make(const struct etc *etc, const char *name)
{
	struct err err;

	ck_assert_int_eq(file_mkdirs(in_etc(etc, name), 0755, &err), 0);
}

static void rename_to(const struct etc *etc, const char *from, const char *to)
{
	ck_assert_int_eq(rename(in_etc(etc, from), in_etc(etc, to)), 0);
}

static void link_to(const struct etc *etc, const char *target, const char *name)
{
	ck_assert_int_eq(symlink(target, in_etc(etc, name)), 0);
}

static void on_changed(void *arg)
{
	((struct etc *)arg)->calls++;
}

static void set_up(struct etc *etc)
{
	memset(etc, 0, sizeof(*etc));
	strcpy(etc->dir, "/tmp/check_source.XXXXXX");
	unit_make_dir(etc->dir);
	setenv("ROOST_ETC", etc->dir, 1);
	make(etc, "shipped");
	put(etc, "shipped/bird.conf", "shipped bird.conf");
	put(etc, "shipped/ipv4.conf", "shipped ipv4.conf");
	setenv("ROOST_TEMPLATES", in_etc(etc, "shipped"), 1);
	put(etc, "roost.yaml", "one");
	etc->base = event_base_new();
	etc->source = source_new(etc->base, in_etc(etc, "roost.yaml"), on_changed, etc);
}

static void tear_down(struct etc *etc)
{
	struct err err;

	source_free(etc->source);
	event_base_free(etc->base);
	ck_assert_int_eq(file_remove_tree(etc->dir, &err), 0);
}

static void watch(struct etc *etc)
{
	source_watch(etc->source);
	etc->calls = 0;
}

/* inotify queues an event before the system call that caused it returns: what is
 * not there now does not come. */
static bool seen(struct etc *etc)
{
	event_base_loop(etc->base, EVLOOP_NONBLOCK);
	return etc->calls > 0;
}

/* ---------------------------------------------------------------- reading */

START_TEST(everything_is_read)
{
	_cleanup_arena_ struct arena arena = {0};
	struct inputs inputs;
	struct etc etc;
	struct err err;

	set_up(&etc);
	make(&etc, "bird.d");
	put(&etc, "bird.d/10-mine.conf", "mine");
	ck_assert_int_eq(source_read(in_etc(&etc, "roost.yaml"), &arena, &inputs, &err), 0);
	ck_assert_str_eq(buf_text(&inputs.yaml), "one");
	ck_assert_uint_eq(inputs.templates.n, 2);
	ck_assert_str_eq(fileset_find(&inputs.snippets, "bird.d/10-mine.conf")->text, "mine");
	buf_free(&inputs.yaml);
	tear_down(&etc);
}
END_TEST

START_TEST(own_template_wins_over_the_shipped_one)
{
	_cleanup_arena_ struct arena arena = {0};
	struct inputs inputs;
	struct etc etc;
	struct err err;

	set_up(&etc);
	make(&etc, "bird-templates");
	put(&etc, "bird-templates/ipv4.conf", "own ipv4.conf");
	put(&etc, "bird-templates/more.conf", "own more.conf");
	ck_assert_int_eq(source_read(in_etc(&etc, "roost.yaml"), &arena, &inputs, &err), 0);
	ck_assert_uint_eq(inputs.templates.n, 3);
	ck_assert_str_eq(fileset_find(&inputs.templates, "bird.conf")->text, "shipped bird.conf");
	ck_assert_str_eq(fileset_find(&inputs.templates, "ipv4.conf")->text, "own ipv4.conf");
	ck_assert_str_eq(fileset_find(&inputs.templates, "more.conf")->text, "own more.conf");
	buf_free(&inputs.yaml);
	tear_down(&etc);
}
END_TEST

START_TEST(what_is_missing_is_named)
{
	_cleanup_arena_ struct arena arena = {0};
	struct inputs inputs;
	struct etc etc;
	struct err err;

	set_up(&etc);
	ck_assert_int_eq(source_read(in_etc(&etc, "none.yaml"), &arena, &inputs, &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_ptr_nonnull(strstr(err.msg, "/none.yaml: No such file or directory"));
	setenv("ROOST_TEMPLATES", "/nonexistent", 1);
	ck_assert_int_eq(source_read(in_etc(&etc, "roost.yaml"), &arena, &inputs, &err), -1);
	ck_assert_str_eq(err.msg, "no BIRD templates in /nonexistent");
	tear_down(&etc);
}
END_TEST

/* ---------------------------------------------------------------- watching */

START_TEST(reading_is_no_change)
{
	_cleanup_arena_ struct arena arena = {0};
	struct inputs inputs;
	struct etc etc;
	struct err err;

	set_up(&etc);
	watch(&etc);
	ck_assert_int_eq(source_read(in_etc(&etc, "roost.yaml"), &arena, &inputs, &err), 0);
	ck_assert(!seen(&etc));
	buf_free(&inputs.yaml);
	tear_down(&etc);
}
END_TEST

START_TEST(file_written_in_place_is_seen)
{
	struct etc etc;

	set_up(&etc);
	watch(&etc);
	put(&etc, "roost.yaml", "two");
	ck_assert(seen(&etc));
	tear_down(&etc);
}
END_TEST

START_TEST(file_renamed_over_the_old_one_is_seen)
{
	struct etc etc;

	set_up(&etc);
	watch(&etc);
	put(&etc, "roost.yaml.new", "two");
	watch(&etc);
	rename_to(&etc, "roost.yaml.new", "roost.yaml");
	ck_assert(seen(&etc));
	tear_down(&etc);
}
END_TEST

/* vim: the old one becomes the backup, a new one takes its name. */
START_TEST(file_that_went_and_came_is_seen)
{
	struct etc etc;

	set_up(&etc);
	watch(&etc);
	rename_to(&etc, "roost.yaml", "roost.yaml~");
	ck_assert(seen(&etc));
	watch(&etc);
	put(&etc, "roost.yaml", "two");
	ck_assert(seen(&etc));
	tear_down(&etc);
}
END_TEST

/* Kubernetes: roost.yaml -> ..data/roost.yaml, ..data -> ..1, and ..data is replaced. */
START_TEST(swap_of_a_config_map_is_seen)
{
	struct etc etc;

	set_up(&etc);
	ck_assert_int_eq(unlink(in_etc(&etc, "roost.yaml")), 0);
	make(&etc, "..1");
	put(&etc, "..1/roost.yaml", "one");
	link_to(&etc, "..1", "..data");
	link_to(&etc, "..data/roost.yaml", "roost.yaml");
	make(&etc, "..2");
	put(&etc, "..2/roost.yaml", "two");
	link_to(&etc, "..2", "..data_tmp");
	watch(&etc);
	rename_to(&etc, "..data_tmp", "..data");
	ck_assert(seen(&etc));
	tear_down(&etc);
}
END_TEST

START_TEST(file_behind_a_link_is_watched_where_it_is)
{
	struct etc etc;

	set_up(&etc);
	ck_assert_int_eq(unlink(in_etc(&etc, "roost.yaml")), 0);
	make(&etc, "elsewhere");
	put(&etc, "elsewhere/real.yaml", "one");
	link_to(&etc, "elsewhere/real.yaml", "roost.yaml");
	watch(&etc);
	put(&etc, "elsewhere/real.yaml", "two");
	ck_assert(seen(&etc));
	tear_down(&etc);
}
END_TEST

START_TEST(snippets_and_templates_are_watched)
{
	static const char *const folders[] = {"bird.d", "bird-templates"};

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		char name[64];
		struct etc etc;

		snprintf(name, sizeof(name), "%s/x.conf", folders[i]);
		set_up(&etc);
		make(&etc, folders[i]);
		watch(&etc);
		put(&etc, name, "one");
		ck_assert(seen(&etc));
		watch(&etc);
		put(&etc, name, "two");
		ck_assert(seen(&etc));
		watch(&etc);
		ck_assert_int_eq(unlink(in_etc(&etc, name)), 0);
		ck_assert(seen(&etc));
		tear_down(&etc);
	}
}
END_TEST

START_TEST(folder_that_is_not_there_yet_is_seen_to_appear)
{
	struct etc etc;

	set_up(&etc);
	watch(&etc);
	make(&etc, "bird.d");
	ck_assert(seen(&etc));
	watch(&etc); /* the next load looks inside */
	put(&etc, "bird.d/x.conf", "one");
	ck_assert(seen(&etc));
	tear_down(&etc);
}
END_TEST

START_TEST(whole_etc_that_appears_later_is_seen)
{
	char path[300];
	struct etc etc;

	set_up(&etc);
	source_free(etc.source);
	snprintf(path, sizeof(path), "%s/later/etc/roost/roost.yaml", etc.dir);
	etc.source = source_new(etc.base, path, on_changed, &etc);
	watch(&etc);
	make(&etc, "later");
	ck_assert(seen(&etc));
	watch(&etc);
	make(&etc, "later/etc/roost");
	ck_assert(seen(&etc));
	watch(&etc);
	put(&etc, "later/etc/roost/roost.yaml", "one");
	ck_assert(seen(&etc));
	tear_down(&etc);
}
END_TEST

START_TEST(many_changes_are_one_call)
{
	struct etc etc;

	set_up(&etc);
	watch(&etc);
	for (int i = 0; i < 500; i++)
		put(&etc, "roost.yaml", "again");
	ck_assert(seen(&etc));
	ck_assert_uint_eq(etc.calls, 1);
	ck_assert(!(etc.calls = 0, seen(&etc)));
	tear_down(&etc);
}
END_TEST

/* ---------------------------------------------------------------- passwords */

/* A cluster whose `session` and whose one peer have a passwordFile each. */
static struct cluster *with_passwords(const struct etc *etc, struct arena *arena)
{
	struct cluster *cluster;
	struct err err;
	const char *text = arena_printf(arena,
		"cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16]}\n"
		"nodes:\n- {name: a, addresses: [10.0.0.1], labels: {rack: a}}\n"
		"- {name: b, addresses: [10.0.0.2]}\n"
		"session: {passwordFile: %s/secrets/mesh}\n"
		"peers: [{name: tor, address: 10.0.0.9, asNumber: 1, nodeSelector: {rack: a},\n"
		"         passwordFile: %s/secrets/tor}]\n",
		etc->dir, etc->dir);

	ck_assert_msg(decode_cluster("roost.yaml", text, strlen(text), arena, &cluster, &err) == 0,
		"%s", err.msg);
	return cluster;
}

static int read_passwords(struct etc *etc, struct cluster *cluster, const char *node,
	struct err *err)
{
	static struct arena arena; /* kept: the passwords live in it */

	return source_read_passwords(etc->source, cluster, cluster_find_node(cluster, node), &arena,
		err);
}

START_TEST(password_is_one_line_without_its_end)
{
	static const char *const good[][2] = {{"abc", "abc"}, {"abc\n", "abc"}, {"abc\r\n", "abc"},
		{" a b;c' ", " a b;c' "},
		{"12345678901234567890123456789012345678901234567890123456789012345678901234567890\n",
			"12345678901234567890123456789012345678901234567890123456789012345678901234567890"}};
	static const char *const bad[] = {"", "\n", "a\nb\n", "a\"b", "a\tb", "\xc3\xa4",
		"123456789012345678901234567890123456789012345678901234567890123456789012345678901"};
	_cleanup_arena_ struct arena arena = {0};
	struct cluster *cluster;
	struct etc etc;
	struct err err;

	set_up(&etc);
	make(&etc, "secrets");
	put(&etc, "secrets/mesh", "m");
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		cluster = with_passwords(&etc, &arena);
		put(&etc, "secrets/tor", good[i][0]);
		ck_assert_msg(read_passwords(&etc, cluster, "a", &err) == 0, "%s", err.msg);
		ck_assert_str_eq(cluster->session.password, "m");
		ck_assert_str_eq(cluster->peers[0].session.password, good[i][1]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cluster = with_passwords(&etc, &arena);
		put(&etc, "secrets/tor", bad[i]);
		ck_assert_int_eq(read_passwords(&etc, cluster, "a", &err), -1);
		ck_assert_str_eq(err.msg,
			arena_printf(&arena, "roost.yaml:7:24: peers[0].passwordFile: %s/secrets/tor: expected one line of 1 to 80 "
					     "printable ASCII characters without \"", etc.dir));
	}
	tear_down(&etc);
}
END_TEST

START_TEST(password_that_a_node_does_not_need_may_be_missing)
{
	_cleanup_arena_ struct arena arena = {0};
	struct cluster *cluster;
	struct etc etc;
	struct err err;

	set_up(&etc);
	cluster = with_passwords(&etc, &arena);
	ck_assert_int_eq(read_passwords(&etc, cluster, "b", &err), -1);
	ck_assert_str_eq(err.msg, arena_printf(&arena,
		"roost.yaml:5:25: session.passwordFile: %s/secrets/mesh: No such file or directory", etc.dir));
	make(&etc, "secrets");
	put(&etc, "secrets/mesh", "m");
	ck_assert_int_eq(read_passwords(&etc, cluster, "b", &err), 0);
	ck_assert_int_eq(read_passwords(&etc, cluster, "a", &err), -1);
	cluster->topology = TOPOLOGY_NONE; /* then the mesh's is not needed */
	ck_assert_int_eq(unlink(in_etc(&etc, "secrets/mesh")), 0);
	ck_assert_int_eq(read_passwords(&etc, cluster, "b", &err), 0);
	tear_down(&etc);
}
END_TEST

START_TEST(password_file_is_watched_where_it_is)
{
	_cleanup_arena_ struct arena arena = {0};
	struct cluster *cluster;
	struct etc etc;
	struct err err;

	set_up(&etc);
	cluster = with_passwords(&etc, &arena);
	watch(&etc);
	ck_assert_int_eq(read_passwords(&etc, cluster, "b", &err), -1);
	make(&etc, "secrets"); /* the folder it lacks */
	ck_assert(seen(&etc));
	watch(&etc);
	ck_assert_int_eq(read_passwords(&etc, cluster, "b", &err), -1);
	ck_assert(!seen(&etc));
	put(&etc, "secrets/mesh", "m");
	ck_assert(seen(&etc));
	watch(&etc);
	ck_assert_int_eq(read_passwords(&etc, cluster, "b", &err), 0);
	ck_assert(!seen(&etc));
	put(&etc, "secrets/mesh", "n");
	ck_assert(seen(&etc));
	tear_down(&etc);
}
END_TEST

/* ---------------------------------------------------------------- who else may read it */

static struct cluster *decode(const struct etc *etc, struct arena *arena)
{
	_cleanup_buf_ struct buf yaml = {0};
	struct cluster *cluster = NULL;
	struct err err;

	ck_assert_int_eq(file_read(in_etc(etc, "roost.yaml"), 10000, &yaml, &err), 0);
	ck_assert_msg(decode_cluster("roost.yaml", buf_text(&yaml), yaml.len, arena, &cluster, &err) == 0,
		"%s", err.msg);
	return cluster;
}

#define OPEN_YAML                                                                                  \
	"cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16]}\n"                       \
	"nodes: [{name: n1, addresses: [10.0.0.1], podCIDRs: [10.244.1.0/24]}]\n"

START_TEST(what_everybody_may_read_or_write_is_warned_of_once)
{
	static const struct {
		const char *session; /* "passwordFile": of the test's own */
		mode_t yaml, secret;
		const char *warnings[3];
	} cases[] = {
		{"", 0644, 0644, {NULL}},
		{"", 0666, 0644, {"roost.yaml: everybody may write it: chmod o-w"}},
		{"password: abc", 0640, 0640, {NULL}},
		{"password: abc", 0644, 0640,
			{"roost.yaml: has a password in it, and everybody may read it: "
			 "chgrp roost, chmod 0640"}},
		{"passwordFile", 0644, 0640, {NULL}},
		{"passwordFile", 0644, 0600, {NULL}},
		{"passwordFile", 0644, 0646,
			{"secret: everybody may write it: chmod o-w",
				"secret: has a password in it, and everybody may read it: "
				"chgrp roost, chmod 0640"}},
		{"passwordFile: /nowhere", 0644, 0640, {NULL}},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_arena_ struct arena arena = {0};
		struct cluster *cluster;
		char text[1000], session[400];
		struct etc etc;
		size_t n = 0;

		set_up(&etc);
		put(&etc, "secret", "abc\n");
		snprintf(session, sizeof(session), "%s%s%s", cases[i].session,
			strcmp(cases[i].session, "passwordFile") == 0 ? ": " : "",
			strcmp(cases[i].session, "passwordFile") == 0 ? in_etc(&etc, "secret") : "");
		/* A peer has the session's password too: still one warning. */
		snprintf(text, sizeof(text),
			OPEN_YAML "session: {%s}\npeers: [{name: tor, address: 10.0.0.9, asNumber: 65001}]\n",
			session);
		put(&etc, "roost.yaml", text);
		ck_assert_int_eq(chmod(in_etc(&etc, "roost.yaml"), cases[i].yaml), 0);
		ck_assert_int_eq(chmod(in_etc(&etc, "secret"), cases[i].secret), 0);
		cluster = decode(&etc, &arena);
		cluster->n_warnings = 0; /* of other things */
		source_warn_of_open_files(in_etc(&etc, "roost.yaml"), cluster, &cluster->nodes[0], &arena);
		for (; n < ARRAY_LEN(cases[i].warnings) && cases[i].warnings[n]; n++) {
			ck_assert_uint_lt(n, cluster->n_warnings);
			ck_assert_str_eq(strrchr(cluster->warnings[n], '/') + 1, cases[i].warnings[n]);
		}
		ck_assert_msg(cluster->n_warnings == n, "case %zu", i);
		tear_down(&etc);
	}
}
END_TEST

UNIT(source, everything_is_read, own_template_wins_over_the_shipped_one, what_is_missing_is_named,
	reading_is_no_change, file_written_in_place_is_seen, file_renamed_over_the_old_one_is_seen,
	file_that_went_and_came_is_seen, swap_of_a_config_map_is_seen,
	file_behind_a_link_is_watched_where_it_is, snippets_and_templates_are_watched,
	folder_that_is_not_there_yet_is_seen_to_appear, whole_etc_that_appears_later_is_seen,
	many_changes_are_one_call, password_is_one_line_without_its_end,
	password_that_a_node_does_not_need_may_be_missing, password_file_is_watched_where_it_is,
	what_everybody_may_read_or_write_is_warned_of_once)
