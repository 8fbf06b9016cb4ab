/* SPDX-License-Identifier: GPL-2.0-or-later */
/* result -- the part of protocol that goes out: results, errors, versions. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "protocol.h"

/* ---------------------------------------------------------------- MAC addresses */

bool mac_parse(const char *text, uint8_t mac[6])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t parsed[6] = {0};

	for (size_t i = 0; i < 17; i++) {
		const char *digit =
			text[i] ? strchr(digits, tolower((unsigned char)text[i])) : NULL;

		if (i % 3 == 2) {
			if (text[i] != ':' && text[i] != '-')
				return false;
		} else if (!digit) {
			return false;
		} else {
			parsed[i / 3] = (uint8_t)(parsed[i / 3] << 4 | (digit - digits));
		}
	}
	if (text[17])
		return false;
	memcpy(mac, parsed, 6);
	return true;
}

const char *mac_format(const uint8_t mac[6], char room[MAC_TEXT_MAX])
{
	snprintf(room, MAC_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		mac[3], mac[4], mac[5]);
	return room;
}

/* ---------------------------------------------------------------- printing */

static void print(json_t *json, struct buf *out)
{
	char *text = json_dumps(json, JSON_COMPACT);

	buf_puts(out, text ? text : "{}");
	buf_puts(out, "\n");
	free(text);
	json_decref(json);
}

/* Text from outside may be no UTF-8; then there is nothing better to say. */
static json_t *json_text(const char *text)
{
	json_t *json = json_string(text);

	return json ? json : json_string("?");
}

static void set_addr(json_t *object, const char *key, const struct addr *addr)
{
	char text[ADDR_TEXT_MAX];

	if (addr->family)
		json_object_set_new(object, key, json_string(addr_format(addr, text)));
}

static void set_prefix(json_t *object, const char *key, const struct prefix *prefix)
{
	char text[PREFIX_TEXT_MAX];

	json_object_set_new(object, key, json_string(prefix_format(prefix, text)));
}

static void set_number(json_t *object, const char *key, int64_t number, int64_t unset)
{
	if (number != unset)
		json_object_set_new(object, key, json_integer(number));
}

static json_t *route_json(const struct cni_route *route, enum cni_spec spec)
{
	json_t *json = json_object();

	set_prefix(json, "dst", &route->dst);
	set_addr(json, "gw", &route->gateway);
	if (spec < SPEC_1_1_0)
		return json;
	set_number(json, "mtu", route->mtu, 0);
	set_number(json, "advmss", route->advmss, 0);
	set_number(json, "priority", route->priority, CNI_UNSET);
	set_number(json, "table", route->table, CNI_UNSET);
	set_number(json, "scope", route->scope, CNI_UNSET);
	return json;
}

/* Routes of one family, of both with family 0. */
static json_t *routes_json(const struct cni_result *result, uint8_t family, enum cni_spec spec)
{
	json_t *array = json_array();

	for (size_t i = 0; i < result->route_count; i++)
		if (family == 0 || result->routes[i].dst.addr.family == family)
			json_array_append_new(array, route_json(&result->routes[i], spec));
	return array;
}

static json_t *ip_json(const struct cni_ip *ip, enum cni_spec spec)
{
	json_t *json = json_object();

	if (spec < SPEC_1_0_0)
		json_object_set_new(json, "version",
			json_string(ip->address.addr.family == AF_INET ? "4" : "6"));
	set_number(json, "interface", ip->interface, CNI_UNSET);
	set_prefix(json, "address", &ip->address);
	set_addr(json, "gateway", &ip->gateway);
	return json;
}

static json_t *interface_json(const struct cni_interface *interface, enum cni_spec spec)
{
	json_t *json = json_object();

	json_object_set_new(json, "name", json_text(interface->name));
	json_object_set_new(json, "mac", json_text(interface->mac));
	if (spec >= SPEC_1_1_0)
		set_number(json, "mtu", interface->mtu, 0);
	if (*interface->sandbox)
		json_object_set_new(json, "sandbox", json_text(interface->sandbox));
	return json;
}

