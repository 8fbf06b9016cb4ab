/* SPDX-License-Identifier: GPL-2.0-or-later */
/* protocol: what comes in and goes out, as the CNI specification says. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "cni/protocol.h"
#include "unit.h"

/* One request at a time; the arena outlives it. */
static struct arena mem;
static struct cni_request request;
static struct err err;

static const struct cni_env add_env = {
	.command = "ADD", .container = "c1", .netns = "/run/netns/x", .ifname = "eth0"};

static int decode_env(const struct cni_env *env, const char *text)
{
	cni_request_free(&request);
	memset(&err, 0, sizeof(err));
	if (cni_command_decode(env, &request, &err) < 0 ||
		cni_request_decode(env, text, strlen(text), &mem, &request, &err) < 0)
		return -1;
	return 0;
}

/* Decoded and completed: everything that ADD looks at before it acts. */
static int decode(const char *text)
{
	if (decode_env(&add_env, text) < 0)
		return -1;
	return cni_request_complete(&request, &err);
}

static void decodes(const char *text)
{
	ck_assert_msg(decode(text) == 0, "%s: %s", text, err.msg);
}

static void refuses(const char *text, int code, const char *says)
{
	ck_assert_msg(decode(text) < 0, "accepted: %s", text);
	ck_assert_msg(strstr(err.msg, says), "%s: %s", text, err.msg);
	ck_assert_msg(err.code == code, "%s: code %d", text, err.code);
}

/* A configuration with something added. */
static const char *with(const char *more)
{
	static char text[4096];

	snprintf(text, sizeof(text),
		"{\"cniVersion\":\"1.1.0\",\"name\":\"pods\",\"type\":\"roost\",\"ipam\":{\"type\":"
		"\"roost\","
		"\"ranges\":[[{\"subnet\":\"10.0.0.0/24\"}]]}%s%s}",
		*more ? "," : "", more);
	return text;
}

static const char *with_ipam(const char *ipam)
{
	static char text[4096];

	snprintf(text, sizeof(text), "{\"cniVersion\":\"1.1.0\",\"name\":\"pods\",\"ipam\":{%s}}",
		ipam);
	return text;
}

/* ---------------------------------------------------------------- environment */

START_TEST(all_missing_variables_are_named_at_once)
{
	static const struct {
		struct cni_env env;
		const char *says;
	} rows[] = {
		{{.command = "ADD"}, "ADD needs CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"},
		{{.command = "CHECK", .container = ""},
			"CHECK needs CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"},
		{{.command = "DEL", .container = "c1"}, "DEL needs CNI_IFNAME"},
		{{.command = "FOO"}, "unknown CNI_COMMAND: FOO"},
		{{.command = "add"}, "unknown CNI_COMMAND: add"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ck_assert_int_eq(cni_command_decode(&rows[i].env, &request, &err), -1);
		ck_assert_str_eq(err.msg, rows[i].says);
		ck_assert_int_eq(err.code, CNI_ENVIRONMENT);
	}
}
END_TEST

START_TEST(ids_and_interface_names_that_reach_into_paths_are_refused)
{
	static const char *const ids[] = {"..", "a/b", "-a", "a b", "\xc3\xa4", "a\n"};
	static const char *const ifnames[] = {".", "..", "a/b", "a:b", "a b", "sixteen-letters!",
		"all", "default", "\xc3\xa4", "a%d"};

	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		struct cni_env env = add_env;

		env.container = ids[i];
		ck_assert_msg(cni_command_decode(&env, &request, &err) < 0, "%s", ids[i]);
		ck_assert_int_eq(err.code, CNI_ENVIRONMENT);
	}
	for (size_t i = 0; i < ARRAY_LEN(ifnames); i++) {
		struct cni_env env = add_env;

		env.ifname = ifnames[i];
		ck_assert_msg(cni_command_decode(&env, &request, &err) < 0, "%s", ifnames[i]);
		ck_assert_int_eq(err.code, CNI_ENVIRONMENT);
	}
}
END_TEST

START_TEST(a_container_id_that_fits_no_slot_is_refused_with_the_limit)
{
	struct cni_env env = add_env;
	char id[160];

	memset(id, 'a', sizeof(id));
	id[151] = '\0';
	env.container = id;
	ck_assert_int_eq(cni_command_decode(&env, &request, &err), 0);
	id[151] = 'a';
	id[152] = '\0';
	ck_assert_int_eq(cni_command_decode(&env, &request, &err), -1);
	ck_assert_str_eq(err.msg, "CNI_CONTAINERID is longer than 151 bytes");
}
END_TEST

