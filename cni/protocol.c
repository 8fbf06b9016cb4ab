/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "protocol.h"

#include <ctype.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "dns.h"
#include "fields.h"
#include "import.h"
#include "lease.h"

#define RANGES_MAX 16

static const char *const spec_names[] = {
	[SPEC_0_1_0] = "0.1.0",
	[SPEC_0_2_0] = "0.2.0",
	[SPEC_0_3_0] = "0.3.0",
	[SPEC_0_3_1] = "0.3.1",
	[SPEC_0_4_0] = "0.4.0",
	[SPEC_1_0_0] = "1.0.0",
	[SPEC_1_1_0] = "1.1.0",
};

/* What each command asks for: the variables, and since when it exists. */
static const struct {
	const char *name;
	bool container, netns, ifname;
	enum cni_spec since;
} commands[] = {
	[CNI_ADD] = {"ADD", true, true, true, SPEC_0_1_0},
	[CNI_DEL] = {"DEL", true, false, true, SPEC_0_1_0},
	[CNI_CHECK] = {"CHECK", true, true, true, SPEC_0_4_0},
	[CNI_GC] = {"GC", false, false, false, SPEC_1_1_0},
	[CNI_STATUS] = {"STATUS", false, false, false, SPEC_1_1_0},
	[CNI_TELL_VERSION] = {"VERSION", false, false, false, SPEC_0_1_0},
};

const char *cni_spec_name(enum cni_spec spec)
{
	return spec_names[spec];
}

/* ---------------------------------------------------------------- environment */

/* "Unset" and "empty" are the same to a runtime written in Go. */
static const char *or_empty(const char *text)
{
	return text ? text : "";
}

/* The specification's pattern for container ids and network names. */
static bool is_identifier(const char *text)
{
	if (!isalnum((unsigned char)*text))
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("_.-", *text))
			return false;
	return true;
}

/* dev_valid_name() of the kernel, and "all" and "default", which are folders of
 * net.ipv4.conf and so refused by it later on. */
static bool is_ifname(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len >= IFNAMSIZ || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return false;
	if (strcmp(text, "all") == 0 || strcmp(text, "default") == 0)
		return false;
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || (unsigned char)*text > '~' ||
			strchr("/:%", *text))
			return false;
	return true;
}

static int check_missing(const struct cni_request *request, struct err *err)
{
	char missing[128] = "";
	size_t len = 0;
	const struct {
		const char *name, *value;
		bool wanted;
	} vars[] = {
		{"CNI_CONTAINERID", request->container, commands[request->command].container},
		{"CNI_NETNS", request->netns, commands[request->command].netns},
		{"CNI_IFNAME", request->ifname, commands[request->command].ifname},
	};

	for (size_t i = 0; i < ARRAY_LEN(vars); i++)
		if (vars[i].wanted && !*vars[i].value)
			len += (size_t)snprintf(missing + len, sizeof(missing) - len, "%s%s",
				len ? ", " : "", vars[i].name);
	return len == 0 ? 0
			: err_set(err, CNI_ENVIRONMENT, "%s needs %s",
				  commands[request->command].name, missing);
}

static int check_names(const struct cni_request *request, struct err *err)
{
	if (commands[request->command].container && !is_identifier(request->container))
		return err_set(err, CNI_ENVIRONMENT,
			"CNI_CONTAINERID may hold letters, digits, '_', '.' and '-' and starts "
			"with one "
			"of the first two");
	if (strlen(request->container) > LEASE_CONTAINER_MAX)
		return err_set(err, CNI_ENVIRONMENT, "CNI_CONTAINERID is longer than %d bytes",
			LEASE_CONTAINER_MAX);
	if (commands[request->command].ifname && !is_ifname(request->ifname))
		return err_set(err, CNI_ENVIRONMENT, "CNI_IFNAME is no name for an interface");
	return 0;
}

