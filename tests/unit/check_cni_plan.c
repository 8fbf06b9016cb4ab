/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plan: what the kernel has to hold for one attachment. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "cni/plan.h"
#include "unit.h"

static struct arena mem;
static struct err err;
static struct cni_request request;
static struct lease lease;
static struct plan plan;

/* Decodes a configuration and plans for a lease of these addresses. */
static int make(const char *conf, const char *first, const char *second)
{
	const struct cni_env env = {
		.command = "ADD", .container = "c1", .netns = "/run/netns/x", .ifname = "eth0"};

	cni_request_free(&request);
	lease = (struct lease){.state = LEASE_HELD};
	ck_assert(addr_parse(first, &lease.addrs[lease.addr_count++]));
	if (second)
		ck_assert(addr_parse(second, &lease.addrs[lease.addr_count++]));
	if (cni_command_decode(&env, &request, &err) < 0 ||
		cni_request_decode(&env, conf, strlen(conf), &mem, &request, &err) < 0 ||
		cni_request_complete(&request, &err) < 0)
		ck_abort_msg("%s", err.msg);
	return plan_make(&request, &lease, &mem, &plan, &err);
}

static const char *text(const struct addr *addr)
{
	static char room[ADDR_TEXT_MAX];

	return addr_format(addr, room);
}

#define DUAL                                                                                       \
	"{\"name\":\"pods\",\"ipam\":{\"ranges\":[[{\"subnet\":\"10.0.0.0/24\"},"                  \
	"{\"subnet\":\"10.0.9.0/25\"}],[{\"subnet\":\"fd00::/64\"}]]}}"

START_TEST(an_address_has_the_length_and_the_gateway_of_its_subnet)
{
	ck_assert_int_eq(make(DUAL, "10.0.9.7", "fd00::7"), 0);
	ck_assert_uint_eq(plan.addrs[0].addr.len, 25);
	ck_assert_str_eq(text(&plan.addrs[0].gateway), "10.0.9.1");
	ck_assert_uint_eq(plan.addrs[1].addr.len, 64);
	ck_assert_str_eq(text(&plan.addrs[1].gateway), "fd00::1");
	ck_assert(plan.has_ipv4 && plan.has_ipv6);
}
END_TEST

START_TEST(ranges_of_one_subnet_have_their_own_gateways)
{
	const char *conf = "{\"name\":\"n\",\"ipam\":{\"ranges\":[[{\"subnet\":\"10.0.0.0/24\","
			   "\"rangeEnd\":\"10.0.0.99\"},{\"subnet\":\"10.0.0.0/24\","
			   "\"rangeStart\":\"10.0.0.100\",\"gateway\":\"10.0.0.254\"}]]}}";

	ck_assert_int_eq(make(conf, "10.0.0.99", NULL), 0);
	ck_assert_str_eq(text(&plan.addrs[0].gateway), "10.0.0.1");
	ck_assert_int_eq(make(conf, "10.0.0.100", NULL), 0);
	ck_assert_str_eq(text(&plan.addrs[0].gateway), "10.0.0.254");
	ck_assert_uint_eq(plan.gateway_count, 2);
}
END_TEST

START_TEST(the_bridge_has_a_gateway_for_every_subnet)
{
	ck_assert_int_eq(make(DUAL, "10.0.0.2", "fd00::2"), 0);
	ck_assert_uint_eq(plan.gateway_count, 3);
	ck_assert_uint_eq(plan.gateways[1].len, 25);
	ck_assert_str_eq(text(&plan.gateways[1].addr), "10.0.9.1");
}
END_TEST

START_TEST(without_routes_each_family_has_a_default_route)
{
	ck_assert_int_eq(make(DUAL, "10.0.9.7", "fd00::7"), 0);
	ck_assert_uint_eq(plan.route_count, 2);
	ck_assert_uint_eq(plan.routes[0].dst.len, 0);
	ck_assert_str_eq(text(&plan.routes[0].gateway), "10.0.9.1");
	ck_assert_str_eq(text(&plan.routes[1].gateway), "fd00::1");
}
END_TEST

