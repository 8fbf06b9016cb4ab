/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/masquerade.h"

#include <stdlib.h>
#include <string.h>

/* All addresses from first to last. */
struct span {
	struct addr first, last;
};

struct spans {
	struct span *items;
	size_t n;
};

static const struct {
	const char *type, *header; /* as nftables calls them */
	char digit;
	const char *link[3]; /* reaches nobody behind a router */
} families[FAMILIES] = {
	[IPV4] = {"ipv4_addr", "ip", '4', {"169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32"}},
	[IPV6] = {"ipv6_addr", "ip6", '6', {"fe80::/10", "ff00::/8", NULL}},
};

static void add_prefix(const struct prefix *prefix, struct arena *arena, struct spans *spans)
{
	*ARENA_PUSH(arena, spans->items, &spans->n) =
		(struct span){prefix_first(prefix), prefix_last(prefix)};
}

static void add_prefixes(const struct prefixes *prefixes, enum family family, struct arena *arena,
	struct spans *spans)
{
	for (size_t i = 0; i < prefixes->n; i++)
		if (family_of(&prefixes->items[i].addr) == family)
			add_prefix(&prefixes->items[i], arena, spans);
}

static void add_link_scope(enum family family, struct arena *arena, struct spans *spans)
{
	struct prefix prefix;

	for (size_t i = 0; i < ARRAY_LEN(families[family].link); i++)
		if (families[family].link[i] && prefix_parse(families[family].link[i], &prefix))
			add_prefix(&prefix, arena, spans);
}

static int by_first(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return addr_cmp(&x->first, &y->first);
}

/* Does `next`, which does not begin before `span`, overlap it or begin right behind it? */
static bool touches(const struct span *span, const struct span *next)
{
	struct addr behind;

	return addr_cmp(&next->first, &span->last) <= 0 ||
		(addr_add(&span->last, 1, &behind) && addr_cmp(&next->first, &behind) == 0);
}

/* Sorted, and no two of them touch. */
static void merge(struct spans *spans)
{
	size_t n = 0;

	if (spans->n)
		qsort(spans->items, spans->n, sizeof(*spans->items), by_first);
	for (size_t i = 0; i < spans->n; i++) {
		struct span *last = &spans->items[n ? n - 1 : 0];
		const struct span *next = &spans->items[i];

		if (n == 0 || !touches(last, next))
			spans->items[n++] = *next;
		else if (addr_cmp(&next->last, &last->last) > 0)
			last->last = next->last;
	}
	spans->n = n;
}

static bool is_everything(const struct spans *spans)
{
	static const struct addr zero;
	struct addr behind;

	return spans->n == 1 &&
		memcmp(spans->items[0].first.bytes, zero.bytes, sizeof(zero.bytes)) == 0 &&
		!addr_add(&spans->items[0].last, 1, &behind);
}

/* As nft writes it: an address, a prefix, or a range. */
static void print_span(struct buf *out, const struct span *span)
{
	struct prefix prefix = {span->first, 0};
	char room[PREFIX_TEXT_MAX];

	for (; prefix.len < addr_bits(span->first.family); prefix.len++) {
		struct addr last = prefix_last(&prefix);

		if (!prefix_has_host_bits(&prefix) && addr_cmp(&last, &span->last) == 0) {
			buf_puts(out, prefix_format(&prefix, room));
			return;
		}
	}
	buf_puts(out, addr_format(&span->first, room));
	if (addr_cmp(&span->first, &span->last) != 0)
		buf_printf(out, "-%s", addr_format(&span->last, room));
}

static void print_set(struct buf *out, enum family family, const char *name,
	const struct spans *spans)
{
	buf_printf(out, "\tset %s%c {\n\t\ttype %s\n\t\tflags interval\n\t\telements = { ", name,
		families[family].digit, families[family].type);
	for (size_t i = 0; i < spans->n; i++) {
		if (i)
			buf_puts(out, ",\n\t\t\t     ");
		print_span(out, &spans->items[i]);
	}
	buf_puts(out, " }\n\t}\n\n");
}

/* The family's two sets; its rule is for later, behind all sets. */
static void render_family(const struct cluster *cluster, const struct node *self,
	enum family family, struct buf *sets, struct buf *rules)
{
	_cleanup_arena_ struct arena arena = {0};
	struct spans own = {0}, direct = {0};
	const char *header = families[family].header;
	char digit = families[family].digit;

	add_prefixes(&self->pod_cidrs, family, &arena, &own);
	add_prefixes(&cluster->pod_cidrs, family, &arena, &direct);
	add_prefixes(&cluster->cni.masquerade.except, family, &arena, &direct);
	add_link_scope(family, &arena, &direct);
	merge(&own);
	merge(&direct);
	if (own.n == 0 || is_everything(&direct))
		return;
	print_set(sets, family, "own", &own);
	print_set(sets, family, "direct", &direct);
	buf_printf(rules, "\t\t%s saddr @own%c %s daddr != @direct%c masquerade fully-random\n",
		header, digit, header, digit);
}

void masquerade_render(const struct cluster *cluster, const struct node *self, struct buf *out)
{
	_cleanup_buf_ struct buf sets = {0}, rules = {0};

	if (!cluster->cni.masquerade.enabled)
		return;
	for (enum family f = 0; f < FAMILIES; f++)
		render_family(cluster, self, f, &sets, &rules);
	if (!rules.len)
		return;
	buf_puts(out, "table " MASQUERADE_TABLE " {\n"
		      "\tcomment \"kept by roostd, which undoes changes: see cni.masquerade\"\n");
	buf_puts(out, buf_text(&sets));
	buf_puts(out, "\tchain postrouting {\n"
		      "\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
		      "\t\toif \"lo\" accept\n"
		      "\t\ttcp flags != syn / syn,ack accept\n");
	buf_puts(out, buf_text(&rules));
	buf_puts(out, "\t}\n}\n");
}