int cni_command_decode(const struct cni_env *env, struct cni_request *request, struct err *err)
{
	memset(request, 0, sizeof(*request));
	request->spec = SPEC_1_1_0;
	request->container = or_empty(env->container);
	request->netns = or_empty(env->netns);
	request->ifname = or_empty(env->ifname);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, or_empty(env->command)) != 0)
			continue;
		request->command = (enum cni_command)i;
		return check_missing(request, err) < 0 ? -1 : check_names(request, err);
	}
	return err_set(err, CNI_ENVIRONMENT, "unknown CNI_COMMAND: %.32s", or_empty(env->command));
}

/* ---------------------------------------------------------------- ranges */

static int decode_range(const struct fields *object, struct range *range, struct err *err)
{
	static const char *const known[] = {"subnet", "rangeStart", "rangeEnd", "gateway", NULL};

	if (field_check_spelling(object, known, err) < 0 ||
		field_get_prefix(object, "subnet", &range->subnet, err) < 0 ||
		field_get_addr(object, "rangeStart", &range->first, err) < 0 ||
		field_get_addr(object, "rangeEnd", &range->last, err) < 0 ||
		field_get_addr(object, "gateway", &range->gateway, err) < 0)
		return -1;
	return range_complete(range, err) < 0 ? err_wrap(err, "%s", object->path) : 0;
}

static struct range_set *add_set(struct cni_request *request, struct arena *mem, struct err *err)
{
	if (request->set_count < LEASE_ADDRS_MAX)
		return ARENA_PUSH(mem, request->sets, &request->set_count);
	err_set(err, CNI_CONFIG, "more than %d sets of ranges", LEASE_ADDRS_MAX);
	return NULL;
}

static int decode_set(struct cni_request *request, json_t *array, const char *path,
	struct arena *mem, struct err *err)
{
	struct range_set *set;

	if (!json_is_array(array))
		return err_set(err, CNI_DECODE, "%s: expected an array", path);
	if (json_array_size(array) == 0 || json_array_size(array) > RANGES_MAX)
		return err_set(err, CNI_CONFIG, "%s: expected 1 to %d ranges", path, RANGES_MAX);
	set = add_set(request, mem, err);
	if (!set)
		return -1;
	for (size_t i = 0; i < json_array_size(array); i++) {
		struct range *range = ARENA_PUSH(mem, set->ranges, &set->count);
		struct fields element;

		if (field_get_element(array, i, path, mem, &element, err) < 0 ||
			decode_range(&element, range, err) < 0)
			return -1;
		if (range->subnet.addr.family != set->ranges[0].subnet.addr.family)
			return err_set(
				err, CNI_CONFIG, "%s: both address families in one set", path);
	}
	return 0;
}

/* host-local's old form, one range right in "ipam", comes before the others. */
static int decode_old_range(
	struct cni_request *request, const struct fields *ipam, struct arena *mem, struct err *err)
{
	struct range_set *set;

	if (!field_get(ipam, "subnet"))
		return 0;
	set = add_set(request, mem, err);
	if (!set)
		return -1;
	return decode_range(ipam, ARENA_PUSH(mem, set->ranges, &set->count), err);
}

/* Two ranges that overlap could give one address to two pods of one network. */
static int check_overlap(const struct range *a, const struct range *b, struct err *err)
{
	char a_text[PREFIX_TEXT_MAX], b_text[PREFIX_TEXT_MAX];

	if (!prefix_overlaps(&a->subnet, &b->subnet))
		return 0;
	if (prefix_cmp(&a->subnet, &b->subnet) == 0 &&
		(addr_cmp(&a->last, &b->first) < 0 || addr_cmp(&b->last, &a->first) < 0))
		return 0;
	return err_set(err, CNI_CONFIG, "ipam.ranges: %s overlaps %s",
		prefix_format(&b->subnet, b_text), prefix_format(&a->subnet, a_text));
}