START_TEST(with_routes_there_are_those_and_no_others)
{
	ck_assert_int_eq(
		make("{\"name\":\"n\",\"ipam\":{\"subnet\":\"10.0.0.0/24\",\"routes\":["
		     "{\"dst\":\"10.1.0.0/16\"},{\"dst\":\"10.2.0.0/16\",\"gw\":\"10.0.0.9\"},"
		     "{\"dst\":\"10.3.0.0/16\",\"scope\":253}]}}",
			"10.0.0.2", NULL),
		0);
	ck_assert_uint_eq(plan.route_count, 3);
	ck_assert_str_eq(text(&plan.routes[0].gateway), "10.0.0.1");
	ck_assert_str_eq(text(&plan.routes[1].gateway), "10.0.0.9");
	ck_assert_uint_eq(plan.routes[2].gateway.family, 0);
	ck_assert_int_eq(
		make("{\"name\":\"n\",\"ipam\":{\"subnet\":\"10.0.0.0/24\",\"routes\":[]}}",
			"10.0.0.2", NULL),
		0);
	ck_assert_uint_eq(plan.route_count, 0);
}
END_TEST

START_TEST(a_pod_older_than_a_family_has_no_routes_of_it)
{
	const char *conf = "{\"name\":\"n\",\"ipam\":{\"ranges\":[[{\"subnet\":\"10.0.0.0/24\"}],"
			   "[{\"subnet\":\"fd00::/64\"}]],\"routes\":[{\"dst\":\"::/0\"},"
			   "{\"dst\":\"0.0.0.0/0\"}]}}";

	ck_assert_int_eq(make(conf, "10.0.0.2", NULL), 0);
	ck_assert_uint_eq(plan.route_count, 1);
	ck_assert_str_eq(text(&plan.routes[0].gateway), "10.0.0.1");
}
END_TEST

START_TEST(an_address_of_no_range_is_an_error)
{
	ck_assert_int_eq(make(DUAL, "192.168.0.2", NULL), -1);
	ck_assert_int_eq(err.code, CNI_CONFIG);
}
END_TEST

START_TEST(mac_addresses_follow_from_ip_addresses)
{
	char room[MAC_TEXT_MAX];

	ck_assert_int_eq(make(DUAL, "10.0.0.2", "fd00::2"), 0);
	ck_assert_str_eq(mac_format(plan.pod_mac, room), "0a:58:0a:00:00:02");
	ck_assert_str_eq(mac_format(plan.bridge_mac, room), "0a:58:0a:00:00:01");
	ck_assert_int_eq(
		make("{\"name\":\"n\",\"ipam\":{\"subnet\":\"fd00::/64\"}}", "fd00::1:2", NULL), 0);
	ck_assert_str_eq(mac_format(plan.pod_mac, room), "0a:58:00:01:00:02");
	ck_assert_int_eq(make("{\"name\":\"n\",\"runtimeConfig\":{\"mac\":\"02-00-00-00-00-05\"},"
			      "\"ipam\":{\"subnet\":\"10.0.0.0/24\"}}",
				 "10.0.0.2", NULL),
		0);
	ck_assert_str_eq(mac_format(plan.pod_mac, room), "02:00:00:00:00:05");
}
END_TEST

START_TEST(every_mac_address_is_one_stations_and_local)
{
	ck_assert_int_eq(make(DUAL, "10.0.0.2", NULL), 0);
	ck_assert_uint_eq(plan.pod_mac[0] & 3, 2);
	ck_assert_uint_eq(plan.bridge_mac[0] & 3, 2);
	ck_assert_uint_eq(plan.host.mac[0] & 3, 2);
}
END_TEST

START_TEST(the_link_local_address_is_the_macs)
{
	const uint8_t mac[6] = {0x0a, 0x58, 0x0a, 0, 0, 2};
	struct addr addr = plan_link_local(mac);

	ck_assert_str_eq(text(&addr), "fe80::858:aff:fe00:2");
}
END_TEST

START_TEST(a_link_is_named_after_network_container_and_interface)
{
	static const char *const rows[][3] = {{"pods", "c1", "eth0"}, {"pods", "c1", "eth1"},
		{"pods", "c2", "eth0"}, {"podsc", "1", "eth0"}, {"other", "c1", "eth0"}};
	struct plan_identity ids[ARRAY_LEN(rows)], again;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		plan_identify(rows[i][0], rows[i][1], rows[i][2], &ids[i]);
		ck_assert_uint_eq(strlen(ids[i].ifname), 14);
		ck_assert_int_eq(strncmp(ids[i].ifname, "rst", 3), 0);
		for (size_t k = 0; k < i; k++) {
			ck_assert_str_ne(ids[i].ifname, ids[k].ifname);
			ck_assert(memcmp(ids[i].mac, ids[k].mac, 6) != 0);
		}
	}
	plan_identify("pods", "c1", "eth0", &again);
	ck_assert_str_eq(again.ifname, ids[0].ifname);
}
END_TEST

