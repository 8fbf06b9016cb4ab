/* SPDX-License-Identifier: GPL-2.0-or-later */
/* observe: what BIRD has, read out of its answers.  The transcripts are those of a
 * BIRD 2.0.12 with Roost's time formats, unless they say otherwise. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "bird/observe.h"
#include "fake_bird.h"
#include "unit.h"

/* The lines of a transcript as an answer, as control.c would have it. */
static struct reply answer(const char *transcript)
{
	struct reply reply = {0};
	char line[1000];

	while (*transcript) {
		size_t len = strcspn(transcript, "\n");
		struct err err;

		ck_assert_uint_lt(len, sizeof(line));
		memcpy(line, transcript, len);
		line[len] = '\0';
		ck_assert_int_eq(reply_add_line(&reply, line, &err), 0);
		transcript += len + (transcript[len] == '\n');
	}
	ck_assert(reply.complete);
	return reply;
}

static struct bird_state parse(void (*parser)(const struct reply *, struct bird_state *),
	const char *transcript)
{
	struct reply reply = answer(transcript);
	struct bird_state state = {.version = ""};

	parser(&reply, &state);
	reply_free(&reply);
	return state;
}

/* ---------------------------------------------------------------- status */

static const char status[] =
	"1000-BIRD 2.0.12\n"
	"1011-Router ID is 10.0.0.1\n"
	" Hostname is vm\n"
	" Current server time is 2026-11-23T03:19:32+0000\n"
	" Last reboot on 2026-11-23T03:19:30+0000\n"
	" Last reconfiguration on 2026-11-23T03:19:30+0000\n"
	"0013 Daemon is up and running\n";

START_TEST(status_gives_the_version)
{
	struct bird_state state = parse(parse_status, status);

	ck_assert_str_eq(state.version, "2.0.12");
	ck_assert(!state.recovering);
	arena_free(&state.arena);
	state = parse(parse_status, "1000-BIRD 2.19.2+detached.1d201ed0360c\n0013 up\n");
	ck_assert_str_eq(state.version, "2.19.2+detached.1d201ed0360c");
	arena_free(&state.arena);
	state = parse(parse_status, "8007 Access denied\n");
	ck_assert_str_eq(state.version, "");
	arena_free(&state.arena);
}
END_TEST

START_TEST(recovery_is_seen)
{
	struct bird_state channels = parse(parse_protocols,
		"1002-node2:v4   BGP        ---        start  2026-11-30T20:59:33+0000  Active        \n"
		"1006-  BGP state:          Active\n"
		"   Channel ipv4\n"
		"     State:          DOWN\n"
		"     GR recovery:    pending\n0000 \n");
	struct bird_state state = parse(parse_status,
		"1000-BIRD 2.0.12\n"
		"1011-Router ID is 10.0.0.1\n"
		"0024-Graceful restart recovery in progress\n"
		"   Waiting for 1 channels to recover\n"
		"   Wait timer is 17.480/20\n"
		"0013 Daemon is up and running\n");

	ck_assert(state.recovering);
	arena_free(&state.arena);
	ck_assert(channels.recovering);
	arena_free(&channels.arena);
}
END_TEST