static int check_overlaps(const struct cni_request *request, struct err *err)
{
	for (size_t i = 0; i < request->set_count; i++)
		for (size_t k = 0; k < request->sets[i].count; k++)
			for (size_t m = i; m < request->set_count; m++)
				for (size_t n = m == i ? k + 1 : 0; n < request->sets[m].count; n++)
					if (check_overlap(&request->sets[i].ranges[k],
						    &request->sets[m].ranges[n], err) < 0)
						return -1;
	return 0;
}

static int decode_sets(struct cni_request *request, const struct fields *object, const char *key,
	struct arena *mem, struct err *err)
{
	json_t *array;

	if (field_get_array(object, key, LEASE_ADDRS_MAX, &array, err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(array); i++)
		if (decode_set(request, json_array_get(array, i),
			    arena_printf(mem, "%s.%s[%zu]", object->path, key, i), mem, err) < 0)
			return -1;
	return 0;
}

/* What the runtime asks for comes first and takes nothing away, as with host-local:
 * the pod has an address of each set. */
static int decode_ranges(struct cni_request *request, const struct fields *ipam,
	const struct fields *runtime, struct arena *mem, struct err *err)
{
	if (decode_sets(request, runtime, "ipRanges", mem, err) < 0 ||
		decode_old_range(request, ipam, mem, err) < 0 ||
		decode_sets(request, ipam, "ranges", mem, err) < 0)
		return -1;
	return check_overlaps(request, err);
}

/* ---------------------------------------------------------------- what is asked for by name */

static int set_mac(struct cni_request *request, const char *text, const char *from, struct err *err)
{
	static const uint8_t zero[6];

	if (!mac_parse(text, request->mac))
		return err_set(err, CNI_CONFIG, "%s: expected a MAC address", from);
	if (request->mac[0] & 1 || memcmp(request->mac, zero, sizeof(zero)) == 0)
		return err_set(
			err, CNI_CONFIG, "%s: expected the MAC address of one station", from);
	request->has_mac = true;
	return 0;
}

static int add_requested(struct cni_request *request, const char *text, const char *from,
	struct arena *mem, struct err *err)
{
	struct prefix prefix;
	struct addr addr;

	if (prefix_parse(text, &prefix))
		addr = prefix.addr;
	else if (!addr_parse(text, &addr))
		return err_set(err, CNI_CONFIG, "%s: expected an IP address", from);
	if (request->requested_count == LEASE_ADDRS_MAX)
		return err_set(
			err, CNI_CONFIG, "%s: more than %d addresses", from, LEASE_ADDRS_MAX);
	*ARENA_PUSH(mem, request->requested, &request->requested_count) = addr;
	return 0;
}

/* {"ips": [...], "mac": "..."}, as runtimeConfig and args.cni have it.  What comes
 * first wins (CONVENTIONS.md: runtimeConfig, args, CNI_ARGS). */
static int decode_wishes(struct cni_request *request, const struct fields *object,
	struct arena *mem, struct err *err)
{
	static const char *const known[] = {"ips", "mac", "ipRanges", "dns", NULL};
	bool has_ips = request->requested_count > 0;
	const char *mac = "";
	json_t *array;

