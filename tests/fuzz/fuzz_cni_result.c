/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as what another IPAM plugin prints.  Either one clean error, or a pod
 * with addresses that the mode can have, and a result in valid JSON.
 *
 * The input is one byte, the mode, the version and whether the plugin failed, and
 * what it printed. */
#include "cni/plan.h"
#include "cni/protocol.h"
#include "fuzz.h"

static void check_json(struct buf *out)
{
	json_t *json = json_loadb(out->text, out->len, JSON_REJECT_DUPLICATES, NULL);

	MUST(json);
	json_decref(json);
	buf_free(out);
}

static void check_error(struct err *err, enum cni_spec spec)
{
	struct buf out = {0};

	MUST(err->code > 0 && err->code != 3 && *err->msg);
	cni_error_clean(err);
	cni_error_print(err, spec, &out);
	check_json(&out);
}

static void check_plan(const struct plan *plan)
{
	MUST(plan->addr_count > 0 && plan->addr_count <= LEASE_ADDRS_MAX);
	for (size_t i = 0; i < plan->addr_count; i++) {
		const struct plan_addr *addr = &plan->addrs[i];

		MUST(addr->gateway.family == addr->addr.addr.family);
		MUST(plan->routed ? addr->addr.len == addr_bits(addr->gateway.family)
				  : prefix_contains_addr(&addr->addr, &addr->gateway) &&
					    addr_cmp(&addr->addr.addr, &addr->gateway) != 0);
	}
	MUST(plan->routed ? plan->gateway_count == 0 : plan->gateway_count > 0);
	MUST(strlen(plan->host_alias) < PLAN_ALIAS_SIZE);
	for (size_t i = 0; i < plan->route_count; i++)
		MUST(plan->routes[i].gateway.family ||
			(!plan->routed && plan->routes[i].scope >= 253));
}

static int use(const struct cni_request *request, const char *bytes, size_t len, struct arena *mem,
	json_t **document, struct err *err)
{
	struct cni_result answer, result;
	struct buf out = {0};
	struct plan plan;

	if (cni_answer_decode(bytes, len, mem, document, &answer, err) < 0 ||
		plan_make_delegated(request, &answer, mem, &plan, err) < 0)
		return -1;
	check_plan(&plan);
	plan_result(request, &plan, mem, &result);
	result.dns = answer.dns;
	MUST(cni_result_print(&result, request->spec, &out, err) == 0);
	check_json(&out);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cni_request request = {.command = CNI_ADD,
		.container = "c1",
		.netns = "/x",
		.ifname = "eth0",
		.network = "n",
		.delegate = "x",
		.bridge = CNI_BRIDGE};
	const char *text = (const char *)data + 1;
	_cleanup_arena_ struct arena mem = {0};
	json_t *document = NULL;
	struct err err = {0};
	int failed;

	if (size == 0)
		return 0;
	request.routed = data[0] & 8;
	request.spec = (enum cni_spec)((data[0] & 7) % (SPEC_1_1_0 + 1));
	failed = data[0] & 16 ? cni_failure_decode(text, size - 1, &err)
			      : use(&request, text, size - 1, &mem, &document, &err);
	if (failed)
		check_error(&err, request.spec);
	json_decref(document);
	return 0;
}