START_TEST(config_id_is_sixteen_hex_digits_or_none)
{
	static const char *const rows[][2] = {
		{"0023 0123456789abcdef\n", "0123456789abcdef"},
		{"0023 \n", ""},
		{"0023 0123456789abcde\n", ""},
		{"0023 0123456789abcdef0\n", ""},
		{"0023 0123456789ABCDEF\n", ""},
		{"0023 0123456789abcdef \n", ""},
		{"0023 \"23456789abcde\"\n", ""},
		{"9001 syntax error, unexpected CF_SYM_UNDEFINED\n", ""},
		{"9001 0123456789abcdef\n", ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct reply reply = answer(rows[i][0]);
		char id[CONFIG_ID_LEN + 1] = "x";

		parse_config_id(&reply, id);
		ck_assert_str_eq(id, rows[i][1]);
		reply_free(&reply);
	}
}
END_TEST

/* ---------------------------------------------------------------- protocols */

static const char protocols[] =
	"2002-Name       Proto      Table      State  Since         Info\n"
	"1002-device1    Device     ---        up     2026-11-23T03:19:30+0000  \n"
	"1006-\n"
	"1002-roost_bfd  BFD        ---        up     2026-11-23T03:19:30+0000  \n"
	"1006-\n"
	"1002-pods4      Static     master4    up     2026-11-23T03:19:30+0000  \n"
	"1006-  Channel ipv4\n"
	"     State:          UP\n"
	"     Table:          master4\n"
	"     Routes:         2 imported, 0 exported, 2 preferred\n"
	" \n"
	"1002-node2.example.org:v4 BGP        ---        up     2026-11-23T03:19:31+0000  Established   \n"
	"1006-  Description:    node2\n"
	"   BGP state:          Established\n"
	"     Neighbor address: 10.0.0.2\n"
	"     Neighbor AS:      64512\n"
	"     Local AS:         64512\n"
	"     Neighbor ID:      10.0.0.2\n"
	"     Local capabilities\n"
	"       Multiprotocol\n"
	"         AF announced: ipv4\n"
	"     Session:          internal multihop AS4\n"
	"     Source address:   10.0.0.1\n"
	"     Hold timer:       192.204/240\n"
	"     Last error:       Socket: Connection closed\n"
	"   Channel ipv4\n"
	"     State:          UP\n"
	"     Table:          master4\n"
	"     Import limit:   2 [HIT]\n"
	"       Action:       block\n"
	"     Routes:         2 imported, 7 filtered, 3 exported, 1 preferred\n"
	"     Route change stats:     received   rejected   filtered    ignored   accepted\n"
	"       Import updates:             12          1          8          1          2\n"
	"     BGP Next hop:   10.0.0.1\n"
	" \n"
	"1002-dead:peer  BGP        ---        start  2026-11-23T03:19:30+0000  Active        Socket: Network is unreachable\n"
	"1006-  BGP state:          Active\n"
	"     Neighbor address: fd01::9\n"
	"     Neighbor AS:      4200000000\n"
	"     Connect delay:    0.615/1\n"
	"     Last error:       Socket: Network is unreachable\n"
	"   Channel ipv6\n"
	"     State:          DOWN\n"
	" \n"
	"1002-off:peer   BGP        ---        down   2026-11-23T03:19:30+0000  \n"
	"1006-  BGP state:          Down\n"
	"     Neighbor address: 10.0.0.8\n"
	"     Neighbor AS:      65000\n"
	" \n"
	"0000 \n";

START_TEST(only_bgp_protocols_are_sessions_and_they_are_sorted)
{
	struct bird_state state = parse(parse_protocols, protocols);

	ck_assert_uint_eq(state.n_sessions, 3);
	ck_assert_str_eq(state.sessions[0].name, "dead:peer");
	ck_assert_str_eq(state.sessions[1].name, "node2.example.org:v4");
	ck_assert_str_eq(state.sessions[2].name, "off:peer");
	ck_assert_ptr_eq(bird_find_session(&state, "off:peer"), &state.sessions[2]);
	ck_assert_ptr_null(bird_find_session(&state, "device1"));
	ck_assert_ptr_null(bird_find_session(&(struct bird_state){0}, "off:peer"));
	arena_free(&state.arena);
}
END_TEST

START_TEST(session_that_is_up_has_everything_and_no_old_error)
{
	struct bird_state state = parse(parse_protocols, protocols);
	const struct bird_session *session = bird_find_session(&state, "node2.example.org:v4");

	ck_assert(session->up);
	ck_assert_str_eq(session->state, "Established");
	ck_assert_str_eq(session->since, "2026-11-23T03:19:31+0000");
	ck_assert_str_eq(session->info, "");
	ck_assert_str_eq(session->neighbor, "10.0.0.2");
	ck_assert_uint_eq(session->neighbor_as, 64512);
	ck_assert_uint_eq(session->imported, 2);
	ck_assert_uint_eq(session->exported, 3);
	ck_assert_uint_eq(session->limit_reached, 2);
	ck_assert_uint_eq(session->refused, 8);
	ck_assert_str_eq(session->bfd, "");
	arena_free(&state.arena);
}
END_TEST

/* BIRD 3.3.2, within a second of `configure`; BIRD 2 has no such line. */
#define KERNEL(state, export) \
	"1002-kernel4    Kernel     master4    " state "     2026-11-30T20:59:33+0000  \n" \
	"1006-  Created:            2026-11-30T20:59:33+0000\n" \
	"   Channel ipv4\n" \
	"     State:          UP\n" \
	"     Import state:   UP\n" export "0000 \n"

START_TEST(kernel_protocol_of_BIRD_3_has_a_first_second)
{
	static const struct {
		const char *text;
		bool starting;
	} rows[] = {
		{KERNEL("up", "     Export state:   DOWN\n"), true},
		{KERNEL("up", "     Export state:   READY\n"), false},
		{KERNEL("down", "     Export state:   DOWN\n"), false},
		{KERNEL("up", ""), false},
		{"1002-pods4      Static     master4    up     2026-11-30T20:59:33+0000  \n"
		 "1006-    Export state:   DOWN\n0000 \n", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bird_state state = parse(parse_protocols, rows[i].text);

		ck_assert_msg(state.starting == rows[i].starting, "row %zu", i);
		arena_free(&state.arena);
	}
}
END_TEST

START_TEST(session_that_is_not_up_says_why)
{
	struct bird_state state = parse(parse_protocols, protocols);
	const struct bird_session *dead = bird_find_session(&state, "dead:peer"),
				  *off = bird_find_session(&state, "off:peer");

	ck_assert(!dead->up && !off->up);
	ck_assert_str_eq(dead->state, "Active");
	ck_assert_str_eq(dead->info, "Socket: Network is unreachable");
	ck_assert_str_eq(dead->neighbor, "fd01::9");
	ck_assert_uint_eq(dead->neighbor_as, 4200000000);
	ck_assert_str_eq(off->state, "Down");
	ck_assert_str_eq(off->info, "");
	arena_free(&state.arena);
}
END_TEST

START_TEST(rows_without_details_are_sessions_too)
{
	struct bird_state state = parse(parse_protocols,
		"2002-Name       Proto      Table      State  Since         Info\n"
		"1002-device1    Device     ---        up     1795390013    \n"
		" pods       Static     master4    up     1795390013    \n"
		" node-2.example.org BGP        ---        up     1795390014    Established   \n"
		" n_dead     BGP        ---        start  1795390013    Active        \n"
		"0000 \n");

	ck_assert_uint_eq(state.n_sessions, 2);
	ck_assert_str_eq(state.sessions[1].name, "node-2.example.org");
	ck_assert_str_eq(state.sessions[1].since, "1795390014");
	arena_free(&state.arena);
}
END_TEST

START_TEST(limit_that_was_reached_once_still_counts_with_bird_2_only)
{
	static const char text[] =
		"1002-x BGP --- up 1 Established\n1006-  BGP state: Established\n"
		"   Import limit:   100 [HIT]\n   Routes:         1 imported, 0 exported, 1 preferred\n"
		"0000 \n";
	static const struct {
		const char *version;
		unsigned reached;
	} rows[] = {{"2.0.12", 100}, {"2.19.2", 100}, {"3.0.0", 0}, {"3.3.2", 0}, {NULL, 100}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bird_state state = {.version = rows[i].version};
		struct reply reply = answer(text);

		parse_protocols(&reply, &state);
		ck_assert_uint_eq(state.sessions[0].limit_reached, rows[i].reached);
		reply_free(&reply);
		arena_free(&state.arena);
	}
}
END_TEST

#define LISTENS "1002-tor:peer BGP --- start 1 Passive\n1006-  BGP state: Passive\n" \
	"     Neighbor range: fe80::/10\n"
#define CHILD(name, state, address) "1002-" name " BGP --- up 2 " state "\n1006-  BGP state: " state "\n" \
	"     Neighbor address: " address "\n   Routes: 3 imported, 2 exported, 1 preferred\n"

START_TEST(unnumbered_router_is_one_session_by_its_name)
{
	static const struct {
		const char *text, *state, *neighbor;
		unsigned imported;
	} rows[] = {
		{LISTENS "0000 \n", "Passive", "", 0},
		{LISTENS CHILD("tor:peer~1", "Established", "fe80::1%eth1") "0000 \n", "Established",
			"fe80::1%eth1", 3},
		{CHILD("tor:peer~1", "Passive", "fe80::1%eth1") LISTENS
			CHILD("tor:peer~2", "Established", "fe80::2%eth1") "0000 \n",
			"Established", "fe80::2%eth1", 3},
		{CHILD("tor:peer~2", "Passive", "fe80::2%eth1") LISTENS
			CHILD("tor:peer~1", "Established", "fe80::1%eth1") "0000 \n",
			"Established", "fe80::1%eth1", 3},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bird_state state = parse(parse_protocols, rows[i].text);

		ck_assert_uint_eq(state.n_sessions, 1);
		ck_assert_str_eq(state.sessions[0].name, "tor:peer");
		ck_assert_str_eq(state.sessions[0].state, rows[i].state);
		ck_assert_str_eq(state.sessions[0].neighbor, rows[i].neighbor);
		ck_assert_uint_eq(state.sessions[0].imported, rows[i].imported);
		arena_free(&state.arena);
	}
}
END_TEST

START_TEST(session_that_listens_for_nobody_here_is_left_as_it_is)
{
	struct bird_state state = parse(parse_protocols,
		CHILD("mine~1", "Established", "10.0.0.1") CHILD("~", "Established", "10.0.0.2")
		"0000 \n");

	ck_assert_uint_eq(state.n_sessions, 2);
	ck_assert_str_eq(state.sessions[0].name, "mine~1");
	arena_free(&state.arena);
}
END_TEST

START_TEST(rubbish_in_the_protocols_is_no_session_and_no_crash)
{
	static const char *const rows[] = {
		"0000 \n", "1002-\n0000 \n", "1002-x\n0000 \n", "1002-x Static\n0000 \n",
		"1006-  BGP state:  Established\n0000 \n",
		"1002-x Device\n1006-  BGP state: Established\n Routes: 1 imported\n0000 \n",
		"8003 No protocols match\n", "8004 Stopped due to reconfiguration\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bird_state state = parse(parse_protocols, rows[i]);

		ck_assert_msg(state.n_sessions == 0, "%s", rows[i]);
		arena_free(&state.arena);
	}
}
END_TEST

START_TEST(half_a_session_has_empty_strings_not_null)
{
	struct bird_state state = parse(parse_protocols,
		"1002-x BGP\n1006-  Neighbor AS:\n   Routes:\n   Routes:  many\n   Routes: 5\n"
		"   Routes: 1 imported,\n   BGP state:\n   Neighbor address:\n   Last error:\n0000 \n");

	ck_assert_uint_eq(state.n_sessions, 1);
	ck_assert_str_eq(state.sessions[0].state, "");
	ck_assert_str_eq(state.sessions[0].since, "");
	ck_assert_str_eq(state.sessions[0].info, "");
	ck_assert_str_eq(state.sessions[0].neighbor, "");
	ck_assert_str_eq(state.sessions[0].bfd, "");
	ck_assert_uint_eq(state.sessions[0].imported, 1);
	arena_free(&state.arena);
}
END_TEST

START_TEST(bfd_state_goes_to_the_session_of_that_neighbour)
{
	struct bird_state state = parse(parse_protocols, protocols);
	struct reply reply = answer(
		"1020-roost_bfd:\n"
		" IP address                Interface  State      Since         Interval  Timeout\n"
		" 10.0.0.2                  ---        Init       2026-11-23T03:19:31+0000    1.000    5.000\n"
		" fd01::9                   eth0       Up         2026-11-23T03:19:31+0000    0.300    0.900\n"
		"0000 \n");

	parse_bfd(&reply, &state);
	ck_assert_str_eq(bird_find_session(&state, "node2.example.org:v4")->bfd, "Init");
	ck_assert_str_eq(bird_find_session(&state, "dead:peer")->bfd, "Up");
	ck_assert_str_eq(bird_find_session(&state, "off:peer")->bfd, "");
	reply_free(&reply);
	state.sessions[0].neighbor = "fe80::1%eth0";
	reply = answer("1020- fe80::1 eth1 Init x\n fe80::11 eth0 Init x\n fe80::1 eth0 Down x\n0000 \n");
	parse_bfd(&reply, &state);
	ck_assert_str_eq(state.sessions[0].bfd, "Down");
	reply_free(&reply);
	reply = answer("9001 There is no BFD protocol running\n");
	parse_bfd(&reply, &state);
	reply_free(&reply);
	arena_free(&state.arena);
}
END_TEST

/* ---------------------------------------------------------------- routes */

static void assert_route(const struct bird_state *state, size_t i, const char *prefix,
	enum bird_dest dest, const char *via, const char *protocol, bool best)
{
	const struct bird_route *route = &state->routes[i];
	char room[PREFIX_TEXT_MAX];

	ck_assert_uint_lt(i, state->n_routes);
	ck_assert_str_eq(prefix_format(&route->prefix, room), prefix);
	ck_assert_int_eq(route->dest, dest);
	ck_assert_str_eq(route->via.family ? addr_format(&route->via, room) : "", via);
	ck_assert_str_eq(route->protocol, protocol);
	ck_assert(route->best == best);
}

START_TEST(routes_have_prefix_destination_next_hop_and_protocol)
{
	struct bird_state state = parse(parse_routes,
		"1007-Table master4:\n"
		" 10.244.101.0/24      unicast [pods4 2026-11-23T03:19:30+0000] * (200)\n"
		" \tvia 10.0.0.1 on lo\n"
		" 10.244.1.0/24        unreachable [pods4 2026-11-23T03:19:30+0000] * (200)\n"
		" 10.244.2.0/24        unicast [node2.example.org:v4 2026-11-23T03:19:31+0000 from 10.0.0.101] * (100) [i]\n"
		" \tvia 10.0.0.2 on eth0\n"
		"1007-                     unicast [rr2:peer 2026-11-23T03:19:31+0000] (100) [i]\n"
		" \tvia 10.0.0.3 on eth0\n"
		"1007-10.244.3.0/24        blackhole [mine 2026-11-23T03:19:31+0000] * (200)\n"
		" 10.244.4.0/24        prohibit [mine 2026-11-23T03:19:31+0000] * (200)\n"
		"0000 \n");

	ck_assert_uint_eq(state.n_routes, 6);
	assert_route(&state, 0, "10.244.101.0/24", DEST_UNICAST, "10.0.0.1", "pods4", true);
	assert_route(&state, 1, "10.244.1.0/24", DEST_UNREACHABLE, "", "pods4", true);
	assert_route(&state, 2, "10.244.2.0/24", DEST_UNICAST, "10.0.0.2", "node2.example.org:v4", true);
	assert_route(&state, 3, "10.244.2.0/24", DEST_UNICAST, "10.0.0.3", "rr2:peer", false);
	assert_route(&state, 4, "10.244.3.0/24", DEST_BLACKHOLE, "", "mine", true);
	assert_route(&state, 5, "10.244.4.0/24", DEST_OTHER, "", "mine", true);
	arena_free(&state.arena);
}
END_TEST

START_TEST(attributes_of_a_route_are_passed_over)
{
	struct bird_state state = parse(parse_routes,
		"1007-Table master4:\n"
		" 10.244.1.0/24        unreachable [podcidr4 1795391301] * (200)\n"
		" 10.244.2.0/24        unicast [n_0a000002 1795391303 from 10.0.0.101] * (100) [i]\n"
		" \tvia 10.0.0.2 on eth0\n"
		"1008-\tType: BGP univ\n"
		"1012-\tBGP.origin: IGP\n"
		" \tBGP.next_hop: 10.0.0.9\n"
		"1007-                     unicast [rr2 1795391303] (100/?) [i]\n"
		"1007-\n"
		" Table master6:\n"
		" fd00:10:244:2::/64   unicast [n6:v6 1795391303 from fd01::2] * (100s) [i]\n"
		" \tvia fe80::1 on eth0\n"
		" \tvia fe80::2 on eth1\n"
		"0000 \n");

	ck_assert_uint_eq(state.n_routes, 4);
	assert_route(&state, 1, "10.244.2.0/24", DEST_UNICAST, "10.0.0.2", "n_0a000002", true);
	assert_route(&state, 2, "10.244.2.0/24", DEST_UNICAST, "", "rr2", false);
	assert_route(&state, 3, "fd00:10:244:2::/64", DEST_UNICAST, "fe80::1", "n6:v6", true);
	arena_free(&state.arena);
}
END_TEST

START_TEST(rubbish_in_the_routes_is_no_route_and_no_crash)
{
	static const char *const rows[] = {
		"0000 \n", "8001 Network not found\n", "8004 Stopped due to reconfiguration\n",
		"1007-\n0000 \n", "1007-10.244.1.0/24\n0000 \n", "1007-10.244.1.0/24 unicast\n0000 \n",
		"1007-\tvia 10.0.0.1 on lo\n0000 \n", "1007-    unicast [x] * (1)\n0000 \n",
		"1007-10.244.1.0/99 unicast [x] * (1)\n0000 \n",
		"1007-2 of 2 routes for 2 networks in table master4\n0014 Total: 2 of 2 routes\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bird_state state = parse(parse_routes, rows[i]);

		ck_assert_msg(state.n_routes == 0, "%s", rows[i]);
		arena_free(&state.arena);
	}
}
END_TEST

/* ---------------------------------------------------------------- asking */

struct look {
	struct fake_bird fake;
	struct bird_state *state;
};

static void on_state(struct bird_state *state, void *arg)
{
	struct look *look = arg;

	look->state = state;
	look->fake.finished = true;
}

static void observe(struct look *look, const struct act *script, bool dual_stack)
{
	struct prefix cidrs[2];
	struct cluster cluster = {.pod_cidrs = {cidrs, dual_stack ? 2 : 1}};

	ck_assert(prefix_parse("10.244.0.0/16", &cidrs[0]));
	ck_assert(prefix_parse("fd00:10:244::/48", &cidrs[1]));
	fake_bird_start(&look->fake, script);
	cluster.bird.socket = look->fake.path;
	ck_assert_ptr_nonnull(observe_start(look->fake.base, &cluster, NULL, on_state, look));
	memset(&cluster, 0, sizeof(cluster)); /* may be replaced while we wait */
	memset(cidrs, 0, sizeof(cidrs));
	fake_bird_run(&look->fake);
	fake_bird_stop(&look->fake);
}

#define SCRIPT(...) ((const struct act[]){__VA_ARGS__, END})
#define UNTIL_ROUTES                                                                               \
	GREET, ASK("show status", status),                                                         \
		ASK("configure status",                                                            \
			"0003-Daemon is up and running\n"                                          \
			"0022-Configuration unconfirmed, undo in 2.999 s\n0000 \n"),               \
		ASK("eval ROOST_CONFIG", "0023 0123456789abcdef\n"),                               \
		ASK("show protocols all", protocols),                                              \
		ASK("show bfd sessions", "9001 There is no BFD protocol running\n")
#define ROUTES4                                                                                    \
	ASK("show route table master4 where net ~ \\[ 10.244.0.0/16+ \\]",                         \
		"1007-Table master4:\n 10.244.1.0/24 unreachable [pods4 2026] * (200)\n0000 \n")
#define ROUTES6                                                                                    \
	ASK("show route table master6 where net ~ \\[ fd00:10:244::/48+ \\]",                      \
		"1007-Table master6:\n fd00:10:244:1::/64 unreachable [pods6 2026] * (200)\n0000 \n")

START_TEST(everything_is_asked_over_one_connection)
{
	struct look look;

	observe(&look, SCRIPT(UNTIL_ROUTES, ROUTES4, ROUTES6, ASK("show route 10.244.1.0/24 export "
		"'node2.example.org:v4'", "1007-Table master4:\n 10.244.1.0/24 unreachable [pods4 2026]"
		" * (200)\n0000 \n"),
		ASK("show route fd00:10:244:1::/64 export 'node2.example.org:v4'",
			"9001 No valid tables\n")), true);
	ck_assert_int_eq(look.state->err.code, 0);
	ck_assert_str_eq(look.state->version, "2.0.12");
	ck_assert_str_eq(look.state->config_id, "0123456789abcdef");
	ck_assert(look.state->unconfirmed);
	ck_assert(!look.state->recovering);
	ck_assert_uint_eq(look.state->n_sessions, 3);
	ck_assert_uint_eq(look.state->n_routes, 2);
	/* One that is told of more than our podCIDRs was asked for these. */
	for (size_t i = 0; i < 2; i++)
		ck_assert(bird_is_told(look.state,
			bird_find_session(look.state, "node2.example.org:v4"),
			&look.state->routes[i].prefix) == (i == 0));
	bird_state_free(look.state);
}
END_TEST

START_TEST(bird_that_hangs_up_gives_the_error_and_no_halves)
{
	static const struct act whole[] = {UNTIL_ROUTES, ROUTES4, END};

	for (size_t end = 1; end < ARRAY_LEN(whole) - 1; end++) {
		struct act script[ARRAY_LEN(whole) + 1];
		struct look look;
		size_t n = 0;

		for (; n < end; n++)
			script[n] = whole[n];
		script[n++] = (struct act)HANG_UP;
		script[n] = (struct act)END;
		observe(&look, script, false);
		ck_assert_str_eq(look.state->err.msg, "BIRD closed the control socket");
		ck_assert_int_ne(look.state->err.code, 0);
		ck_assert_str_eq(look.state->version, "");
		ck_assert_str_eq(look.state->config_id, "");
		ck_assert_uint_eq(look.state->n_sessions + look.state->n_routes, 0);
		bird_state_free(look.state);
	}
}
END_TEST

START_TEST(cancelled_observation_never_calls_back)
{
	struct prefix cidr = {{AF_INET, {10}}, 8};
	struct cluster cluster = {.pod_cidrs = {&cidr, 1}};
	struct look look = {.state = NULL};

	observe_cancel(NULL);
	bird_state_free(NULL);
	fake_bird_start(&look.fake, SCRIPT(GREET));
	cluster.bird.socket = look.fake.path;
	observe_cancel(observe_start(look.fake.base, &cluster, NULL, on_state, &look));
	event_base_loop(look.fake.base, EVLOOP_NONBLOCK);
	ck_assert_ptr_null(look.state);
	fake_bird_stop(&look.fake);
}
END_TEST

UNIT(observe, status_gives_the_version, recovery_is_seen, config_id_is_sixteen_hex_digits_or_none,
	only_bgp_protocols_are_sessions_and_they_are_sorted,
	session_that_is_up_has_everything_and_no_old_error, session_that_is_not_up_says_why,
	rows_without_details_are_sessions_too,
	limit_that_was_reached_once_still_counts_with_bird_2_only,
	unnumbered_router_is_one_session_by_its_name,
	session_that_listens_for_nobody_here_is_left_as_it_is,
	kernel_protocol_of_BIRD_3_has_a_first_second,
	rubbish_in_the_protocols_is_no_session_and_no_crash,
	half_a_session_has_empty_strings_not_null, bfd_state_goes_to_the_session_of_that_neighbour,
	routes_have_prefix_destination_next_hop_and_protocol,
	attributes_of_a_route_are_passed_over, rubbish_in_the_routes_is_no_route_and_no_crash,
	everything_is_asked_over_one_connection, bird_that_hangs_up_gives_the_error_and_no_halves,
	cancelled_observation_never_calls_back)
