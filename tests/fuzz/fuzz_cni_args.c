/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as CNI_ARGS.  Either one clean error, or wishes that an ADD can be made of:
 * addresses, few, and the MAC address of one station. */
#include <sys/socket.h>

#include "cni/lease.h"
#include "cni/protocol.h"
#include "fuzz.h"

#define CONFIGURATION                                                                              \
	"{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"ipam\":{\"ranges\":[[{\"subnet\":"             \
	"\"10.0.0.0/24\"}],[{\"subnet\":\"fd00::/64\"}]]}}"

static void check_error(struct err *err)
{
	struct buf out = {0};
	json_t *json;

	MUST(err->code == CNI_ENVIRONMENT || err->code == CNI_CONFIG);
	cni_error_clean(err);
	cni_error_print(err, SPEC_1_1_0, &out);
	json = json_loadb(out.text, out.len, JSON_REJECT_DUPLICATES, NULL);
	MUST(json);
	json_decref(json);
	buf_free(&out);
}

static void check_wishes(const struct cni_request *request)
{
	static const uint8_t none[6];

	MUST(request->requested_count <= LEASE_ADDRS_MAX);
	for (size_t i = 0; i < request->requested_count; i++)
		MUST(request->requested[i].family == AF_INET ||
			request->requested[i].family == AF_INET6);
	MUST(!request->has_mac ||
		((request->mac[0] & 1) == 0 && memcmp(request->mac, none, sizeof(none)) != 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena mem = {0};
	struct cni_env env = {.command = "ADD", .container = "c1", .netns = "/x", .ifname = "eth0"};
	struct cni_request request = {0};
	struct err err = {0};

	env.args = arena_strndup(&mem, (const char *)data, size);
	MUST(cni_command_decode(&env, &request, &err) == 0);
	if (cni_request_decode(&env, CONFIGURATION, strlen(CONFIGURATION), &mem, &request, &err) <
		0)
		check_error(&err);
	else
		check_wishes(&request);
	cni_request_free(&request);
	return 0;
}