START_TEST(version_status_and_gc_need_no_container)
{
	static const char *const names[] = {"VERSION", "STATUS", "GC"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		ck_assert_int_eq(
			cni_command_decode(&(struct cni_env){.command = names[i]}, &request, &err),
			0);
}
END_TEST

/* ---------------------------------------------------------------- versions */

START_TEST(every_version_of_the_specification_is_known)
{
	static const char *const versions[] = {
		"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};

	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		char text[256];

		snprintf(text, sizeof(text),
			"{\"cniVersion\":\"%s\",\"name\":\"n\",\"ipam\":{\"subnet\":\"10.0.0.0/"
			"24\"}}",
			versions[i]);
		decodes(text);
		ck_assert_str_eq(cni_spec_name(request.spec), versions[i]);
	}
}
END_TEST

START_TEST(no_version_means_the_first_one)
{
	decodes("{\"name\":\"n\",\"ipam\":{\"subnet\":\"10.0.0.0/24\"}}");
	ck_assert_int_eq(request.spec, SPEC_0_1_0);
	decodes("{\"cniVersion\":\"\",\"name\":\"n\",\"ipam\":{\"subnet\":\"10.0.0.0/24\"}}");
	ck_assert_int_eq(request.spec, SPEC_0_1_0);
}
END_TEST

START_TEST(other_versions_are_refused_with_code_1)
{
	refuses("{\"cniVersion\":\"9.9.9\",\"name\":\"n\"}", CNI_VERSION, "cniVersion 9.9.9");
	refuses("{\"cniVersion\":\"1.0\",\"name\":\"n\"}", CNI_VERSION, "cniVersion 1.0");
	refuses("{\"cniVersion\":5,\"name\":\"n\"}", CNI_DECODE, "cniVersion: expected a string");
}
END_TEST

START_TEST(commands_that_came_later_need_their_version)
{
	static const struct {
		const char *command, *version;
	} rows[] = {{"CHECK", "0.3.1"}, {"GC", "1.0.0"}, {"STATUS", "1.0.0"}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cni_env env = add_env;
		char text[256];

		env.command = rows[i].command;
		snprintf(text, sizeof(text), "{\"cniVersion\":\"%s\",\"name\":\"n\"}",
			rows[i].version);
		ck_assert_int_eq(decode_env(&env, text), -1);
		ck_assert_int_eq(err.code, CNI_VERSION);
	}
}
END_TEST

/* ---------------------------------------------------------------- hostile bytes */

START_TEST(what_is_no_json_is_refused_with_its_place)
{
	static const char *const rows[] = {"", "{", "[]", "5", "{}x", "{\"a\":1e400}",
		"{\"a\":\"\\u0000\"}", "{\"a\":\"\\ud800\"}", "{\"a\":99999999999999999999}",
		"\xff\xfe", "{\"name\":\"n\",\"name\":\"m\"}"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ck_assert_msg(decode(rows[i]) < 0, "accepted: %s", rows[i]);
		ck_assert_msg(err.code == CNI_DECODE, "%s: %d %s", rows[i], err.code, err.msg);
	}
	refuses("{\"name\":\"n\",\n\"name\":\"m\"}", CNI_DECODE, "line 2, column");
}
END_TEST

START_TEST(a_nul_byte_is_refused)
{
	const char text[] = "{\"name\":\"n\0m\"}";

	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(cni_command_decode(&add_env, &request, &err), 0);
	ck_assert_int_eq(
		cni_request_decode(&add_env, text, sizeof(text) - 1, &mem, &request, &err), -1);
	ck_assert_int_eq(err.code, CNI_DECODE);
}
END_TEST

START_TEST(sixty_four_levels_are_deep_enough)
{
	char text[4096] = "{\"name\":\"n\",\"ipam\":{\"subnet\":\"10.0.0.0/24\"},\"x\":";
	size_t start = strlen(text);

	memset(text + start, '[', 63);
	memset(text + start + 63, ']', 63);
	strcpy(text + start + 126, "}");
	decodes(text);
	memset(text + start, '[', 64);
	memset(text + start + 64, ']', 64);
	strcpy(text + start + 128, "}");
	refuses(text, CNI_DECODE, "nested more than 64 deep");
	/* Brackets in strings are text. */
	strcpy(text + start, "\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
			     "[[[[\\\"[[\"}");
	decodes(text);
}
END_TEST

/* ---------------------------------------------------------------- configuration */

START_TEST(a_full_configuration_is_understood)
{
	decodes("{\"cniVersion\":\"1.0.0\",\"name\":\"pods\",\"type\":\"roost\",\"mode\":"
		"\"bridge\","
		"\"bridge\":\"br7\",\"mtu\":9000,\"hairpinMode\":true,\"dns\":{\"nameservers\":["
		"\"10.0.0.1\"]},"
		"\"capabilities\":{\"mac\":true},\"unknown\":{\"a\":1},"
		"\"ipam\":{\"type\":\"roost\",\"dataDir\":\"/var/"
		"x\",\"ranges\":[[{\"subnet\":\"10.0.0.0/24\","
		"\"rangeStart\":\"10.0.0.10\",\"rangeEnd\":\"10.0.0.20\",\"gateway\":\"10.0.0."
		"254\"}],"
		"[{\"subnet\":\"fd00::/64\"}]],\"routes\":[{\"dst\":\"0.0.0.0/"
		"0\",\"gw\":\"10.0.0.254\","
		"\"mtu\":1400,\"advmss\":1360,\"priority\":5,\"table\":100,\"scope\":0},{\"dst\":"
		"\"::/0\"}]}}");
	ck_assert_str_eq(request.network, "pods");
	ck_assert_str_eq(request.bridge, "br7");
	ck_assert_str_eq(request.data_dir, "/var/x");
	ck_assert_uint_eq(request.mtu, 9000);
	ck_assert(request.hairpin);
	ck_assert_uint_eq(request.set_count, 2);
	ck_assert_uint_eq(request.route_count, 2);
	ck_assert_int_eq(request.routes[0].table, 100);
	ck_assert_int_eq(request.routes[1].table, CNI_UNSET);
	ck_assert_uint_eq(request.dns.servers.count, 1);
}
END_TEST

START_TEST(what_is_left_out_has_a_default)
{
	decodes(with(""));
	ck_assert_str_eq(request.bridge, "roost0");
	ck_assert_str_eq(request.data_dir, "/run/roost/ipam");
	ck_assert_str_eq(request.node_file, "/run/roost/node.json");
	ck_assert_uint_eq(request.mtu, 0);
	ck_assert(!request.has_routes);
	decodes(with("\"mtu\":\"auto\",\"bridge\":null"));
	ck_assert_uint_eq(request.mtu, 0);
}
END_TEST

START_TEST(a_wrong_value_is_named_with_its_path)
{
	refuses("{\"cniVersion\":\"1.0.0\"}", CNI_CONFIG, "name: missing");
	refuses("{\"name\":\"a/b\"}", CNI_CONFIG, "name: ");
	refuses("{\"name\":\"..\"}", CNI_CONFIG, "name: ");
	refuses("{\"name\":7}", CNI_DECODE, "name: expected a string");
	refuses(with("\"mtu\":-1"), CNI_CONFIG, "mtu: expected 0 to 65535");
	refuses(with("\"mtu\":67"), CNI_CONFIG, "mtu: IPv4 needs 68 at least");
	refuses(with("\"mtu\":\"big\""), CNI_DECODE, "mtu: expected a whole number");
	refuses(with("\"mode\":\"macvlan\""), CNI_CONFIG, "mode: expected bridge or routed");
	refuses(with("\"bridge\":\"a/b\""), CNI_CONFIG, "bridge: not a name");
	refuses(with("\"dns\":[]"), CNI_DECODE, "dns: expected an object");
	refuses(with("\"prevResult\":{}"), CNI_CONFIG, "prevResult: roost has to be the first");
	refuses(with_ipam("\"dataDir\":\"x\""), CNI_CONFIG,
		"ipam.dataDir: expected an absolute path");
	refuses(with_ipam("\"ranges\":[[]]"), CNI_CONFIG, "ipam.ranges[0]: expected 1 to");
	refuses(with_ipam("\"ranges\":[[{}]]"), CNI_CONFIG, "ipam.ranges[0][0].subnet: missing");
	refuses(with_ipam("\"ranges\":[[{\"subnet\":\"10.0.0.0/33\"}]]"), CNI_CONFIG,
		"ipam.ranges[0][0].subnet: expected an address with prefix length");
	refuses(with_ipam("\"ranges\":[[{\"subnet\":\"10.0.0.0/31\"}]]"), CNI_CONFIG,
		"ipam.ranges[0][0]: subnet 10.0.0.0/31 is too small");
	refuses(with_ipam("\"ranges\":[[{\"subnet\":\"10.0.0.0/24\"},{\"subnet\":\"fd00::/64\"}]]"),
		CNI_CONFIG, "both address families in one set");
	refuses(with_ipam("\"ranges\":[[{\"subnet\":\"10.0.0.0/24\"}],[{\"subnet\":\"10.0.0.128/"
			  "25\"}]]"),
		CNI_CONFIG, "10.0.0.128/25 overlaps 10.0.0.0/24");
	refuses(with_ipam("\"subnet\":\"10.0.0.0/24\",\"routes\":[{\"dst\":\"10.1.0.1/16\"}]"),
		CNI_CONFIG, "ipam.routes[0].dst: bits set");
	refuses(with_ipam("\"subnet\":\"10.0.0.0/24\",\"routes\":[{\"dst\":\"::/0\"}]"), CNI_CONFIG,
		"ipam.routes[0]: a pod here has no address of that family");
	refuses(with_ipam("\"subnet\":\"10.0.0.0/24\",\"routes\":[{\"dst\":\"0.0.0.0/"
			  "0\",\"gw\":\"::1\"}]"),
		CNI_CONFIG, "ipam.routes[0].gw: not of the family of dst");
	refuses("{\"name\":\"n\",\"mtu\":1000,\"ipam\":{\"subnet\":\"fd00::/64\"}}", CNI_CONFIG,
		"mtu: IPv6 needs 1280");
}
END_TEST

START_TEST(what_we_do_not_do_is_refused_with_code_2)
{
	refuses(with("\"ipMasq\":true"), CNI_UNSUPPORTED, "ipMasq: masquerading is roostd's");
	static const char *const asks[] = {"promiscMode\":true", "vlan\":7", "vlan\":-1",
		"vlanTrunk\":[{\"minID\":101,\"maxID\":200}]", "vlanTrunk\":[{\"id\":5000}]",
		"macspoofchk\":true", "portIsolation\":true", "enabledad\":true",
		"disableContainerInterface\":true"};
	char text[80];

	for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
		snprintf(text, sizeof(text), "\"%s", asks[i]);
		refuses(with(text), CNI_UNSUPPORTED, ": not supported");
	}
	decodes(with("\"ipMasq\":false,\"vlan\":0,\"promiscMode\":false,\"vlanTrunk\":[],"
		     "\"macspoofchk\":false,\"portIsolation\":false,\"enabledad\":false,"
		     "\"disableContainerInterface\":false,\"ipMasqBackend\":\"iptables\""));
}
END_TEST

