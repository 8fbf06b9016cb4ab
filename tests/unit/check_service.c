/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kube/service: what is kept of Services and EndpointSlices, and which addresses a node
 * announces for them.  Objects are written as the API server sends them; some are what
 * a real one sent. */
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "kube/service.h"
#include "model/decode.h"
#include "unit.h"

/* ---------------------------------------------------------------- reduce */

static json_t *parse(const char *text)
{
	json_error_t error;
	json_t *json = json_loads(text, 0, &error);

	ck_assert_msg(json != NULL, "%s: %s", text, error.text);
	return json;
}

static const char *as_text(json_t *reduced, struct arena *arena)
{
	char *dumped = json_dumps(reduced, JSON_COMPACT | JSON_SORT_KEYS);
	const char *text = arena_strdup(arena, dumped);

	free(dumped);
	json_decref(reduced);
	return text;
}

static json_t *service(const char *text)
{
	json_t *object = parse(text), *reduced;
	struct err err;

	reduced = reduce_service(object, &err);
	ck_assert_msg(reduced != NULL, "%s: %s", text, err.msg);
	json_decref(object);
	return reduced;
}

static json_t *slice(const char *text)
{
	json_t *object = parse(text), *reduced;
	struct err err;

	reduced = reduce_slice(object, "node1", &err);
	ck_assert_msg(reduced != NULL, "%s: %s", text, err.msg);
	json_decref(object);
	return reduced;
}

#define NAME "\"metadata\": {\"namespace\": \"default\", \"name\": \"web\"}"
#define KEPT_NAME "\"name\":\"web\",\"namespace\":\"default\""

static json_t *recorded(const char *name)
{
	const char *srcdir = getenv("srcdir");
	_cleanup_buf_ struct buf text = {0};
	struct err err;
	char path[300];
	json_t *list;

	snprintf(path, sizeof(path), "%s/tests/lab/kubernetes-api/%s", srcdir ? srcdir : ".", name);
	ck_assert_msg(file_read(path, 1 << 20, &text, &err) == 0, "%s", err.msg);
	list = parse(buf_text(&text));
	ck_assert_uint_eq(json_array_size(json_object_get(list, "items")), 3);
	return list;
}

START_TEST(real_services_keep_their_addresses)
{
	static const char *const expected[] = {
		"{\"clusterIPs\":[\"10.96.0.1\"],\"internalLocalOnly\":false,\"kind\":\"Service\","
		"\"localOnly\":false,\"name\":\"kubernetes\",\"namespace\":\"default\"}",
		"{\"clusterIPs\":[\"10.96.42.255\"],\"internalLocalOnly\":false,\"kind\":\"Service\","
		"\"localOnly\":false,\"name\":\"plain\",\"namespace\":\"default\"}",
		"{\"clusterIPs\":[\"10.96.140.14\"],\"externalIPs\":[\"203.0.113.10\"],"
		"\"ingressIPs\":[\"198.51.100.7\"],\"internalLocalOnly\":false,\"kind\":\"Service\",\"localOnly\":true,"
		"\"name\":\"web\",\"namespace\":\"default\"}",
	};
	_cleanup_arena_ struct arena arena = {0};
	json_t *list = recorded("services.json");
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		ck_assert_str_eq(as_text(reduce_service(json_array_get(json_object_get(list, "items"),
							      i), &err), &arena), expected[i]);
	json_decref(list);
}
END_TEST

START_TEST(real_slices_say_where_endpoints_are)
{
	static const struct {
		const char *node, *here[3];
	} rows[] = {{"real1", {"none", "ready", "ready"}}, {"node1", {"none", "none", "none"}}};
	static const char *const services[] = {"kubernetes", "plain", "web"};
	json_t *list = recorded("endpointslices.json");
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t j = 0; j < 3; j++) {
			json_t *reduced = reduce_slice(json_array_get(json_object_get(list, "items"), j),
				rows[i].node, &err);

			ck_assert_str_eq(json_string_value(json_object_get(reduced, "service")),
				services[j]);
			ck_assert_str_eq(json_string_value(json_object_get(reduced, "anywhere")),
				"ready");
			ck_assert_str_eq(json_string_value(json_object_get(reduced, "here")),
				rows[i].here[j]);
			json_decref(reduced);
		}
	json_decref(list);
}
END_TEST