START_TEST(the_alias_tells_whose_link_it_is_and_its_addresses)
{
	ck_assert_int_eq(make(DUAL, "10.0.0.2", "fd00::2"), 0);
	ck_assert_str_eq(plan.host_alias, "roost pods c1 eth0 10.0.0.2,fd00::2");
	ck_assert_int_eq(strncmp(plan.host_alias, plan.host.alias, strlen(plan.host.alias)), 0);
}
END_TEST

START_TEST(a_lease_comes_back_from_the_alias)
{
	struct lease back;

	ck_assert(plan_lease_of("roost pods c1 eth0 10.0.0.2,fd00::2", "pods", &back));
	ck_assert_int_eq(back.state, LEASE_HELD);
	ck_assert_str_eq(back.container, "c1");
	ck_assert_str_eq(back.ifname, "eth0");
	ck_assert_uint_eq(back.addr_count, 2);
	ck_assert_str_eq(text(&back.addrs[0]), "10.0.0.2");
	ck_assert_str_eq(text(&back.addrs[1]), "fd00::2");
}
END_TEST

START_TEST(an_alias_with_an_address_left_out_tells_none)
{
	static const char *const rests[] = {"", "10.0.0.2,", "10.0.0.2,fd00", "nonsense",
		"10.0.0.2 fd00::2", ",10.0.0.2", "10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.5"};
	struct lease back;
	char alias[PLAN_ALIAS_SIZE];

	for (size_t i = 0; i < ARRAY_LEN(rests); i++) {
		snprintf(alias, sizeof(alias), "roost pods c1 eth0 %s", rests[i]);
		ck_assert(plan_lease_of(alias, "pods", &back));
		ck_assert_msg(back.addr_count == 0, "%s", alias);
	}
}
END_TEST

START_TEST(an_alias_of_something_else_is_no_lease)
{
	static const char *const aliases[] = {"", "roost", "roost pods", "roost pods c1", "uplink",
		"roost pod c1 eth0 10.0.0.2", "roost pods2 c1 eth0 10.0.0.2",
		"Roost pods c1 eth0 10.0.0.2", "roost  pods c1 eth0 10.0.0.2",
		"roost pods c1 interface-of-16-b 10.0.0.2"};
	struct lease back;

	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		ck_assert_msg(!plan_lease_of(aliases[i], "pods", &back), "%s", aliases[i]);
}
END_TEST

START_TEST(the_longest_names_fit_an_alias_that_the_kernel_takes)
{
	char network[CNI_NETWORK_MAX + 1] = {0}, container[LEASE_CONTAINER_MAX + 1] = {0};
	struct plan_identity identity;

	memset(network, 'n', CNI_NETWORK_MAX);
	memset(container, 'c', LEASE_CONTAINER_MAX);
	plan_identify(network, container, "fifteen-letters", &identity);
	ck_assert_uint_eq(
		strlen(identity.alias), 6 + CNI_NETWORK_MAX + 1 + LEASE_CONTAINER_MAX + 1 + 15 + 1);
	ck_assert_uint_le(strlen(identity.alias), 255);
}
END_TEST

START_TEST(the_result_points_at_the_interface_in_the_container)
{
	struct cni_result result;

	ck_assert_int_eq(make(DUAL, "10.0.0.2", "fd00::2"), 0);
	plan_result(&request, &plan, &mem, &result);
	ck_assert_uint_eq(result.interface_count, 3);
	ck_assert_uint_eq(result.ip_count, 2);
	for (size_t i = 0; i < result.ip_count; i++) {
		const struct cni_interface *interface = &result.interfaces[result.ips[i].interface];

		ck_assert_str_eq(interface->name, "eth0");
		ck_assert_str_eq(interface->sandbox, "/run/netns/x");
	}
	ck_assert_str_eq(result.interfaces[0].sandbox, "");
}
END_TEST

#define ROUTED(ipam) "{\"name\":\"n\",\"mode\":\"routed\",\"ipam\":{" ipam "}}"

