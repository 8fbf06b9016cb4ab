/* SPDX-License-Identifier: GPL-2.0-or-later */
/* answer -- the part of protocol that reads results: ADD's, which comes back as
 * prevResult, and that of the IPAM plugin we delegate to. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "protocol.h"

#define ROUTES_MAX 64
#define RESULT_MAX 1024

/* ---------------------------------------------------------------- routes */

static int decode_route(const struct fields *object, struct cni_route *route, struct err *err)
{
	static const char *const known[] = {
		"dst", "gw", "mtu", "advmss", "priority", "table", "scope", NULL};

	*route = (struct cni_route){.priority = CNI_UNSET, .table = CNI_UNSET, .scope = CNI_UNSET};
	if (field_check_spelling(object, known, err) < 0 ||
		field_get_prefix(object, "dst", &route->dst, err) < 0 ||
		field_get_addr(object, "gw", &route->gateway, err) < 0 ||
		field_get_u32(object, "mtu", &route->mtu, err) < 0 ||
		field_get_u32(object, "advmss", &route->advmss, err) < 0 ||
		field_get_number(object, "priority", 0, UINT32_MAX, &route->priority, err) < 0 ||
		field_get_number(object, "table", 0, UINT32_MAX, &route->table, err) < 0 ||
		field_get_number(object, "scope", 0, 255, &route->scope, err) < 0)
		return -1;
	if (prefix_has_host_bits(&route->dst))
		return field_wrong(
			object, "dst", CNI_CONFIG, err, "bits set behind the prefix length");
	if (route->gateway.family && route->gateway.family != route->dst.addr.family)
		return field_wrong(object, "gw", CNI_CONFIG, err, "not of the family of dst");
	return 0;
}