	if (field_check_spelling(object, known, err) < 0 ||
		field_get_array(object, "ips", LEASE_ADDRS_MAX, &array, err) < 0 ||
		field_get_string(object, "mac", &mac, err) < 0)
		return -1;
	for (size_t i = 0; !has_ips && i < json_array_size(array); i++) {
		const char *text = json_string_value(json_array_get(array, i));

		if (!text)
			return field_wrong(object, "ips", CNI_DECODE, err, "expected strings");
		if (add_requested(
			    request, text, arena_printf(mem, "%s.ips", object->path), mem, err) < 0)
			return -1;
	}
	if (!*mac || request->has_mac)
		return 0;
	return set_mac(request, mac, arena_printf(mem, "%s.mac", object->path), err);
}

struct pair {
	const char *key, *value;
};

/* "K=V;K=V".  A pair without exactly one "=" is refused, as libcni does. */
static int split_args(
	const char *text, struct arena *mem, struct pair **pairs, size_t *count, struct err *err)
{
	char *copy = arena_strdup(mem, text), *rest = copy, *part;

	while ((part = strsep(&rest, ";"))) {
		char *equals = strchr(part, '=');
		struct pair *pair;

		if (!*part)
			continue;
		if (!equals || strchr(equals + 1, '='))
			return err_set(
				err, CNI_ENVIRONMENT, "CNI_ARGS: \"%.64s\" is not KEY=VALUE", part);
		*equals = '\0';
		pair = ARENA_PUSH(mem, *pairs, count);
		*pair = (struct pair){part, equals + 1};
	}
	return 0;
}

static int use_arg(struct cni_request *request, const struct pair *pair, bool lenient, bool has_ips,
	bool has_mac, struct arena *mem, struct err *err)
{
	if (strcmp(pair->key, "IgnoreUnknown") == 0)
		return 0;
	if (strcmp(pair->key, "IP") == 0)
		return has_ips ? 0 : add_requested(request, pair->value, "CNI_ARGS: IP", mem, err);
	if (strcmp(pair->key, "MAC") == 0)
		return has_mac ? 0 : set_mac(request, pair->value, "CNI_ARGS: MAC", err);
	return lenient ? 0
		       : err_set(err, CNI_ENVIRONMENT,
				 "CNI_ARGS: unknown key %.64s (and no IgnoreUnknown=1)", pair->key);
}

static int decode_args(
	struct cni_request *request, const char *text, struct arena *mem, struct err *err)
{
	bool has_ips = request->requested_count > 0, has_mac = request->has_mac, lenient = false;
	struct pair *pairs = NULL;
	size_t count = 0;

	if (split_args(text, mem, &pairs, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (strcmp(pairs[i].key, "IgnoreUnknown") == 0)
			lenient = strcmp(pairs[i].value, "1") == 0 ||
				  strcasecmp(pairs[i].value, "true") == 0;
	for (size_t i = 0; i < count; i++)
		if (use_arg(request, &pairs[i], lenient, has_ips, has_mac, mem, err) < 0)
			return -1;
	return 0;
}

static int decode_requested(struct cni_request *request, const struct cni_env *env,
	const struct fields *root, const struct fields *runtime, struct arena *mem, struct err *err)
{
	struct fields args, cni;

	if (field_get_object(root, "args", mem, &args, err) < 0 ||
		field_get_object(&args, "cni", mem, &cni, err) < 0)
		return -1;
	if (decode_wishes(request, runtime, mem, err) < 0 ||
		decode_wishes(request, &cni, mem, err) < 0)
		return -1;
	return decode_args(request, or_empty(env->args), mem, err);
}

/* ---------------------------------------------------------------- the configuration */

/* Options of the reference plugins that ask for what this one does not do.
 * Leaving them aside in silence would be worse than refusing. */
static const struct {
	const char *key, *why;
} refused[] = {
	{"ipMasq", "masquerading is roostd's, not the plugin's (cni.masquerade in roost.yaml)"},
	{"promiscMode", "not supported, hairpinMode is"},
	{"vlan", "not supported"},
	{"vlanTrunk", "not supported"},
	{"macspoofchk", "not supported"},
	{"portIsolation", "not supported"},
	{"enabledad", "not supported, addresses are never tentative"},
	{"disableContainerInterface", "not supported"},
};

static int check_refused(const struct fields *root, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		json_t *value = field_get(root, refused[i].key);

		if (json_is_true(value) ||
			(json_is_number(value) && json_number_value(value) != 0) ||
			json_array_size(value) > 0 ||
			(json_is_string(value) && *json_string_value(value)))
			return field_wrong(
				root, refused[i].key, CNI_UNSUPPORTED, err, refused[i].why);
	}
	return 0;
}

static int decode_mtu(struct cni_request *request, const struct fields *root, struct err *err)
{
	const char *text = json_string_value(field_get(root, "mtu"));
	int64_t mtu = 0;

	if (text && strcmp(text, "auto") == 0)
		return 0;
	if (field_get_number(root, "mtu", 0, 65535, &mtu, err) < 0)
		return -1;
	request->mtu = (uint32_t)mtu;
	return 0;
}

static const char *type_of(const struct fields *fields)
{
	const char *type = json_string_value(field_get(fields, "type"));

	return type && *type ? type : CNI_TYPE;
}

/* Which part is ours: all of it, the interfaces (then another plugin has the
 * addresses), or the addresses (then another plugin called us for them). */
static void decode_role(
	struct cni_request *request, const struct fields *root, const struct fields *ipam)
{
	bool main_is_ours = strcmp(type_of(root), CNI_TYPE) == 0;
	bool ipam_is_ours = strcmp(type_of(ipam), CNI_TYPE) == 0;