START_TEST(service_that_no_node_serves_has_no_addresses)
{
	static const char *const rows[] = {
		"{" NAME ", \"spec\": {\"clusterIP\": \"None\", \"clusterIPs\": [\"None\"], "
		"\"externalIPs\": [\"203.0.113.1\"]}}",
		"{" NAME ", \"spec\": {\"type\": \"ExternalName\", \"externalIPs\": [\"203.0.113.1\"]}}",
		"{\"metadata\": {\"namespace\": \"default\", \"name\": \"web\", \"labels\": "
		"{\"service.kubernetes.io/headless\": \"\"}}, "
		"\"spec\": {\"externalIPs\": [\"203.0.113.1\"]}}",
		"{\"metadata\": {\"namespace\": \"default\", \"name\": \"web\", \"labels\": "
		"{\"service.kubernetes.io/service-proxy-name\": \"x\"}}, "
		"\"spec\": {\"externalIPs\": [\"203.0.113.1\"]}}",
		"{\"metadata\": {\"namespace\": \"default\", \"name\": \"web\", "
		"\"deletionTimestamp\": \"2026-11-22T22:43:46Z\"}, "
		"\"spec\": {\"externalIPs\": [\"203.0.113.1\"]}}",
	};
	_cleanup_arena_ struct arena arena = {0};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_str_eq(as_text(service(rows[i]), &arena),
			"{\"kind\":\"Service\"," KEPT_NAME "}");
}
END_TEST

#define POLICY ",\"internalLocalOnly\":false,\"kind\":\"Service\",\"localOnly\":false,"

START_TEST(what_is_no_address_is_left_out_of_a_service)
{
	static const struct {
		const char *object, *kept;
	} rows[] = {
		{"\"spec\": null, \"status\": null", "{\"internalLocalOnly\":false,\"kind\":\"Service\",\"localOnly\":false,"},
		{"\"spec\": 5, \"status\": [1]", "{\"internalLocalOnly\":false,\"kind\":\"Service\",\"localOnly\":false,"},
		{"\"spec\": {\"externalIPs\": \"203.0.113.1\", \"clusterIPs\": {\"0\": \"10.0.0.1\"}}",
			"{\"internalLocalOnly\":false,\"kind\":\"Service\",\"localOnly\":false,"},
		{"\"spec\": {\"externalIPs\": [null, 1, [], {}, \"\", \"x\", \"203.0.113.1/32\", "
		 "\"010.0.0.1\", \"2001:DB8::0:1\", \"203.0.113.2; }\"]}",
			"{\"externalIPs\":[\"2001:db8::1\"]" POLICY},
		{"\"status\": {\"loadBalancer\": {\"ingress\": [{\"hostname\": \"lb.example\"}, null, "
		 "{\"ip\": 7}, {\"ip\": \"203.0.113.7\", \"ipMode\": null}, "
		 "{\"ip\": \"203.0.113.8\", \"ipMode\": \"Proxy\"}, "
		 "{\"ip\": \"203.0.113.9\", \"ipMode\": \"VIP\"}]}}",
			"{\"ingressIPs\":[\"203.0.113.7\",\"203.0.113.9\"]" POLICY},
		{"\"spec\": {\"externalTrafficPolicy\": \"Local\", \"internalTrafficPolicy\": \"Local\"}",
			"{\"internalLocalOnly\":true,\"kind\":\"Service\",\"localOnly\":true,"},
		{"\"spec\": {\"externalTrafficPolicy\": \"local\", \"internalTrafficPolicy\": [\"Local\"]}",
			"{\"internalLocalOnly\":false,\"kind\":\"Service\",\"localOnly\":false,"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};
		const char *object = arena_printf(&arena, "{" NAME ", %s}", rows[i].object);
		const char *expected = arena_printf(&arena, "%s" KEPT_NAME "%s}", rows[i].kept,
			strstr(object, "Proxy") ? ",\"proxyIPs\":[\"203.0.113.8\"]" : "");

		ck_assert_str_eq(as_text(service(object), &arena), expected);
	}
}
END_TEST

START_TEST(endless_list_of_addresses_is_cut)
{
	_cleanup_buf_ struct buf text = {0};
	json_t *reduced;

	buf_puts(&text, "{" NAME ", \"spec\": {\"externalIPs\": [\"203.0.113.1\"");
	for (int i = 0; i < 100000; i++)
		buf_puts(&text, ", \"203.0.113.2\"");
	buf_puts(&text, "]}}");
	reduced = service(text.text);
	ck_assert_uint_eq(json_array_size(json_object_get(reduced, "externalIPs")), 64);
	json_decref(reduced);
}
END_TEST