int cni_routes_decode(const struct fields *object, struct arena *mem, struct cni_route **routes,
	size_t *count, struct err *err)
{
	const char *path = *object->path ? arena_printf(mem, "%s.routes", object->path) : "routes";
	json_t *array;

	if (field_get_array(object, "routes", ROUTES_MAX, &array, err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(array); i++) {
		struct fields element;

		if (field_get_element(array, i, path, mem, &element, err) < 0 ||
			decode_route(&element, ARENA_PUSH(mem, *routes, count), err) < 0)
			return -1;
	}
	/* An answer may have three lists: "ip4"'s, "ip6"'s and its own. */
	if (*count > ROUTES_MAX)
		return err_set(err, CNI_DECODE, "%s: more than %d routes in all", path, ROUTES_MAX);
	return 0;
}

/* ---------------------------------------------------------------- prevResult */

static int decode_interface(
	const struct fields *object, struct cni_interface *interface, struct err *err)
{
	*interface = (struct cni_interface){.name = "", .mac = "", .sandbox = ""};
	if (field_get_string(object, "name", &interface->name, err) < 0 ||
		field_get_string(object, "mac", &interface->mac, err) < 0 ||
		field_get_string(object, "sandbox", &interface->sandbox, err) < 0)
		return -1;
	return field_get_u32(object, "mtu", &interface->mtu, err);
}

static int decode_interfaces(
	const struct fields *object, struct arena *mem, struct cni_result *result, struct err *err)
{
	const char *path = arena_printf(mem, "%s.interfaces", object->path);
	json_t *array;

	if (field_get_array(object, "interfaces", RESULT_MAX, &array, err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(array); i++) {
		struct fields element;

		if (field_get_element(array, i, path, mem, &element, err) < 0 ||
			decode_interface(&element,
				ARENA_PUSH(mem, result->interfaces, &result->interface_count),
				err) < 0)
			return -1;
	}
	return 0;
}

static int decode_ip(
	const struct fields *object, const char *key, struct cni_ip *ip, struct err *err)
{
	ip->interface = CNI_UNSET;
	if (field_get_prefix(object, key, &ip->address, err) < 0 ||
		field_get_addr(object, "gateway", &ip->gateway, err) < 0)
		return -1;
	if (ip->gateway.family && ip->gateway.family != ip->address.addr.family)
		return field_wrong(
			object, "gateway", CNI_CONFIG, err, "not of the address's family");
	return 0;
}

/* The addresses of a pod; an IPAM plugin knows nothing of interfaces. */
static int decode_ips(const struct fields *object, bool has_interfaces, struct arena *mem,
	struct cni_result *result, struct err *err)
{
	const char *path = arena_printf(mem, "%s%sips", object->path, *object->path ? "." : "");
	int64_t last = (int64_t)result->interface_count - 1;
	json_t *array;

	if (field_get_array(object, "ips", RESULT_MAX, &array, err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(array); i++) {
		struct cni_ip *ip = ARENA_PUSH(mem, result->ips, &result->ip_count);
		int64_t interface = CNI_UNSET;
		struct fields element;

		if (field_get_element(array, i, path, mem, &element, err) < 0 ||
			decode_ip(&element, "address", ip, err) < 0 ||
			(has_interfaces && field_get_number(&element, "interface", 0, last,
						   &interface, err) < 0))
			return -1;
		ip->interface = (int)interface;
	}
	return 0;
}

int cni_previous_decode(
	const struct fields *object, struct arena *mem, struct cni_result *result, struct err *err)
{
	if (decode_interfaces(object, mem, result, err) < 0 ||
		decode_ips(object, true, mem, result, err) < 0)
		return -1;
	return cni_routes_decode(object, mem, &result->routes, &result->route_count, err);
}

/* ---------------------------------------------------------------- an IPAM plugin's */

/* "ip4" and "ip6", the form before 0.3.0. */
static int decode_old(const struct fields *object, const char *key, struct arena *mem,
	struct cni_result *result, struct err *err)
{
	struct fields one;

	if (field_get_object(object, key, mem, &one, err) < 0)
		return -1;
	if (!one.json)
		return 0;
	if (decode_ip(&one, "ip", ARENA_PUSH(mem, result->ips, &result->ip_count), err) < 0)
		return -1;
	return cni_routes_decode(&one, mem, &result->routes, &result->route_count, err);
}

static int decode_answer(
	const struct fields *object, struct arena *mem, struct cni_result *result, struct err *err)
{
	if (!json_is_object(object->json))
		return err_set(err, CNI_DECODE, "expected an object");
	if (decode_old(object, "ip4", mem, result, err) < 0 ||
		decode_old(object, "ip6", mem, result, err) < 0 ||
		decode_ips(object, false, mem, result, err) < 0 ||
		cni_routes_decode(object, mem, &result->routes, &result->route_count, err) < 0 ||
		dns_decode(object, "dns", mem, &result->dns, err) < 0)
		return -1;
	return result->ip_count ? 0 : err_set(err, CNI_CONFIG, "no address");
}

int cni_answer_decode(const char *bytes, size_t len, struct arena *mem, json_t **document,
	struct cni_result *result, struct err *err)
{
	struct fields object;

	*result = (struct cni_result){0};
	*document = fields_parse(bytes, len, err);
	object = (struct fields){*document, ""};
	return *document ? decode_answer(&object, mem, result, err) : -1;
}

/* Its code is ours when it is one that the specification knows; but for 3, "unknown
 * container", after which a runtime need not clean up. */
int cni_failure_decode(const char *bytes, size_t len, struct err *err)
{
	struct err ignored;
	json_t *json = fields_parse(bytes, len, &ignored);
	const char *msg = json_string_value(json_object_get(json, "msg"));
	const char *details = json_string_value(json_object_get(json, "details"));
	json_int_t code = json_integer_value(json_object_get(json, "code"));

	err_set(err, code > 0 && code < 100 && code != 3 ? (int)code : CNI_DELEGATE,
		"%.400s%s%.400s", msg && *msg ? msg : "failed without saying why",
		details && *details ? "; " : "", details ? details : "");
	json_decref(json);
	return -1;
}
