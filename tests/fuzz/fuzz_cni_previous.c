/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as the prevResult of a CHECK.  Either one clean error, or a plan to compare
 * the kernel with, and a result that can be told again, in valid JSON.
 *
 * The input is one byte, the mode, who has the addresses, and the version, and then the
 * value of prevResult. */
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
	MUST(plan->addr_count <= LEASE_ADDRS_MAX && plan->route_count == 0);
	MUST(plan->routed || *plan->bridge || plan->addr_count == 0);
	for (size_t i = 0; i < plan->addr_count; i++)
		MUST(plan->addrs[i].gateway.family == plan->addrs[i].addr.addr.family);
}

/* The lease has the last address that prevResult tells. */
static void make_lease(const struct cni_result *previous, struct lease *lease)
{
	*lease = (struct lease){.state = LEASE_HELD};
	if (previous->ip_count)
		lease->addrs[lease->addr_count++] =
			previous->ips[previous->ip_count - 1].address.addr;
}

static int use(struct cni_request *request, struct err *err)
{
	struct buf out = {0};
	struct lease lease;
	struct plan plan;

	if (cni_request_complete(request, err) < 0)
		return -1;
	if (request->previous.ip_count || request->spec >= SPEC_0_3_0) {
		MUST(cni_result_print(&request->previous, request->spec, &out, err) == 0);
		check_json(&out);
	}
	make_lease(&request->previous, &lease);
	if (plan_make_previous(request, request->delegate ? NULL : &lease, &plan, err) < 0)
		return -1;
	check_plan(&plan);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const ipams[] = {"roost", "host-local"}, *const modes[] = {
									    "bridge", "routed"};
	static const char *const versions[] = {"0.4.0", "1.0.0", "1.1.0", "1.1.0"};
	const struct cni_env env = {
		.command = "CHECK", .container = "c1", .netns = "/x", .ifname = "eth0"};
	_cleanup_arena_ struct arena mem = {0};
	struct cni_request request = {0};
	struct buf text = {0};
	struct err err = {0};

	if (size == 0)
		return 0;
	buf_printf(&text,
		"{\"cniVersion\":\"%s\",\"name\":\"n\",\"mode\":\"%s\",\"ipam\":{\"type\":\"%s\"},"
		"\"prevResult\":",
		versions[data[0] & 3], modes[data[0] >> 2 & 1], ipams[data[0] >> 3 & 1]);
	buf_add(&text, data + 1, size - 1);
	buf_add(&text, "}", 1);
	MUST(cni_command_decode(&env, &request, &err) == 0);
	if (cni_request_decode(&env, buf_text(&text), text.len, &mem, &request, &err) < 0 ||
		use(&request, &err) < 0)
		check_error(&err, request.spec);
	cni_request_free(&request);
	buf_free(&text);
	return 0;
}