START_TEST(a_routed_pod_is_alone_with_a_link_local_gateway)
{
	struct cni_result result;

	ck_assert_int_eq(make(ROUTED("\"ranges\":[[{\"subnet\":\"10.0.0.0/"
				     "24\"}],[{\"subnet\":\"fd00::/64\"}]]"),
				 "10.0.0.2", "fd00::2"),
		0);
	ck_assert(plan.routed);
	ck_assert_uint_eq(plan.gateway_count, 0);
	ck_assert_uint_eq(plan.addrs[0].addr.len, 32);
	ck_assert_uint_eq(plan.addrs[1].addr.len, 128);
	ck_assert_uint_eq(plan.route_count, 2);
	ck_assert_str_eq(text(&plan.addrs[0].gateway), "169.254.1.1");
	ck_assert_str_eq(text(&plan.addrs[1].gateway), "fe80::1");
	ck_assert_str_eq(text(&plan.routes[0].gateway), "169.254.1.1");
	ck_assert_str_eq(text(&plan.routes[1].gateway), "fe80::1");
	ck_assert_str_eq(plan.host_alias, "roost n c1 eth0 10.0.0.2,fd00::2");
	plan_result(&request, &plan, &mem, &result);
	ck_assert_uint_eq(result.interface_count, 2);
	ck_assert_str_eq(result.interfaces[result.ips[0].interface].name, "eth0");
	ck_assert_str_eq(result.interfaces[0].sandbox, "");
}
END_TEST

START_TEST(routes_of_a_routed_pod_go_by_the_node)
{
	ck_assert_int_eq(
		make(ROUTED("\"subnet\":\"10.0.0.0/24\",\"routes\":[{\"dst\":\"10.1.0.0/16\"},"
			    "{\"dst\":\"10.2.0.0/16\",\"gw\":\"10.0.0.1\"},"
			    "{\"dst\":\"10.3.0.0/16\",\"gw\":\"169.254.1.1\"}]"),
			"10.0.0.2", NULL),
		0);
	ck_assert_uint_eq(plan.route_count, 3);
	for (size_t i = 0; i < plan.route_count; i++)
		ck_assert_str_eq(text(&plan.routes[i].gateway), "169.254.1.1");
	ck_assert_int_eq(
		make(ROUTED("\"subnet\":\"10.0.0.0/24\",\"routes\":[{\"dst\":\"10.1.0.0/16\","
			    "\"gw\":\"10.0.0.9\"}]"),
			"10.0.0.2", NULL),
		-1);
	ck_assert_int_eq(err.code, CNI_CONFIG);
	ck_assert_int_eq(
		make(ROUTED("\"subnet\":\"10.0.0.0/24\",\"routes\":[{\"dst\":\"10.1.0.0/16\","
			    "\"scope\":253}]"),
			"10.0.0.2", NULL),
		-1);
}
END_TEST

START_TEST(the_route_protocol_is_our_own_and_the_metric_below_birds)
{
	/* 0 to 4 are the kernel's, iproute2's rt_protos goes on to 18 and has 42, 99 and
	 * 186 to 192; 30 is Coil's, 80 Calico's, 84 OVN's. */
	ck_assert_int_eq(PLAN_ROUTE_PROTOCOL, 82);
	ck_assert_int_lt(PLAN_ROUTE_METRIC, 32);
}
END_TEST

/* Plans for what another IPAM plugin answers. */
static int make_of(const char *mode, const char *reply)
{
	const struct cni_env env = {
		.command = "ADD", .container = "c1", .netns = "/run/netns/x", .ifname = "eth0"};
	static json_t *document;
	struct cni_result result;
	char conf[256];

	cni_request_free(&request);
	json_decref(document);
	snprintf(conf, sizeof(conf), "{\"name\":\"n\",\"mode\":\"%s\",\"ipam\":{\"type\":\"x\"}}",
		mode);
	if (cni_command_decode(&env, &request, &err) < 0 ||
		cni_request_decode(&env, conf, strlen(conf), &mem, &request, &err) < 0 ||
		cni_request_complete(&request, &err) < 0 ||
		cni_answer_decode(reply, strlen(reply), &mem, &document, &result, &err) < 0)
		ck_abort_msg("%s", err.msg);
	return plan_make_delegated(&request, &result, &mem, &plan, &err);
}