/* Before 0.3.0 there was one address per family, and no interfaces. */
static int old_result_json(const struct cni_result *result, json_t *json, struct err *err)
{
	for (size_t i = 0; i < result->ip_count; i++) {
		uint8_t family = result->ips[i].address.addr.family;
		const char *key = family == AF_INET ? "ip4" : "ip6";
		json_t *ip;

		if (json_object_get(json, key))
			continue;
		ip = json_object();
		set_prefix(ip, "ip", &result->ips[i].address);
		set_addr(ip, "gateway", &result->ips[i].gateway);
		json_object_set_new(ip, "routes", routes_json(result, family, SPEC_0_2_0));
		json_object_set_new(json, key, ip);
	}
	return result->ip_count ? 0
				: err_set(err, CNI_VERSION, "a result without address needs 0.3.0");
}

static void result_json(const struct cni_result *result, enum cni_spec spec, json_t *json)
{
	json_t *interfaces = json_array(), *ips = json_array();

	for (size_t i = 0; i < result->interface_count; i++)
		json_array_append_new(interfaces, interface_json(&result->interfaces[i], spec));
	for (size_t i = 0; i < result->ip_count; i++)
		json_array_append_new(ips, ip_json(&result->ips[i], spec));
	/* An IPAM plugin's result has none. */
	if (result->interface_count)
		json_object_set(json, "interfaces", interfaces);
	json_decref(interfaces);
	json_object_set_new(json, "ips", ips);
	json_object_set_new(json, "routes", routes_json(result, 0, spec));
}

int cni_result_print(
	const struct cni_result *result, enum cni_spec spec, struct buf *out, struct err *err)
{
	json_t *json = json_object(), *dns = dns_json(&result->dns);
	int failed = 0;

	json_object_set_new(json, "cniVersion", json_string(cni_spec_name(spec)));
	if (spec < SPEC_0_3_0)
		failed = old_result_json(result, json, err);
	else
		result_json(result, spec, json);
	if (dns)
		json_object_set_new(json, "dns", dns);
	if (failed)
		json_decref(json);
	else
		print(json, out);
	return failed;
}

static const char *code_name(int code)
{
	switch ((enum cni_code)code) {
	case CNI_VERSION:
		return "incompatible CNI version";
	case CNI_UNSUPPORTED:
		return "unsupported field in the network configuration";
	case CNI_ENVIRONMENT:
		return "invalid environment variable";
	case CNI_IO:
		return "I/O failure";
	case CNI_DECODE:
		return "failed to decode content";
	case CNI_CONFIG:
		return "invalid network configuration";
	case CNI_NETNS:
		return "invalid network namespace";
	case CNI_TRY_LATER:
		return "try again later";
	case CNI_UNAVAILABLE:
		return "plugin not available";
	case CNI_LIMITED:
		return "plugin not available, limited connectivity";
	case CNI_EXISTS:
		return "attachment exists";
	case CNI_KERNEL:
		return "the kernel refused";
	case CNI_DIFFERS:
		return "attachment is not as it should be";
	case CNI_DELEGATE:
		return "the IPAM plugin failed";
	}
	return "failed";
}

void cni_error_clean(struct err *error)
{
	for (char *p = error->msg; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

/* libcni shows "msg; details", so the two of them read as one sentence would. */
void cni_error_print(const struct err *error, enum cni_spec spec, struct buf *out)
{
	json_t *json = json_object();

	json_object_set_new(json, "cniVersion", json_string(cni_spec_name(spec)));
	json_object_set_new(json, "code", json_integer(error->code));
	json_object_set_new(json, "msg", json_text(error->msg));
	json_object_set_new(json, "details", json_string(code_name(error->code)));
	print(json, out);
}

void cni_versions_print(struct buf *out)
{
	json_t *json = json_object(), *supported = json_array();

	for (int i = SPEC_0_1_0; i <= SPEC_1_1_0; i++)
		json_array_append_new(supported, json_string(cni_spec_name((enum cni_spec)i)));
	json_object_set_new(json, "cniVersion", json_string(cni_spec_name(SPEC_1_1_0)));
	json_object_set_new(json, "supportedVersions", supported);
	print(json, out);
}