	request->ipam_only = ipam_is_ours && !main_is_ours;
	request->delegate = main_is_ours && !ipam_is_ours ? type_of(ipam) : NULL;
}

static int check_types(const struct fields *root, const struct fields *ipam, struct err *err)
{
	const char *ignored;

	if (field_get_string(root, "type", &ignored, err) < 0 ||
		field_get_string(ipam, "type", &ignored, err) < 0)
		return -1;
	if (strcmp(type_of(root), CNI_TYPE) != 0 && strcmp(type_of(ipam), CNI_TYPE) != 0)
		return err_set(err, CNI_CONFIG, "neither type nor ipam.type is " CNI_TYPE);
	return 0;
}

/* The keys of the main plugin: a foreign one has others, or means others by them. */
static int decode_main(struct cni_request *request, const struct fields *root,
	const struct fields *runtime, struct arena *mem, struct err *err)
{
	static const char *const known[] = {
		"mode", "bridge", "mtu", "hairpinMode", "dns", "capabilities", NULL};

	if (field_check_spelling(root, known, err) < 0 || check_refused(root, err) < 0 ||
		field_get_string(root, "mode", &request->mode, err) < 0 ||
		field_get_string(root, "bridge", &request->bridge, err) < 0 ||
		field_get_bool(root, "hairpinMode", &request->hairpin, err) < 0 ||
		decode_mtu(request, root, err) < 0)
		return -1;
	return dns_decode(root, "dns", mem, &request->dns, err) < 0
		       ? -1
		       : dns_wish_decode(runtime, "dns", mem, &request->dns_wish, err);
}

static int decode_ipam(struct cni_request *request, const struct fields *ipam,
	const struct fields *runtime, struct arena *mem, struct err *err)
{
	static const char *const known[] = {"type", "dataDir", "importDir", "ranges", "routes",
		"resolvConf", "subnet", "rangeStart", "rangeEnd", "gateway", NULL};

	if (field_check_spelling(ipam, known, err) < 0 ||
		decode_ranges(request, ipam, runtime, mem, err) < 0 ||
		field_get_string(ipam, "resolvConf", &request->resolv_conf, err) < 0 ||
		cni_routes_decode(ipam, mem, &request->routes, &request->route_count, err) < 0)
		return -1;
	request->has_routes = field_get(ipam, "routes") != NULL;
	return 0;
}

/* What ADD, CHECK and STATUS need on top of what every command does. */
static int decode_attachment(struct cni_request *request, const struct cni_env *env,
	const struct fields *root, const struct fields *ipam, struct arena *mem, struct err *err)
{
	static const char *const known[] = {
		"type", "ipam", "args", "runtimeConfig", "prevResult", "nodeFile", NULL};
	struct fields previous, runtime;

	if (field_check_spelling(root, known, err) < 0 || check_types(root, ipam, err) < 0 ||
		field_get_object(root, "runtimeConfig", mem, &runtime, err) < 0 ||
		(!request->ipam_only && decode_main(request, root, &runtime, mem, err) < 0) ||
		(!request->delegate && decode_ipam(request, ipam, &runtime, mem, err) < 0))
		return -1;
	if (field_get_string(root, "nodeFile", &request->node_file, err) < 0 ||
		decode_requested(request, env, root, &runtime, mem, err) < 0 ||
		field_get_object(root, "prevResult", mem, &previous, err) < 0)
		return -1;
	if (!previous.json || (request->ipam_only && request->command != CNI_CHECK))
		return 0;
	request->has_previous = true;
	return cni_previous_decode(&previous, mem, &request->previous, err);
}

/* "null" is a runtime's way to write "none"; a key that is not there at all is a
 * caller that does not know, and then nothing may be taken from anyone. */
static int decode_attachments(
	struct cni_request *request, const struct fields *root, struct arena *mem, struct err *err)
{
	const char *key = "cni.dev/valid-attachments";
	json_t *array;