START_TEST(mode_is_bridge_or_routed)
{
	decodes(with(""));
	ck_assert(!request.routed);
	decodes(with("\"mode\":\"routed\""));
	ck_assert(request.routed);
	/* Nothing to be a bridge. */
	decodes(with("\"mode\":\"routed\",\"bridge\":\"a/b\""));
}
END_TEST

START_TEST(the_two_types_say_which_part_is_ours)
{
	decodes(with(""));
	ck_assert(!request.ipam_only && !request.delegate);
	/* What a foreign IPAM plugin has in its section is its own business. */
	decodes(with_ipam("\"type\":\"host-local\",\"dataDir\":\"x\",\"ranges\":7,"
			  "\"Subnet\":1,\"routes\":\"x\""));
	ck_assert(!request.ipam_only);
	ck_assert_str_eq(request.delegate, "host-local");
	ck_assert_uint_eq(request.set_count, 0);
	ck_assert(!cni_request_needs_node(&request) && cni_request_wants_node(&request));
	/* And so is what a foreign main plugin has outside of it. */
	decodes("{\"name\":\"n\",\"type\":\"macvlan\",\"mode\":\"private\",\"vlan\":3,\"MTU\":1,"
		"\"bridge\":\"a/b\",\"mtu\":9,\"hairpinMode\":\"x\",\"ipMasq\":true,"
		"\"prevResult\":{\"ips\":7},"
		"\"ipam\":{\"type\":\"roost\",\"subnet\":\"10.0.0.0/24\"}}");
	ck_assert(request.ipam_only && !request.delegate);
	ck_assert(!cni_request_wants_node(&request));
	refuses("{\"name\":\"n\",\"type\":\"bridge\",\"ipam\":{\"type\":\"static\"}}", CNI_CONFIG,
		"neither type nor ipam.type is roost");
	refuses(with_ipam("\"type\":7"), CNI_DECODE, "ipam.type: expected a string");
}
END_TEST

