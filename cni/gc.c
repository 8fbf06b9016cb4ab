/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "links.h"
#include "plan.h"

/* Room for what is said of single attachments; the rest of a message is for what
 * concerns them all. */
#define TOLD_MAX 500

/* What a sweep works with. */
struct sweep {
	const struct cni_request *request;
	struct netlink *netlink;
	const struct ipam_place *place;
	struct gc *gc;
	struct arena mem;

	const struct cni_attachment **valid; /* in order */
	struct linked *links;		     /* in the order of their names */
	size_t link_count;
	bool *done;	    /* one per link: dealt with */
	struct lease *gone; /* leases to be given back: their links are gone */
	size_t gone_count;
	bool out_of_time;
};

/* ---------------------------------------------------------------- problems */

static void add_problem(struct gc *gc, const char *text)
{
	size_t len = strlen(gc->problems.msg);

	snprintf(gc->problems.msg + len, sizeof(gc->problems.msg) - len, "%s%s", len ? "; " : "",
		text);
}

static void set_code(struct gc *gc, const struct err *problem)
{
	if (!gc->problems.code)
		gc->problems.code = problem->code;
}

void gc_note(struct gc *gc, const struct err *problem)
{
	set_code(gc, problem);
	add_problem(gc, problem->msg);
}

static void note_attachment(struct gc *gc, const struct lease *lease, const struct err *problem)
{
	char text[sizeof(problem->msg) + sizeof(lease->container) + 32];

	gc->failed++;
	gc->links_left = true;
	set_code(gc, problem);
	snprintf(text, sizeof(text), "%s %s: %s", lease->container, lease->ifname, problem->msg);
	if (strlen(gc->problems.msg) + strlen(text) > TOLD_MAX)
		return;
	add_problem(gc, text);
	gc->told++;
}

/* Those that did not fit. */
static void note_untold(struct gc *gc)
{
	char text[64];

	if (gc->failed == gc->told)
		return;
	snprintf(text, sizeof(text), "%zu attachments more are left", gc->failed - gc->told);
	add_problem(gc, text);
}

int gc_result(const struct gc *gc, struct err *err)
{
	if (!*gc->problems.msg)
		return 0;
	*err = gc->problems;
	return -1;
}

/* ---------------------------------------------------------------- what is valid */

static int compare_attachments(const void *a, const void *b)
{
	const struct cni_attachment *x = *(const struct cni_attachment *const *)a;
	const struct cni_attachment *y = *(const struct cni_attachment *const *)b;
	int order = strcmp(x->container, y->container);

	return order ? order : strcmp(x->ifname, y->ifname);
}

static void sort_valid(struct sweep *sweep)
{
	size_t count = sweep->request->attachment_count;

	sweep->valid = arena_alloc(&sweep->mem, (count + 1) * sizeof(*sweep->valid));
	for (size_t i = 0; i < count; i++)
		sweep->valid[i] = &sweep->request->attachments[i];
	qsort(sweep->valid, count, sizeof(*sweep->valid), compare_attachments);
}

static bool is_valid(const struct sweep *sweep, const struct lease *lease)
{
	const struct cni_attachment wanted = {lease->container, lease->ifname}, *key = &wanted;

	return bsearch(&key, sweep->valid, sweep->request->attachment_count, sizeof(*sweep->valid),
		       compare_attachments) != NULL;
}

/* ---------------------------------------------------------------- links */

static int compare_name(const void *name, const void *link)
{
	return strcmp(name, ((const struct linked *)link)->ifname);
}

static struct linked *find_link(const struct sweep *sweep, const char *ifname)
{
	return sweep->link_count ? bsearch(ifname, sweep->links, sweep->link_count,
					   sizeof(*sweep->links), compare_name)
				 : NULL;
}

/* Our time is over at the first one that the alarm interrupts: each of the others would
 * wait for an alarm of its own. */
static int remove_link(
	struct sweep *sweep, const struct lease *lease, const struct plan_identity *identity)
{
	struct err err = {0};

	if (sweep->out_of_time)
		err_set(&err, CNI_TRY_LATER, "no time left");
	else if (netlink_remove(sweep->netlink, identity, &err) == 0)
		return 0;
	sweep->out_of_time |= err.code == CNI_TRY_LATER;
	note_attachment(sweep->gc, lease, &err);
	return -1;
}

/* ---------------------------------------------------------------- the sweep */

static void sweep_lease(struct sweep *sweep, const struct lease *lease)
{
	struct plan_identity identity;
	struct linked *link;

	if (is_valid(sweep, lease))
		return;
	plan_identify(sweep->request->network, lease->container, lease->ifname, &identity);
	link = find_link(sweep, identity.ifname);
	if (link)
		sweep->done[link - sweep->links] = true;
	if (!link || remove_link(sweep, lease, &identity) == 0)
		*ARENA_PUSH(&sweep->mem, sweep->gone, &sweep->gone_count) = *lease;
}

/* One whose lease was lost, or that has another plugin's addresses. */
static void sweep_link(struct sweep *sweep, const struct linked *link)
{
	struct plan_identity identity;

	if (!link->known || sweep->done[link - sweep->links] || is_valid(sweep, &link->lease))
		return;
	plan_identify(
		sweep->request->network, link->lease.container, link->lease.ifname, &identity);
	remove_link(sweep, &link->lease, &identity);
}

static void give_back(struct sweep *sweep)
{
	struct err err;
	bool damaged;

	if (ipam_release_all(sweep->place, sweep->gone, sweep->gone_count, &damaged, &err) < 0)
		gc_note(sweep->gc, &err);
	else if (damaged)
		fprintf(stderr, "roost: lease store %s/%s is damaged; leases may still be in it\n",
			sweep->place->data_dir, sweep->place->network);
}

/* Without knowing the links nothing can be given back: an address might be in use. */
static int look_at_links(struct sweep *sweep)
{
	struct err err;

	if (!sweep->request->ipam_only &&
		links_survey(sweep->netlink, sweep->request->network, &sweep->mem, &sweep->links,
			&sweep->link_count, &err) < 0) {
		gc_note(sweep->gc, &err);
		sweep->gc->links_left = true;
		return -1;
	}
	sweep->done = arena_alloc(&sweep->mem, sweep->link_count + 1);
	return 0;
}

static void sweep_all(struct sweep *sweep)
{
	size_t count;
	struct lease *leases;
	struct err err;

	/* The leases first: a lease is taken before its link is made. */
	if (ipam_list(sweep->place, &sweep->mem, &leases, &count, &err) < 0) {
		gc_note(sweep->gc, &err);
		count = 0;
	}
	if (look_at_links(sweep) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		sweep_lease(sweep, &leases[i]);
	for (size_t i = 0; i < sweep->link_count; i++)
		sweep_link(sweep, &sweep->links[i]);
	note_untold(sweep->gc);
	give_back(sweep);
}

void gc_sweep(const struct cni_request *request, struct netlink *netlink,
	const struct ipam_place *place, struct gc *gc)
{
	struct sweep sweep = {.request = request, .netlink = netlink, .place = place, .gc = gc};

	sort_valid(&sweep);
	sweep_all(&sweep);
	arena_free(&sweep.mem);
}