	if (!json_object_get(root->json, key))
		key = "cni.dev/attachments"; /* the name in drafts of 1.1.0; libcni sends both */
	if (!json_object_get(root->json, key))
		return err_set(err, CNI_CONFIG, "GC needs cni.dev/valid-attachments");
	if (field_get_array(root, key, SIZE_MAX, &array, err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(array); i++) {
		struct cni_attachment *one =
			ARENA_PUSH(mem, request->attachments, &request->attachment_count);
		struct fields element;

		*one = (struct cni_attachment){"", ""};
		if (field_get_element(array, i, key, mem, &element, err) < 0 ||
			field_get_string(&element, "containerID", &one->container, err) < 0 ||
			field_get_string(&element, "ifname", &one->ifname, err) < 0)
			return -1;
	}
	return 0;
}

static int decode_version(struct cni_request *request, const struct fields *root, struct err *err)
{
	const char *text = "";

	if (field_get_string(root, "cniVersion", &text, err) < 0)
		return -1;
	if (!*text)
		text = "0.1.0"; /* from before there was a key for it */
	for (size_t i = 0; i < ARRAY_LEN(spec_names); i++) {
		if (strcmp(text, spec_names[i]) != 0)
			continue;
		request->spec = (enum cni_spec)i;
		if (request->spec >= commands[request->command].since)
			return 0;
		return err_set(err, CNI_VERSION, "cniVersion %s has no %s, it came with %s", text,
			commands[request->command].name,
			spec_names[commands[request->command].since]);
	}
	return err_set(
		err, CNI_VERSION, "cniVersion %.32s is not supported, 0.1.0 to 1.1.0 are", text);
}

static int decode_network(struct cni_request *request, const struct fields *root, struct err *err)
{
	request->network = "";
	if (field_get_string(root, "name", &request->network, err) < 0)
		return -1;
	if (!*request->network)
		return err_set(err, CNI_CONFIG, "name: missing");
	if (!is_identifier(request->network) || strlen(request->network) > CNI_NETWORK_MAX)
		return err_set(err, CNI_CONFIG,
			"name: up to %d letters, digits, '_', '.' and '-', the first one a letter "
			"or digit",
			CNI_NETWORK_MAX);
	return 0;
}

static int decode_document(
	struct cni_request *request, const struct cni_env *env, struct arena *mem, struct err *err)
{
	static const char *const known[] = {"cniVersion", "name", NULL};
	const struct fields root = {request->document, ""};
	struct fields ipam;