START_TEST(podCIDRs_of_node_json_are_not_for_a_foreign_ipam_plugin)
{
	ck_assert_int_eq(decode_env(&add_env, with_ipam("\"type\":\"static\"")), 0);
	ck_assert_int_eq(
		cni_request_add_node(&request, "{\"version\":1,\"podCIDRs\":[]}", 27, &mem, &err),
		0);
	ck_assert_uint_eq(request.set_count, 0);
}
END_TEST

/* ---------------------------------------------------------------- an IPAM plugin's answer */

static json_t *document;
static struct cni_result answered;

static int answer(const char *text)
{
	json_decref(document);
	return cni_answer_decode(text, strlen(text), &mem, &document, &answered, &err);
}

START_TEST(an_answer_of_any_version_is_understood)
{
	char room[PREFIX_TEXT_MAX];

	ck_assert_int_eq(
		answer("{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.0.0.2/24\",\"gateway\":"
		       "\"10.0.0.1\",\"routes\":[{\"dst\":\"0.0.0.0/0\"}]},"
		       "\"ip6\":{\"ip\":\"fd00::2/64\"}}"),
		0);
	ck_assert_uint_eq(answered.ip_count, 2);
	ck_assert_uint_eq(answered.route_count, 1);
	ck_assert_str_eq(prefix_format(&answered.ips[0].address, room), "10.0.0.2/24");
	ck_assert_uint_eq(answered.ips[1].gateway.family, 0);
	/* No cniVersion; an interface that cannot be. */
	ck_assert_int_eq(
		answer("{\"ips\":[{\"version\":\"4\",\"interface\":0,\"address\":\"10.0.0.2/24\"}],"
		       "\"dns\":{\"domain\":\"x\"}}"),
		0);
	ck_assert_int_eq(answered.ips[0].interface, CNI_UNSET);
	ck_assert(answered.dns.given);
}
END_TEST

/* Each list has its limit; and so have the three of one answer together. */
START_TEST(an_answer_of_too_many_routes_is_refused)
{
	static const char *const heads[] = {
		"{\"ip4\":{\"ip\":\"10.0.0.2/24\",\"routes\":[", "]},\"routes\":[", "]}"};

	for (unsigned second = 24; second <= 25; second++) {
		_cleanup_buf_ struct buf text = {0};
		const unsigned counts[] = {40, second, 0};

		for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
			buf_puts(&text, heads[i]);
			for (unsigned k = 0; k < counts[i]; k++)
				buf_printf(&text, "%s{\"dst\":\"10.%zu.%u.0/24\"}", k ? "," : "", i, k);
		}
		ck_assert_int_eq(answer(buf_text(&text)), second == 24 ? 0 : -1);
	}
	ck_assert_int_eq(err.code, CNI_DECODE);
	ck_assert_ptr_nonnull(strstr(err.msg, "64 routes"));
}
END_TEST

