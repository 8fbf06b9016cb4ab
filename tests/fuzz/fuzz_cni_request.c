/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as what a runtime tells the plugin.  Either one clean error, or a
 * request that can be planned and answered in valid JSON, whose addresses are of
 * its own ranges.
 *
 * The input is COMMAND-letter CNI_ARGS "\n" stdin [0xff node.json]. */
#include "cni/lease.h"
#include "cni/plan.h"
#include "cni/protocol.h"
#include "fuzz.h"

static void check_error(struct err *err)
{
	struct buf out = {0};

	MUST(err->code > 0 && *err->msg);
	cni_error_clean(err);
	cni_error_print(err, SPEC_1_1_0, &out);
	MUST(out.len > 2 && strchr(out.text, '\n') == out.text + out.len - 1);
	MUST(!strstr(out.text, "\"msg\":\"?\""));
	buf_free(&out);
}

static void check_plan(const struct cni_request *request, const struct plan *plan)
{
	MUST(plan->addr_count == request->set_count && plan->addr_count > 0);
	for (size_t i = 0; i < plan->addr_count; i++) {
		const struct plan_addr *addr = &plan->addrs[i];

		MUST(addr_cmp(&addr->addr.addr, &addr->gateway) != 0);
		MUST(plan->routed ? addr->addr.len == addr_bits(addr->gateway.family)
				  : prefix_contains_addr(&addr->addr, &addr->gateway));
	}
	MUST(strlen(plan->host.ifname) < 16 && strlen(plan->host_alias) < 256);
	MUST((plan->pod_mac[0] & 1) == 0);
	for (size_t i = 0; i < plan->route_count; i++)
		MUST(plan->routes[i].gateway.family ||
			(!plan->routed && plan->routes[i].scope >= 253));
}

static void check_answer(const struct cni_request *request, const struct cni_result *result)
{
	struct buf out = {0};
	struct err err;
	json_t *json;

	MUST(cni_result_print(result, request->spec, &out, &err) == 0);
	json = json_loadb(out.text, out.len, JSON_REJECT_DUPLICATES, NULL);
	MUST(json);
	json_decref(json);
	buf_free(&out);
}

static int plan(struct cni_request *request, struct arena *mem, struct err *err)
{
	const struct lease_store empty = {0};
	const struct lease_want want = plan_lease(request);
	struct cni_result result;
	struct lease lease;
	struct plan plan;
	size_t slot;

	if (cni_request_complete(request, err) < 0)
		return -1;
	/* What another IPAM plugin answers is fuzz_cni_result's, prevResult
	 * fuzz_cni_previous's. */
	if (request->delegate || request->command == CNI_CHECK)
		return 0;
	if (lease_choose(&empty, &want, &lease, &slot, err) < 0)
		return -1;
	if (request->ipam_only) {
		MUST(plan_ipam_result(request, &lease, mem, &result, err) == 0);
	} else {
		if (plan_make(request, &lease, mem, &plan, err) < 0)
			return -1;
		check_plan(request, &plan);
		plan_result(request, &plan, mem, &result);
	}
	check_answer(request, &result);
	return 0;
}

static int run(const struct cni_env *env, const char *in, size_t len, const char *node,
	size_t node_len, struct cni_request *request, struct arena *mem, struct err *err)
{
	if (cni_command_decode(env, request, err) < 0 ||
		cni_request_decode(env, in, len, mem, request, err) < 0)
		return -1;
	if (request->command == CNI_DEL || request->command == CNI_GC)
		return 0;
	if (cni_request_wants_node(request) && (node || cni_request_needs_node(request)) &&
		cni_request_add_node(request, node, node_len, mem, err) < 0)
		return -1;
	return plan(request, mem, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const commands[] = {"ADD", "DEL", "CHECK", "GC", "STATUS"};
	const char *text = (const char *)data, *end = text + size;
	const char *line = size ? memchr(text, '\n', size) : NULL, *in, *in_end, *node = NULL;
	_cleanup_arena_ struct arena mem = {0};
	struct cni_env env = {.container = "c1", .netns = "/x", .ifname = "eth0"};
	struct cni_request request = {0};
	struct err err = {0};

	if (!line || line == text)
		return 0;
	in = line + 1;
	env.command = commands[data[0] % ARRAY_LEN(commands)];
	env.args = arena_strndup(&mem, text + 1, (size_t)(line - text - 1));
	in_end = memchr(in, 0xff, (size_t)(end - in));
	if (in_end)
		node = in_end + 1;
	else
		in_end = end;
	if (run(&env, in, (size_t)(in_end - in), node, node ? (size_t)(end - node) : 0, &request,
		    &mem, &err) < 0)
		check_error(&err);
	cni_request_free(&request);
	return 0;
}