	if (!json_is_object(root.json))
		return err_set(err, CNI_DECODE, "the configuration is no JSON object");
	if (field_check_spelling(&root, known, err) < 0 ||
		decode_version(request, &root, err) < 0 ||
		decode_network(request, &root, err) < 0 ||
		field_get_object(&root, "ipam", mem, &ipam, err) < 0)
		return -1;
	decode_role(request, &root, &ipam);
	if (field_get_string(&ipam, "dataDir", &request->data_dir, err) < 0)
		return -1;
	/* Another IPAM plugin may mean what it likes by its dataDir. */
	if (*request->data_dir != '/' && request->delegate)
		request->data_dir = LEASE_DATA_DIR;
	request->import_dir = arena_printf(mem, IMPORT_DIR "/%s", request->network);
	if (field_get_string(&ipam, "importDir", &request->import_dir, err) < 0)
		return -1;
	if (request->delegate)
		request->import_dir = "";
	if (*request->import_dir && *request->import_dir != '/')
		return err_set(
			err, CNI_CONFIG, "ipam.importDir: expected an absolute path or nothing");
	if (*request->data_dir != '/')
		return err_set(err, CNI_CONFIG, "ipam.dataDir: expected an absolute path");
	if (request->command == CNI_GC)
		return decode_attachments(request, &root, mem, err);
	if (request->command == CNI_DEL)
		return 0;
	return decode_attachment(request, env, &root, &ipam, mem, err);
}

int cni_request_decode(const struct cni_env *env, const char *bytes, size_t len, struct arena *mem,
	struct cni_request *request, struct err *err)
{
	request->data_dir = LEASE_DATA_DIR;
	request->node_file = CNI_NODE_FILE;
	request->document = fields_parse(bytes, len, err);
	if (!request->document)
		return err_wrap(err, "configuration on stdin");
	return decode_document(request, env, mem, err);
}

void cni_request_free(struct cni_request *request)
{
	json_decref(request->document);
	request->document = NULL;
}

/* ---------------------------------------------------------------- node.json */

bool cni_request_wants_node(const struct cni_request *request)
{
	/* What is on the node now may be other than what it was at the time of ADD. */
	if (request->command == CNI_CHECK)
		return false;
	if (cni_request_needs_node(request))
		return true;
	return !request->ipam_only && (request->mtu == 0 || !request->bridge || !request->mode);
}

bool cni_request_needs_node(const struct cni_request *request)
{
	return request->command != CNI_CHECK && !request->delegate && request->set_count == 0;
}

/* Several podCIDRs of one family are one set: a pod gets one address per family. */
static struct range_set *set_of_family(
	struct cni_request *request, struct arena *mem, uint8_t family)
{
	for (size_t i = 0; i < request->set_count; i++)
		if (request->sets[i].ranges[0].subnet.addr.family == family)
			return &request->sets[i];
	return ARENA_PUSH(mem, request->sets, &request->set_count);
}

static int add_pod_cidrs(
	struct cni_request *request, const struct fields *node, struct arena *mem, struct err *err)
{
	json_t *array;

	if (field_get_array(node, "podCIDRs", RANGES_MAX, &array, err) < 0)
		return -1;
	if (json_array_size(array) == 0)
		return err_set(err, CNI_TRY_LATER, "this node has no podCIDR yet");
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *text = json_string_value(json_array_get(array, i));
		struct range range = {0};
		struct range_set *set;

		if (!text || !prefix_parse(text, &range.subnet))
			return field_wrong(
				node, "podCIDRs", CNI_DECODE, err, "expected address prefixes");
		if (range_complete(&range, err) < 0)
			return err_wrap(err, "podCIDRs");
		set = set_of_family(request, mem, range.subnet.addr.family);
		*ARENA_PUSH(mem, set->ranges, &set->count) = range;
	}
	return check_overlaps(request, err);
}

static int add_node(
	struct cni_request *request, const struct fields *node, struct arena *mem, struct err *err)
{
	const char *bridge = NULL, *mode = NULL;
	int64_t version = 0, mtu = 0;