START_TEST(an_ipam_plugin_need_not_name_a_gateway)
{
	ck_assert_int_eq(make_of("bridge", "{\"ips\":[{\"address\":\"10.0.0.7/24\"},"
					   "{\"address\":\"10.8.0.7/16\",\"gateway\":\"10.8.9.9\"},"
					   "{\"address\":\"fd00::7/64\"}]}"),
		0);
	ck_assert_uint_eq(plan.addr_count, 3);
	ck_assert_uint_eq(plan.gateway_count, 3);
	ck_assert_str_eq(text(&plan.addrs[0].gateway), "10.0.0.1");
	ck_assert_str_eq(text(&plan.addrs[1].gateway), "10.8.9.9");
	ck_assert_str_eq(text(&plan.addrs[2].gateway), "fd00::1");
	ck_assert_uint_eq(plan.route_count, 2);
	/* A bridge needs a place for its own address. */
	ck_assert_int_eq(make_of("bridge", "{\"ips\":[{\"address\":\"10.0.0.1/24\"}]}"), -1);
	ck_assert_int_eq(make_of("bridge", "{\"ips\":[{\"address\":\"10.0.0.1/32\"}]}"), -1);
	ck_assert_int_eq(make_of("bridge", "{\"ips\":[{\"address\":\"255.255.255.255/32\"}]}"), -1);
	ck_assert_int_eq(make_of("bridge", "{\"ips\":[{\"address\":\"10.0.0.7/24\",\"gateway\":"
					   "\"10.0.1.1\"}]}"),
		-1);
	ck_assert_int_eq(err.code, CNI_CONFIG);
	/* Routed, there is none. */
	ck_assert_int_eq(make_of("routed", "{\"ips\":[{\"address\":\"10.0.0.1/32\"}]}"), 0);
	ck_assert_str_eq(text(&plan.routes[0].gateway), "169.254.1.1");
}
END_TEST

START_TEST(an_ipam_plugins_routes_replace_the_default_route)
{
	ck_assert_int_eq(make_of("bridge", "{\"ips\":[{\"address\":\"10.0.0.7/24\"}],\"routes\":["
					   "{\"dst\":\"10.0.0.0/8\"},{\"dst\":\"fd00::/8\"}]}"),
		0);
	ck_assert_uint_eq(plan.route_count, 1);
	ck_assert_str_eq(text(&plan.routes[0].gateway), "10.0.0.1");
}
END_TEST

START_TEST(more_addresses_than_a_pod_can_have_are_refused)
{
	ck_assert_int_eq(
		make_of("routed",
			"{\"ips\":[{\"address\":\"10.0.0.7/24\"},{\"address\":\"10.0.0.8/24\"},"
			"{\"address\":\"10.0.0.9/24\"},{\"address\":\"10.0.0.10/24\"},"
			"{\"address\":\"10.0.0.11/24\"}]}"),
		-1);
	ck_assert_int_eq(err.code, CNI_CONFIG);
}
END_TEST

START_TEST(as_ipam_plugin_the_result_is_addresses_and_the_routes_asked_for)
{
	struct buf out = {0};
	struct cni_result result;

	ck_assert_int_eq(make("{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"ipam\":{\"subnet\":\"10."
			      "0.0.0/24\","
			      "\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}}",
				 "10.0.0.2", NULL),
		0);
	ck_assert_int_eq(plan_ipam_result(&request, &lease, &mem, &result, &err), 0);
	ck_assert_int_eq(cni_result_print(&result, SPEC_1_0_0, &out, &err), 0);
	ck_assert_str_eq(buf_text(&out),
		"{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.0.0.2/24\",\"gateway\":"
		"\"10.0.0.1\"}],\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}\n");
	buf_free(&out);
}
END_TEST

UNIT(cni_plan, a_routed_pod_is_alone_with_a_link_local_gateway,
	routes_of_a_routed_pod_go_by_the_node,
	the_route_protocol_is_our_own_and_the_metric_below_birds,
	an_ipam_plugin_need_not_name_a_gateway, an_ipam_plugins_routes_replace_the_default_route,
	more_addresses_than_a_pod_can_have_are_refused,
	as_ipam_plugin_the_result_is_addresses_and_the_routes_asked_for,
	an_address_has_the_length_and_the_gateway_of_its_subnet,
	ranges_of_one_subnet_have_their_own_gateways, the_bridge_has_a_gateway_for_every_subnet,
	without_routes_each_family_has_a_default_route, with_routes_there_are_those_and_no_others,
	a_pod_older_than_a_family_has_no_routes_of_it, an_address_of_no_range_is_an_error,
	mac_addresses_follow_from_ip_addresses, every_mac_address_is_one_stations_and_local,
	the_link_local_address_is_the_macs, a_link_is_named_after_network_container_and_interface,
	the_alias_tells_whose_link_it_is_and_its_addresses, a_lease_comes_back_from_the_alias,
	an_alias_with_an_address_left_out_tells_none, an_alias_of_something_else_is_no_lease,
	the_longest_names_fit_an_alias_that_the_kernel_takes,
	the_result_points_at_the_interface_in_the_container)