START_TEST(object_without_a_name_is_refused)
{
	static const char *const rows[] = {"{}", "[]", "null", "7", "\"web\"", "{\"metadata\": null}",
		"{\"metadata\": []}", "{\"metadata\": {\"name\": \"web\"}}",
		"{\"metadata\": {\"namespace\": \"default\"}}",
		"{\"metadata\": {\"namespace\": \"default\", \"name\": \"\"}}",
		"{\"metadata\": {\"namespace\": 1, \"name\": \"web\"}}",
		"{\"metadata\": {\"namespace\": \"a/b\", \"name\": \"web\"}}",
		"{\"metadata\": {\"namespace\": \"default\", \"name\": \"\\u001b[31m\"}}"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *object = json_loads(rows[i], JSON_DECODE_ANY, NULL);
		struct err err = {0};

		ck_assert_ptr_null(reduce_service(object, &err));
		ck_assert_str_eq(err.msg,
			"Service without a namespace and name of 1 to 253 characters");
		ck_assert_ptr_null(reduce_slice(object, "node1", &err));
		ck_assert_str_eq(err.msg,
			"EndpointSlice without a namespace and name of 1 to 253 characters");
		json_decref(object);
	}
}
END_TEST

#define SLICE(rest) "{\"metadata\": {\"namespace\": \"default\", \"name\": \"web-1\", \"labels\": " \
	"{\"kubernetes.io/service-name\": \"web\"}}, \"addressType\": \"IPv4\"" rest "}"
#define ENDPOINT(rest) SLICE(", \"endpoints\": [{\"addresses\": [\"10.244.1.5\"]" rest "}]")