	if (field_get_number(node, "version", 1, 1, &version, err) < 0 ||
		field_get_string(node, "bridge", &bridge, err) < 0 ||
		field_get_string(node, "mode", &mode, err) < 0 ||
		field_get_number(node, "mtu", 0, 65535, &mtu, err) < 0)
		return -1;
	if (version == 0)
		return field_wrong(node, "version", CNI_DECODE, err, "missing");
	if (bridge && !request->bridge)
		request->bridge = arena_strdup(mem, bridge);
	if (mode && !request->mode)
		request->mode = arena_strdup(mem, mode);
	if (request->mtu == 0)
		request->mtu = (uint32_t)mtu;
	return cni_request_needs_node(request) ? add_pod_cidrs(request, node, mem, err) : 0;
}

int cni_request_add_node(struct cni_request *request, const char *bytes, size_t len,
	struct arena *mem, struct err *err)
{
	json_t *json = fields_parse(bytes, len, err);
	struct fields node = {json, ""};
	int failed;

	if (!json)
		return err_wrap(err, "%s", request->node_file);
	failed = json_is_object(json)
			 ? add_node(request, &node, mem, err)
			 : field_wrong(&node, "", CNI_DECODE, err, "expected an object");
	json_decref(json);
	return failed ? err_wrap(err, "%s", request->node_file) : 0;
}

static bool has_family(const struct cni_request *request, uint8_t family)
{
	for (size_t i = 0; i < request->set_count; i++)
		if (request->sets[i].ranges[0].subnet.addr.family == family)
			return true;
	return false;
}

/* What concerns the interfaces. */
static int complete_main(struct cni_request *request, struct err *err)
{
	if (!request->bridge)
		request->bridge = CNI_BRIDGE;
	if (!request->mode)
		request->mode = "bridge";
	request->routed = strcmp(request->mode, "routed") == 0;
	if (!request->routed && strcmp(request->mode, "bridge") != 0)
		return err_set(err, CNI_CONFIG, "mode: expected bridge or routed");
	if (!request->routed && !is_ifname(request->bridge))
		return err_set(err, CNI_CONFIG, "bridge: not a name for an interface");
	if (request->mtu && request->mtu < CNI_MTU_MIN && has_family(request, AF_INET6))
		return err_set(err, CNI_CONFIG, "mtu: IPv6 needs %d at least", CNI_MTU_MIN);
	if (request->mtu && request->mtu < 68) /* RFC 791 */
		return err_set(err, CNI_CONFIG, "mtu: IPv4 needs 68 at least");
	if (request->command == CNI_ADD && request->has_previous)
		return err_set(err, CNI_CONFIG,
			"prevResult: roost has to be the first plugin of the chain");
	return 0;
}

/* The results before 0.3.0 have no room for more. */
static int check_one_per_family(const struct cni_request *request, struct err *err)
{
	size_t ipv4 = 0;

	for (size_t i = 0; i < request->set_count; i++)
		ipv4 += request->sets[i].ranges[0].subnet.addr.family == AF_INET;
	return ipv4 <= 1 && request->set_count - ipv4 <= 1
		       ? 0
		       : err_set(err, CNI_CONFIG,
				 "cniVersion %s has one address per family: a second one needs "
				 "0.3.0",
				 spec_names[request->spec]);
}

int cni_request_complete(struct cni_request *request, struct err *err)
{
	if (!request->ipam_only && complete_main(request, err) < 0)
		return -1;
	if (request->command == CNI_CHECK)
		return request->has_previous
			       ? 0
			       : err_set(err, CNI_CONFIG,
					 "prevResult: missing, CHECK compares with it");
	if (request->spec < SPEC_0_3_0 && check_one_per_family(request, err) < 0)
		return -1;
	for (size_t i = 0; i < request->route_count; i++)
		if (!has_family(request, request->routes[i].dst.addr.family))
			return err_set(err, CNI_CONFIG,
				"ipam.routes[%zu]: a pod here has no address of that family", i);
	return 0;
}
