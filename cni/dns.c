/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dns.h"

#include <string.h>

#include "code.h"

#define LIST_MAX 64

static int decode_list(const struct fields *object, const char *key, struct arena *mem,
	struct dns_list *list, struct err *err)
{
	json_t *array;

	if (field_get_array(object, key, LIST_MAX, &array, err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *text = json_string_value(json_array_get(array, i));

		if (!text)
			return field_wrong(object, key, CNI_DECODE, err, "expected strings");
		*ARENA_PUSH(mem, list->items, &list->count) = arena_strdup(mem, text);
	}
	return 0;
}

static bool has_any(const struct fields *object, const char *const keys[])
{
	for (size_t i = 0; keys[i]; i++)
		if (field_get(object, keys[i]))
			return true;
	return false;
}

int dns_decode(const struct fields *object, const char *key, struct arena *mem, struct dns *dns,
	struct err *err)
{
	static const char *const keys[] = {"nameservers", "domain", "search", "options", NULL};
	const char *domain = NULL;
	struct fields inner;

	*dns = (struct dns){0};
	if (field_get_object(object, key, mem, &inner, err) < 0 ||
		field_check_spelling(&inner, keys, err) < 0 ||
		decode_list(&inner, "nameservers", mem, &dns->servers, err) < 0 ||
		decode_list(&inner, "search", mem, &dns->search, err) < 0 ||
		decode_list(&inner, "options", mem, &dns->options, err) < 0 ||
		field_get_string(&inner, "domain", &domain, err) < 0)
		return -1;
	dns->given = has_any(&inner, keys);
	dns->domain = domain && *domain ? arena_strdup(mem, domain) : NULL;
	return 0;
}

int dns_wish_decode(const struct fields *object, const char *key, struct arena *mem,
	struct dns *dns, struct err *err)
{
	static const char *const keys[] = {"servers", "searches", "options", NULL};
	struct fields inner;

	*dns = (struct dns){0};
	if (field_get_object(object, key, mem, &inner, err) < 0 ||
		field_check_spelling(&inner, keys, err) < 0 ||
		decode_list(&inner, "servers", mem, &dns->servers, err) < 0 ||
		decode_list(&inner, "searches", mem, &dns->search, err) < 0 ||
		decode_list(&inner, "options", mem, &dns->options, err) < 0)
		return -1;
	dns->given = has_any(&inner, keys);
	return 0;
}

/* ---------------------------------------------------------------- resolv.conf */

#define BLANKS " \t\r\v\f"

static void add_words(struct arena *mem, struct dns_list *list, char *rest)
{
	char *word;

	while ((word = strsep(&rest, BLANKS)))
		if (*word)
			*ARENA_PUSH(mem, list->items, &list->count) = word;
}

static void read_line(char *line, struct arena *mem, struct dns *dns)
{
	char *key, *rest = line + strspn(line, BLANKS);
	struct dns_list words = {0};

	key = strsep(&rest, BLANKS);
	if (!rest || *key == '#' || *key == ';')
		return;
	if (strcmp(key, "search") == 0)
		add_words(mem, &dns->search, rest);
	else if (strcmp(key, "options") == 0)
		add_words(mem, &dns->options, rest);
	else
		add_words(mem, &words, rest);
	if (words.count && strcmp(key, "nameserver") == 0)
		*ARENA_PUSH(mem, dns->servers.items, &dns->servers.count) = words.items[0];
	else if (words.count && strcmp(key, "domain") == 0)
		dns->domain = words.items[0];
}

void dns_resolv_conf_decode(const char *text, struct arena *mem, struct dns *dns)
{
	char *rest = arena_strdup(mem, text), *line;

	*dns = (struct dns){.given = true};
	while ((line = strsep(&rest, "\n")))
		read_line(line, mem, dns);
}

/* ---------------------------------------------------------------- what comes of it */

struct dns dns_overlay(const struct dns *dns, const struct dns *wish)
{
	struct dns sum = *dns;

	if (wish->servers.count)
		sum.servers = wish->servers;
	if (wish->search.count)
		sum.search = wish->search;
	if (wish->options.count)
		sum.options = wish->options;
	return sum;
}

/* Text that is no UTF-8 can come out of a resolv.conf; it is left out. */
static void set_list(json_t *object, const char *key, const struct dns_list *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(array, json_string(list->items[i]));
	if (json_array_size(array))
		json_object_set(object, key, array);
	json_decref(array);
}

json_t *dns_json(const struct dns *dns)
{
	json_t *json = json_object();

	set_list(json, "nameservers", &dns->servers);
	if (dns->domain)
		json_object_set_new(json, "domain", json_string(dns->domain));
	set_list(json, "search", &dns->search);
	set_list(json, "options", &dns->options);
	if (json_object_size(json))
		return json;
	json_decref(json);
	return NULL;
}