START_TEST(conditions_are_read_as_the_api_says)
{
	static const struct {
		const char *object, *anywhere, *here;
	} rows[] = {
		{SLICE(""), "none", "none"},
		{SLICE(", \"endpoints\": null"), "none", "none"},
		{SLICE(", \"endpoints\": [null, 1, \"x\", {}]"), "none", "none"},
		{SLICE(", \"endpoints\": [{\"addresses\": null}]"), "none", "none"},
		/* unknown is ready */
		{ENDPOINT(""), "ready", "none"},
		{ENDPOINT(", \"conditions\": null"), "ready", "none"},
		{ENDPOINT(", \"conditions\": {\"ready\": null}"), "ready", "none"},
		{ENDPOINT(", \"conditions\": {\"ready\": true}, \"nodeName\": \"node2\""), "ready", "none"},
		{ENDPOINT(", \"conditions\": {\"ready\": true}, \"nodeName\": \"node1\""), "ready", "ready"},
		{ENDPOINT(", \"conditions\": {\"ready\": true}, \"nodeName\": [\"node1\"]"), "ready", "none"},
		/* without `serving` it is what `ready` is */
		{ENDPOINT(", \"conditions\": {\"ready\": false}, \"nodeName\": \"node1\""), "none", "none"},
		{ENDPOINT(", \"conditions\": {\"ready\": \"false\"}"), "none", "none"},
		{ENDPOINT(", \"conditions\": {\"ready\": false, \"serving\": true, \"terminating\": true}, "
			  "\"nodeName\": \"node1\""), "serving", "serving"},
		{ENDPOINT(", \"conditions\": {\"ready\": false, \"serving\": false, "
			  "\"terminating\": true}"), "none", "none"},
		{SLICE(", \"endpoints\": ["
		       "{\"addresses\": [\"10.244.1.5\"], \"conditions\": {\"ready\": false, "
		       "\"serving\": true}, \"nodeName\": \"node1\"}, "
		       "{\"addresses\": [\"10.244.2.5\"], \"nodeName\": \"node2\"}]"),
			"ready", "serving"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_arena_ struct arena arena = {0};

		ck_assert_str_eq(as_text(slice(rows[i].object), &arena),
			arena_printf(&arena, "{\"anywhere\":\"%s\",\"family\":\"IPv4\",\"here\":\"%s\","
				"\"kind\":\"EndpointSlice\",\"name\":\"web-1\",\"namespace\":\"default\",\"service\":\"web\"}",
				rows[i].anywhere, rows[i].here));
	}
}
END_TEST

START_TEST(slice_of_no_service_is_an_empty_one)
{
	static const char *const rows[] = {
		"{" NAME ", \"addressType\": \"IPv4\", \"endpoints\": [{\"addresses\": [\"10.0.0.1\"]}]}",
		"{\"metadata\": {\"namespace\": \"default\", \"name\": \"web\", \"labels\": "
		"{\"kubernetes.io/service-name\": 5}}, \"addressType\": \"IPv4\"}",
		"{\"metadata\": {\"namespace\": \"default\", \"name\": \"web\", \"labels\": "
		"{\"kubernetes.io/service-name\": \"web\"}}, \"addressType\": \"FQDN\"}",
		"{\"metadata\": {\"namespace\": \"default\", \"name\": \"web\", \"labels\": "
		"{\"kubernetes.io/service-name\": \"web\"}}}",
	};
	_cleanup_arena_ struct arena arena = {0};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_str_eq(as_text(slice(rows[i]), &arena),
			"{\"kind\":\"EndpointSlice\"," KEPT_NAME "}");
}
END_TEST

/* ---------------------------------------------------------------- decode */

static const char yaml[] =
	"cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16, \"fd00:10:244::/48\"],\n"
	"          serviceCIDRs: [203.0.113.0/24, 10.96.0.0/16, \"2001:db8:5::/64\"]%s}\n"
	"nodes:\n"
	"- {name: node1, addresses: [192.168.1.11]%s}\n"
	"- {name: node2, addresses: [203.0.113.12]}\n"
	"peers: [{name: tor, address: 203.0.113.1, asNumber: 65000, export: [services]}]\n";

struct scene {
	struct arena arena;
	const char *options, *node_options;
	bool drained;
	json_t *services, *slices;
	struct cluster *cluster;
};

static struct scene *scene_new(void)
{
	struct scene *scene = xmalloc(sizeof(*scene));

	*scene = (struct scene){.options = "", .node_options = "", .services = json_array(),
		.slices = json_array()};
	return scene;
}

static void add_service(struct scene *scene, const char *name, const char *spec, const char *ingress)
{
	json_array_append_new(scene->services,
		service(arena_printf(&scene->arena,
			"{\"metadata\": {\"namespace\": \"default\", \"name\": \"%s\"}, \"spec\": {%s}, "
			"\"status\": {\"loadBalancer\": {\"ingress\": [%s]}}}",
			name, spec, ingress)));
}

static void add_endpoint(struct scene *scene, const char *name, const char *family, const char *node,
	const char *conditions)
{
	json_array_append_new(scene->slices,
		slice(arena_printf(&scene->arena,
			"{\"metadata\": {\"namespace\": \"default\", \"name\": \"%s-x\", \"labels\": "
			"{\"kubernetes.io/service-name\": \"%s\"}}, \"addressType\": \"%s\", "
			"\"endpoints\": [{\"addresses\": [\"a\"], \"nodeName\": \"%s\", "
			"\"conditions\": {%s}}]}",
			name, name, family, node, conditions)));
}

/* "203.0.113.10 default/web announced, ..."; frees the scene. */
static void assert_decoded(struct scene *scene, const char *expected)
{
	static const char *const verdicts[] = {
		[SERVICE_ANNOUNCED] = "announced", [SERVICE_OUTSIDE] = "outside",
		[SERVICE_TAKEN] = "taken", [SERVICE_PROXY_MODE] = "proxy",
		[SERVICE_EXCLUDED] = "excluded", [SERVICE_DRAINED] = "drained", [SERVICE_NO_ENDPOINT] = "no endpoint",
		[SERVICE_NOT_HERE] = "not here"};
	const char *text = arena_printf(&scene->arena, yaml, scene->options, scene->node_options);
	_cleanup_buf_ struct buf got = {0};
	const struct services *services;
	struct err err;

	ck_assert_msg(decode_cluster("roost.yaml", text, strlen(text), &scene->arena, &scene->cluster,
			      &err) == 0, "%s", err.msg);
	if (scene->drained)
		scene->cluster->nodes[0].drain = DRAIN_DRAINED;
	services_decode(scene->services, scene->slices, scene->cluster,
		cluster_find_node(scene->cluster, "node1"), &scene->arena);
	services = &scene->cluster->services;
	for (size_t i = 0; i < services->n; i++) {
		char room[ADDR_TEXT_MAX];

		buf_printf(&got, "%s%s %s %s", i ? ", " : "",
			addr_format(&services->items[i].prefix.addr, room),
			strchr(services->items[i].service, '/') + 1,
			verdicts[services->items[i].verdict]);
	}
	buf_puts(&got, " |");
	for (size_t i = 0; i < services->announced.n; i++) {
		char room[PREFIX_TEXT_MAX];

		buf_printf(&got, " %s", prefix_format(&services->announced.items[i], room));
	}
	ck_assert_str_eq(got.text, expected);
	json_decref(scene->services);
	json_decref(scene->slices);
	arena_free(&scene->arena);
	free(scene);
}

#define LOCAL "\"externalTrafficPolicy\": \"Local\", "
#define EXTERNAL "\"externalIPs\": [\"203.0.113.10\"]"
#define TERMINATING "\"ready\": false, \"serving\": true, \"terminating\": true"

START_TEST(every_node_announces_while_there_is_an_endpoint)
{
	static const struct {
		const char *node, *conditions, *expected;
	} rows[] = {
		{"node1", "", "203.0.113.10 web announced | 203.0.113.10/32"},
		{"node2", "\"ready\": true", "203.0.113.10 web announced | 203.0.113.10/32"},
		{"node2", "\"ready\": false", "203.0.113.10 web no endpoint |"},
		/* the last one, and it still serves */
		{"node2", TERMINATING, "203.0.113.10 web announced | 203.0.113.10/32"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct scene *scene = scene_new();

		add_service(scene, "web", EXTERNAL, "");
		add_endpoint(scene, "web", "IPv4", rows[i].node, rows[i].conditions);
		assert_decoded(scene, rows[i].expected);
	}
}
END_TEST

START_TEST(local_policy_is_for_nodes_with_an_endpoint)
{
	static const struct {
		const char *here, *there, *expected;
	} rows[] = {
		{"", "", "203.0.113.10 web announced | 203.0.113.10/32"},
		{"\"ready\": false", "", "203.0.113.10 web not here |"},
		{"\"ready\": false", "\"ready\": false", "203.0.113.10 web no endpoint |"},
		/* while it terminates the others take over, if there are any */
		{TERMINATING, "", "203.0.113.10 web not here |"},
		{TERMINATING, "\"ready\": false", "203.0.113.10 web announced | 203.0.113.10/32"},
		{TERMINATING, TERMINATING, "203.0.113.10 web announced | 203.0.113.10/32"},
		{"\"ready\": false", TERMINATING, "203.0.113.10 web not here |"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct scene *scene = scene_new();

		add_service(scene, "web", LOCAL EXTERNAL, "");
		add_endpoint(scene, "web", "IPv4", "node2", rows[i].there);
		add_endpoint(scene, "web", "IPv4", "node1", rows[i].here);
		assert_decoded(scene, rows[i].expected);
	}
}
END_TEST

START_TEST(service_without_a_slice_has_no_endpoint)
{
	struct scene *scene = scene_new();

	add_service(scene, "web", EXTERNAL, "");
	add_endpoint(scene, "other", "IPv4", "node1", "");
	assert_decoded(scene, "203.0.113.10 web no endpoint |");
}
END_TEST

START_TEST(each_family_needs_an_endpoint_of_its_own)
{
	struct scene *scene = scene_new();

	add_service(scene, "web", "\"externalIPs\": [\"2001:db8:5::7\", \"203.0.113.10\"]", "");
	add_endpoint(scene, "web", "IPv6", "node2", "");
	assert_decoded(scene,
		"203.0.113.10 web no endpoint, 2001:db8:5::7 web announced | 2001:db8:5::7/128");
}
END_TEST

START_TEST(two_services_may_share_an_address)
{
	struct scene *scene = scene_new();

	add_service(scene, "b", EXTERNAL, "{\"ip\": \"203.0.113.10\"}");
	add_service(scene, "a", LOCAL EXTERNAL, "");
	add_endpoint(scene, "a", "IPv4", "node2", "");
	add_endpoint(scene, "b", "IPv4", "node2", "");
	assert_decoded(scene, "203.0.113.10 a not here, 203.0.113.10 b announced, "
			      "203.0.113.10 b announced | 203.0.113.10/32");
}
END_TEST

START_TEST(addresses_that_are_not_for_services_are_left_out)
{
	struct scene *scene = scene_new();

	add_service(scene, "web", "\"externalIPs\": [\"8.8.8.8\", \"203.0.114.1\", "
		"\"203.0.113.12\", \"203.0.113.1\", \"203.0.113.13\", \"10.244.1.1\"]", "");
	add_endpoint(scene, "web", "IPv4", "node1", "");
	assert_decoded(scene, "8.8.8.8 web outside, 10.244.1.1 web outside, 203.0.113.1 web taken, "
			      "203.0.113.12 web taken, 203.0.113.13 web announced, "
			      "203.0.114.1 web outside | 203.0.113.13/32");
}
END_TEST

START_TEST(file_says_which_addresses_count)
{
	static const struct {
		const char *options, *expected;
	} rows[] = {
		{"", "203.0.113.7 web announced, 203.0.113.10 web announced | "
		     "203.0.113.7/32 203.0.113.10/32"},
		{", serviceAddresses: [ClusterIP]", "10.96.3.4 web announced | 10.96.3.4/32"},
		{", serviceAddresses: [LoadBalancerIP]", "203.0.113.7 web announced | 203.0.113.7/32"},
		{", serviceAddresses: []", " |"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct scene *scene = scene_new();

		scene->options = rows[i].options;
		add_service(scene, "web", EXTERNAL ", \"clusterIPs\": [\"10.96.3.4\"]",
			"{\"ip\": \"203.0.113.7\"}");
		add_endpoint(scene, "web", "IPv4", "node1", "");
		assert_decoded(scene, rows[i].expected);
	}
}
END_TEST

START_TEST(cluster_ip_has_the_internal_policy)
{
	struct scene *scene = scene_new();

	scene->options = ", serviceAddresses: [ClusterIP, ExternalIP]";
	add_service(scene, "web", "\"internalTrafficPolicy\": \"Local\", " EXTERNAL
		", \"clusterIPs\": [\"10.96.3.4\"]", "");
	add_endpoint(scene, "web", "IPv4", "node2", "");
	assert_decoded(scene, "10.96.3.4 web not here, 203.0.113.10 web announced | 203.0.113.10/32");
}
END_TEST

START_TEST(load_balancer_addresses_stay_off_excluded_nodes)
{
	struct scene *scene = scene_new();

	scene->node_options = ", labels: {" SERVICE_EXCLUDE_LABEL ": ''}";
	add_service(scene, "web", EXTERNAL, "{\"ip\": \"203.0.113.7\"}");
	add_endpoint(scene, "web", "IPv4", "node1", "");
	assert_decoded(scene,
		"203.0.113.7 web excluded, 203.0.113.10 web announced | 203.0.113.10/32");
}
END_TEST

START_TEST(drained_node_announces_none)
{
	struct scene *scene = scene_new();

	scene->drained = true;
	add_service(scene, "web", LOCAL EXTERNAL, "");
	add_endpoint(scene, "web", "IPv4", "node1", "");
	assert_decoded(scene, "203.0.113.10 web drained |");
}
END_TEST

START_TEST(address_whose_balancer_takes_the_packets_is_not_announced)
{
	struct scene *scene = scene_new();

	add_service(scene, "web", "", "{\"ip\": \"203.0.113.7\", \"ipMode\": \"Proxy\"}");
	add_endpoint(scene, "web", "IPv4", "node1", "");
	assert_decoded(scene, "203.0.113.7 web proxy |");
}
END_TEST

START_TEST(what_was_kept_by_somebody_else_is_no_crash)
{
	static const char *const rows[] = {"null", "7", "[]", "{}", "{\"name\": 1, \"namespace\": []}",
		"{\"name\": \"web\", \"namespace\": \"default\", \"externalIPs\": [1, \"x\", null], "
		"\"localOnly\": \"yes\"}",
		"{\"name\": \"x\", \"namespace\": \"default\", \"service\": \"web\", \"family\": 4, "
		"\"anywhere\": true}"};
	struct scene *scene = scene_new();

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_array_append_new(scene->services, json_loads(rows[i], JSON_DECODE_ANY, NULL));
		json_array_append_new(scene->slices, json_loads(rows[i], JSON_DECODE_ANY, NULL));
	}
	assert_decoded(scene, " |");
}
END_TEST

UNIT(service, real_services_keep_their_addresses, real_slices_say_where_endpoints_are,
	service_that_no_node_serves_has_no_addresses, what_is_no_address_is_left_out_of_a_service,
	endless_list_of_addresses_is_cut, object_without_a_name_is_refused,
	conditions_are_read_as_the_api_says, slice_of_no_service_is_an_empty_one,
	every_node_announces_while_there_is_an_endpoint, local_policy_is_for_nodes_with_an_endpoint,
	service_without_a_slice_has_no_endpoint, each_family_needs_an_endpoint_of_its_own,
	two_services_may_share_an_address, addresses_that_are_not_for_services_are_left_out,
	file_says_which_addresses_count, cluster_ip_has_the_internal_policy,
	load_balancer_addresses_stay_off_excluded_nodes, drained_node_announces_none,
	address_whose_balancer_takes_the_packets_is_not_announced,
	what_was_kept_by_somebody_else_is_no_crash)