START_TEST(an_answer_without_sense_is_refused)
{
	static const struct {
		const char *text;
		int code;
		const char *says;
	} rows[] = {
		{"", CNI_DECODE, "line 1"},
		{"hello", CNI_DECODE, "line 1"},
		{"null", CNI_DECODE, "line 1"},
		{"[]", CNI_DECODE, "expected an object"},
		{"{}", CNI_CONFIG, "no address"},
		{"{\"ips\":[]}", CNI_CONFIG, "no address"},
		{"{\"ips\":null}", CNI_CONFIG, "no address"},
		{"{\"ips\":[{}]}", CNI_CONFIG, "ips[0].address: missing"},
		{"{\"ips\":[{\"address\":\"10.0.0.2\"}]}", CNI_CONFIG, "ips[0].address: expected"},
		{"{\"ips\":[{\"address\":\"10.0.0.2/33\"}]}", CNI_CONFIG,
			"ips[0].address: expected"},
		{"{\"ips\":[{\"address\":\"10.0.0.2/8\",\"gateway\":\"::1\"}]}", CNI_CONFIG,
			"ips[0].gateway: not of the address's family"},
		{"{\"ip4\":[]}", CNI_DECODE, "ip4: expected an object"},
		{"{\"ips\":[{\"address\":\"10.0.0.2/8\"}],\"routes\":[{}]}", CNI_CONFIG,
			"routes[0].dst"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ck_assert_msg(answer(rows[i].text) < 0, "%s", rows[i].text);
		ck_assert_msg(strstr(err.msg, rows[i].says), "%s: %s", rows[i].text, err.msg);
		ck_assert_int_eq(err.code, rows[i].code);
	}
	json_decref(document);
	document = NULL;
}
END_TEST

START_TEST(a_failure_keeps_the_codes_that_the_specification_knows)
{
	static const struct {
		const char *text;
		int code;
		const char *msg;
	} rows[] = {
		{"{\"code\":11,\"msg\":\"later\"}", 11, "later"},
		{"{\"code\":50,\"msg\":\"a\",\"details\":\"b\"}", 50, "a; b"},
		/* "Unknown container": the runtime would not clean up. */
		{"{\"code\":3,\"msg\":\"a\"}", CNI_DELEGATE, "a"},
		{"{\"code\":999,\"msg\":\"a\"}", CNI_DELEGATE, "a"},
		{"{\"code\":-1}", CNI_DELEGATE, "failed without saying why"},
		{"{\"code\":4294967300,\"msg\":7}", CNI_DELEGATE, "failed without saying why"},
		{"what?", CNI_DELEGATE, "failed without saying why"},
		{"[]", CNI_DELEGATE, "failed without saying why"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ck_assert_int_eq(cni_failure_decode(rows[i].text, strlen(rows[i].text), &err), -1);
		ck_assert_int_eq(err.code, rows[i].code);
		ck_assert_str_eq(err.msg, rows[i].msg);
	}
}
END_TEST

START_TEST(a_key_that_differs_only_by_case_is_refused)
{
	refuses(with("\"MTU\":1400"), CNI_CONFIG, "MTU: write mtu");
	refuses("{\"CNIVersion\":\"1.0.0\",\"name\":\"n\"}", CNI_CONFIG,
		"CNIVersion: write cniVersion");
	refuses(with_ipam("\"datadir\":\"/x\""), CNI_CONFIG, "ipam.datadir: write dataDir");
	refuses(with_ipam("\"ranges\":[[{\"Subnet\":\"10.0.0.0/24\"}]]"), CNI_CONFIG,
		"ipam.ranges[0][0].Subnet: write subnet");
	decodes(with("\"somethingElse\":1,\"cni.dev/x\":2"));
}
END_TEST

START_TEST(the_old_form_of_a_range_comes_first)
{
	decodes(with_ipam("\"subnet\":\"10.9.0.0/24\",\"gateway\":\"10.9.0.9\","
			  "\"ranges\":[[{\"subnet\":\"10.0.0.0/24\"}]]"));
	ck_assert_uint_eq(request.set_count, 2);
	ck_assert_uint_eq(request.sets[0].ranges[0].gateway.bytes[3], 9);
}
END_TEST

START_TEST(del_takes_a_configuration_that_add_would_refuse)
{
	struct cni_env env = add_env;

	env.command = "DEL";
	env.netns = "";
	env.args = "nonsense";
	ck_assert_int_eq(decode_env(&env, "{\"name\":\"n\",\"mtu\":\"x\",\"vlan\":7,\"mode\":8,"
					  "\"MTU\":1,\"prevResult\":5,"
					  "\"ipam\":{\"type\":\"gone\",\"ranges\":\"x\"}}"),
		0);
}
END_TEST

/* ---------------------------------------------------------------- CNI_ARGS and friends */

static int decode_args(const char *args, const char *more)
{
	struct cni_env env = add_env;

	env.args = args;
	return decode_env(&env, with(more));
}

START_TEST(cni_args_are_pairs_that_somebody_knows)
{
	ck_assert_int_eq(decode_args("", ""), 0);
	ck_assert_int_eq(decode_args("IP=10.0.0.9;MAC=0a:00:00:00:00:01;", ""), 0);
	ck_assert_uint_eq(request.requested_count, 1);
	ck_assert(request.has_mac);
	ck_assert_int_eq(decode_args("IgnoreUnknown=1;K8S_POD_NAME=x;K8S_POD_UID=y", ""), 0);
	ck_assert_int_eq(decode_args("K8S_POD_NAME=x;IgnoreUnknown=TRUE", ""), 0);
	ck_assert_int_eq(decode_args("K8S_POD_NAME=x", ""), -1);
	ck_assert_int_eq(err.code, CNI_ENVIRONMENT);
	ck_assert_int_eq(decode_args("IP", ""), -1);
	ck_assert_int_eq(decode_args("IP=a=b", ""), -1);
	ck_assert_int_eq(decode_args("IP=10.0.0.999", ""), -1);
	ck_assert_int_eq(decode_args("MAC=ff:ff:ff:ff:ff:ff", ""), -1);
	ck_assert_int_eq(decode_args("MAC=0a:00:00:00:00", ""), -1);
}
END_TEST

START_TEST(runtimeConfig_wins_over_args_and_args_over_CNI_ARGS)
{
	const char *all =
		"\"runtimeConfig\":{\"ips\":[\"10.0.0.7/24\"],\"mac\":\"0a:00:00:00:00:07\"},"
		"\"args\":{\"cni\":{\"ips\":[\"10.0.0.8\"],\"mac\":\"0a:00:00:00:00:08\"}}";

	ck_assert_int_eq(decode_args("IP=10.0.0.9;MAC=0a:00:00:00:00:09", all), 0);
	ck_assert_uint_eq(request.requested_count, 1);
	ck_assert_uint_eq(request.requested[0].bytes[3], 7);
	ck_assert_uint_eq(request.mac[5], 7);
	ck_assert_int_eq(
		decode_args("IP=10.0.0.9;MAC=0a:00:00:00:00:09", strstr(all, "\"args\"")), 0);
	ck_assert_uint_eq(request.requested_count, 1);
	ck_assert_uint_eq(request.requested[0].bytes[3], 8);
	ck_assert_uint_eq(request.mac[5], 8);
}
END_TEST

/* ---------------------------------------------------------------- node.json */

static int add_node(const char *conf, const char *node)
{
	if (decode_env(&add_env, conf) < 0)
		return -1;
	if (cni_request_add_node(&request, node, strlen(node), &mem, &err) < 0)
		return -1;
	return cni_request_complete(&request, &err);
}

#define NODE                                                                                       \
	"{\"version\":1,\"node\":\"node1\",\"mode\":\"bridge\",\"bridge\":\"br5\",\"mtu\":1450,"   \
	"\"podCIDRs\":[\"fd00:1::/64\",\"10.244.1.0/24\",\"10.244.9.0/24\"],\"binDir\":\"/opt/"    \
	"cni/bin\"}"

START_TEST(node_json_fills_in_what_the_configuration_leaves_open)
{
	ck_assert_int_eq(add_node("{\"name\":\"n\",\"ipam\":{\"type\":\"roost\"}}", NODE), 0);
	ck_assert_str_eq(request.bridge, "br5");
	ck_assert_uint_eq(request.mtu, 1450);
	ck_assert_uint_eq(request.set_count, 2);
	ck_assert_uint_eq(request.sets[0].ranges[0].subnet.addr.family, AF_INET6);
	ck_assert_uint_eq(request.sets[1].count, 2);
	ck_assert_int_eq(add_node(with("\"bridge\":\"br7\",\"mtu\":1300"), NODE), 0);
	ck_assert_str_eq(request.bridge, "br7");
	ck_assert_uint_eq(request.mtu, 1300);
	ck_assert_uint_eq(request.set_count, 1);
}
END_TEST

START_TEST(a_node_without_podCIDR_is_a_reason_to_try_again)
{
	ck_assert_int_eq(
		add_node("{\"name\":\"n\"}", "{\"version\":1,\"node\":\"n\",\"podCIDRs\":[]}"), -1);
	ck_assert_int_eq(err.code, CNI_TRY_LATER);
	ck_assert_str_eq(err.msg, "/run/roost/node.json: this node has no podCIDR yet");
}
END_TEST

START_TEST(a_node_json_that_is_none_is_refused)
{
	static const char *const rows[] = {"", "[]", "{}", "{\"version\":2}",
		"{\"version\":1,\"podCIDRs\":5}", "{\"version\":1,\"podCIDRs\":[5]}",
		"{\"version\":1,\"podCIDRs\":[\"10.0.0.0/31\"]}"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_msg(add_node("{\"name\":\"n\"}", rows[i]) < 0, "%s", rows[i]);
}
END_TEST

/* ---------------------------------------------------------------- GC and prevResult */

START_TEST(gc_tells_none_from_not_known)
{
	const struct cni_env env = {.command = "GC"};

	ck_assert_int_eq(decode_env(&env, "{\"cniVersion\":\"1.1.0\",\"name\":\"n\"}"), -1);
	ck_assert_int_eq(err.code, CNI_CONFIG);
	ck_assert_int_eq(decode_env(&env, "{\"cniVersion\":\"1.1.0\",\"name\":\"n\","
					  "\"cni.dev/valid-attachments\":null}"),
		0);
	ck_assert_uint_eq(request.attachment_count, 0);
	ck_assert_int_eq(
		decode_env(&env, "{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"cni.dev/attachments\":"
				 "[{\"containerID\":\"c1\",\"ifname\":\"eth0\"}]}"),
		0);
	ck_assert_uint_eq(request.attachment_count, 1);
	ck_assert_str_eq(request.attachments[0].container, "c1");
}
END_TEST

START_TEST(check_reads_the_result_of_add)
{
	struct cni_env env = add_env;

	env.command = "CHECK";
	ck_assert_int_eq(decode_env(&env, with("")), 0);
	ck_assert_int_eq(cni_request_complete(&request, &err), -1);
	ck_assert_str_eq(err.msg, "prevResult: missing, CHECK compares with it");
	ck_assert_int_eq(
		decode_env(&env, with("\"prevResult\":{\"cniVersion\":\"1.1.0\",\"interfaces\":"
				      "[{\"name\":\"eth0\",\"mac\":\"0a:00:00:00:00:01\","
				      "\"sandbox\":\"/x\"}],"
				      "\"ips\":[{\"address\":\"10.0.0.2/"
				      "24\",\"gateway\":\"10.0.0.1\",\"interface\":0}],"
				      "\"routes\":[{\"dst\":\"0.0.0.0/0\"}],\"dns\":{}}")),
		0);
	ck_assert_uint_eq(request.previous.ip_count, 1);
	ck_assert_int_eq(request.previous.ips[0].interface, 0);
	ck_assert_uint_eq(request.previous.route_count, 1);
	ck_assert_int_eq(
		decode_env(&env, with("\"prevResult\":{\"ips\":[{\"address\":\"10.0.0.2/24\","
				      "\"interface\":0}]}")),
		-1);
}
END_TEST

/* ---------------------------------------------------------------- printing */

static const char *print(enum cni_spec spec)
{
	static struct buf out;
	struct prefix p4, p6;
	struct cni_interface interfaces[] = {{"roost0", "0a:58:0a:00:00:01", "", 1500},
		{"eth0", "0a:58:0a:00:00:02", "/ns", 1500}};
	struct cni_route routes[] = {
		{.priority = CNI_UNSET, .table = CNI_UNSET, .scope = CNI_UNSET, .mtu = 1400},
		{.priority = CNI_UNSET, .table = CNI_UNSET, .scope = CNI_UNSET}};
	struct cni_ip ips[2] = {{.interface = 1}, {.interface = 1}};
	struct cni_result result = {interfaces, 2, ips, 2, routes, 2, {0}};

	prefix_parse("10.0.0.2/24", &p4);
	prefix_parse("fd00::2/64", &p6);
	ips[0].address = p4;
	ips[1].address = p6;
	addr_parse("10.0.0.1", &ips[0].gateway);
	addr_parse("fd00::1", &ips[1].gateway);
	prefix_parse("0.0.0.0/0", &routes[0].dst);
	prefix_parse("::/0", &routes[1].dst);
	buf_free(&out);
	ck_assert_int_eq(cni_result_print(&result, spec, &out, &err), 0);
	return buf_text(&out);
}

START_TEST(a_result_has_the_shape_of_its_version)
{
	ck_assert_str_eq(print(SPEC_0_2_0),
		"{\"cniVersion\":\"0.2.0\","
		"\"ip4\":{\"ip\":\"10.0.0.2/"
		"24\",\"gateway\":\"10.0.0.1\",\"routes\":[{\"dst\":\"0.0.0.0/0\"}]},"
		"\"ip6\":{\"ip\":\"fd00::2/64\",\"gateway\":\"fd00::1\",\"routes\":[{\"dst\":\"::/"
		"0\"}]}}\n");
	ck_assert_str_eq(print(SPEC_0_4_0),
		"{\"cniVersion\":\"0.4.0\",\"interfaces\":[{\"name\":\"roost0\",\"mac\":\"0a:58:0a:"
		"00:00:01\"},"
		"{\"name\":\"eth0\",\"mac\":\"0a:58:0a:00:00:02\",\"sandbox\":\"/ns\"}],"
		"\"ips\":[{\"version\":\"4\",\"interface\":1,\"address\":\"10.0.0.2/"
		"24\",\"gateway\":\"10.0.0.1\"},"
		"{\"version\":\"6\",\"interface\":1,\"address\":\"fd00::2/"
		"64\",\"gateway\":\"fd00::1\"}],"
		"\"routes\":[{\"dst\":\"0.0.0.0/0\"},{\"dst\":\"::/0\"}]}\n");
	ck_assert_str_eq(print(SPEC_1_1_0),
		"{\"cniVersion\":\"1.1.0\",\"interfaces\":[{\"name\":\"roost0\",\"mac\":\"0a:58:0a:"
		"00:00:01\","
		"\"mtu\":1500},{\"name\":\"eth0\",\"mac\":\"0a:58:0a:00:00:02\",\"mtu\":1500,"
		"\"sandbox\":\"/ns\"}],"
		"\"ips\":[{\"interface\":1,\"address\":\"10.0.0.2/24\",\"gateway\":\"10.0.0.1\"},"
		"{\"interface\":1,\"address\":\"fd00::2/64\",\"gateway\":\"fd00::1\"}],"
		"\"routes\":[{\"dst\":\"0.0.0.0/0\",\"mtu\":1400},{\"dst\":\"::/0\"}]}\n");
}
END_TEST

START_TEST(interface_0_is_printed_and_no_interface_is_not)
{
	struct cni_interface interface = {"eth0", "0a:58:0a:00:00:02", "/ns", 0};
	struct cni_ip ips[2] = {{.interface = 0}, {.interface = CNI_UNSET}};
	const struct cni_result result = {
		.interfaces = &interface, .interface_count = 1, .ips = ips, .ip_count = 2};
	struct buf out = {0};

	prefix_parse("10.0.0.2/24", &ips[0].address);
	prefix_parse("10.0.0.3/24", &ips[1].address);
	ck_assert_int_eq(cni_result_print(&result, SPEC_1_0_0, &out, &err), 0);
	ck_assert_str_eq(buf_text(&out),
		"{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"eth0\",\"mac\":"
		"\"0a:58:0a:00:00:02\",\"sandbox\":\"/ns\"}],"
		"\"ips\":[{\"interface\":0,\"address\":\"10.0.0.2/24\"},{\"address\":"
		"\"10.0.0.3/24\"}],\"routes\":[]}\n");
	buf_free(&out);
}
END_TEST

START_TEST(a_result_without_an_address_has_no_form_before_0_3_0)
{
	const struct cni_result none = {0};
	struct buf out = {0};

	ck_assert_int_eq(cni_result_print(&none, SPEC_0_2_0, &out, &err), -1);
	ck_assert_int_eq(err.code, CNI_VERSION);
	ck_assert_int_eq(cni_result_print(&none, SPEC_0_3_0, &out, &err), 0);
	buf_free(&out);
}
END_TEST

START_TEST(ipRanges_come_before_the_configured_ranges)
{
	decodes(with("\"runtimeConfig\":{\"ipRanges\":[[{\"subnet\":\"10.7.0.0/24\"}],"
		     "[{\"subnet\":\"fd07::/64\"}]]}"));
	ck_assert_uint_eq(request.set_count, 3);
	ck_assert_uint_eq(request.sets[0].ranges[0].subnet.addr.bytes[1], 7);
	ck_assert_uint_eq(request.sets[2].ranges[0].subnet.addr.bytes[1], 0);
	refuses(with("\"runtimeConfig\":{\"ipRanges\":[[{\"subnet\":\"10.7.0.0/33\"}]]}"),
		CNI_CONFIG, "runtimeConfig.ipRanges[0][0].subnet: expected");
	refuses(with("\"runtimeConfig\":{\"ipRanges\":[[{\"subnet\":\"10.0.0.0/16\"}]]}"),
		CNI_CONFIG, "overlaps");
	refuses(with("\"runtimeConfig\":{\"ipranges\":[]}"), CNI_CONFIG, "write ipRanges");
}
END_TEST

static size_t resolv(const char *text)
{
	dns_resolv_conf_decode(text, &mem, &request.dns);
	return request.dns.servers.count + request.dns.search.count + request.dns.options.count +
	       (request.dns.domain != NULL);
}

START_TEST(a_resolv_conf_is_read_as_host_local_does)
{
	ck_assert_uint_eq(resolv(""), 0);
	ck_assert_uint_eq(resolv("# nameserver 192.0.2.0\n; search x\n\n \t \n"), 0);
	ck_assert_uint_eq(resolv("nameserver\nnameserver \nsearch\nfoo bar\nNAMESERVER x"), 0);
	ck_assert_uint_eq(resolv("nameserver 192.0.2.0\r\n\tnameserver\t2001:db8::1 # x"), 2);
	ck_assert_str_eq(request.dns.servers.items[0], "192.0.2.0");
	ck_assert_str_eq(request.dns.servers.items[1], "2001:db8::1");
	ck_assert_uint_eq(
		resolv("search a b\ndomain old\ndomain new\noptions x:1  y\nsearch c"), 6);
	ck_assert_str_eq(request.dns.domain, "new");
	ck_assert_str_eq(request.dns.search.items[2], "c");
	ck_assert_str_eq(request.dns.options.items[1], "y");
}
END_TEST

START_TEST(an_error_is_one_json_object)
{
	struct buf out = {0};

	err_set(&err, CNI_TRY_LATER, "10.0.0.0/24: all 253 addresses are in use");
	cni_error_print(&err, SPEC_1_0_0, &out);
	ck_assert_str_eq(buf_text(&out), "{\"cniVersion\":\"1.0.0\",\"code\":11,\"msg\":\"10.0.0.0/"
					 "24: all 253 addresses are in use\","
					 "\"details\":\"try again later\"}\n");
	buf_free(&out);
}
END_TEST

START_TEST(an_error_that_quotes_anything_stays_one_line_of_text)
{
	struct buf out = {0};

	err_set(&err, CNI_CONFIG, "a\nb\x1b[31m\xc3\xa4\x80");
	cni_error_clean(&err);
	ck_assert_str_eq(err.msg, "a?b?[31m???");
	cni_error_print(&err, SPEC_1_0_0, &out);
	ck_assert_ptr_nonnull(strstr(buf_text(&out), "a?b?[31m???"));
	buf_free(&out);
}
END_TEST

UNIT(cni_protocol, all_missing_variables_are_named_at_once,
	ids_and_interface_names_that_reach_into_paths_are_refused,
	a_container_id_that_fits_no_slot_is_refused_with_the_limit,
	version_status_and_gc_need_no_container, every_version_of_the_specification_is_known,
	no_version_means_the_first_one, other_versions_are_refused_with_code_1,
	commands_that_came_later_need_their_version, what_is_no_json_is_refused_with_its_place,
	a_nul_byte_is_refused, sixty_four_levels_are_deep_enough,
	a_full_configuration_is_understood, what_is_left_out_has_a_default,
	a_wrong_value_is_named_with_its_path, what_we_do_not_do_is_refused_with_code_2,
	mode_is_bridge_or_routed, the_two_types_say_which_part_is_ours,
	podCIDRs_of_node_json_are_not_for_a_foreign_ipam_plugin,
	an_answer_of_any_version_is_understood, an_answer_of_too_many_routes_is_refused,
	an_answer_without_sense_is_refused,
	a_failure_keeps_the_codes_that_the_specification_knows,
	a_key_that_differs_only_by_case_is_refused, the_old_form_of_a_range_comes_first,
	del_takes_a_configuration_that_add_would_refuse, cni_args_are_pairs_that_somebody_knows,
	runtimeConfig_wins_over_args_and_args_over_CNI_ARGS,
	node_json_fills_in_what_the_configuration_leaves_open,
	a_node_without_podCIDR_is_a_reason_to_try_again, a_node_json_that_is_none_is_refused,
	gc_tells_none_from_not_known, check_reads_the_result_of_add,
	a_result_has_the_shape_of_its_version, interface_0_is_printed_and_no_interface_is_not,
	a_result_without_an_address_has_no_form_before_0_3_0,
	ipRanges_come_before_the_configured_ranges, a_resolv_conf_is_read_as_host_local_does,
	an_error_is_one_json_object, an_error_that_quotes_anything_stays_one_line_of_text)
