/* SPDX-License-Identifier: GPL-2.0-or-later */
/* roostctl doctor's judgement: each row takes a machine on which all is well and breaks
 * one thing; the finding must name it and what to do. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "ctl/judge.h"
#include "model/decode.h"
#include "unit.h"

static const char yaml[] =
	"cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16, \"fd00:10::/48\"]}\n"
	"nodes:\n"
	"- {name: node1, addresses: [192.168.1.11, \"fd00:1::11\"], podCIDRs: [10.244.1.0/24]}\n"
	"- {name: node2, addresses: [192.168.1.12], podCIDRs: [10.244.2.0/24]}\n"
	"peers: [{name: tor, address: 192.168.1.1, asNumber: 65000, passwordFile: /etc/roost/tor}]\n";

static struct bird_state the_bird;
static struct file_fact the_files[2];
static struct link_fact the_links[2];
static struct fib_route the_routes[2];

static void set_up(struct facts *facts)
{
	struct cluster *cluster;
	struct err err;

	memset(facts, 0, sizeof(*facts));
	ck_assert_msg(decode_cluster("roost.yaml", yaml, strlen(yaml), &facts->arena, &cluster, &err) ==
			      0,
		"%s", err.msg);
	facts->file = "/etc/roost/roost.yaml";
	facts->cluster = cluster;
	facts->node_name = "node1";
	facts->self = cluster_find_node(cluster, "node1");
	facts->sessions = render_sessions(cluster, facts->self, &facts->arena, &facts->n_sessions);
	the_bird = (struct bird_state){.version = "2.0.12"};
	facts->bird = &the_bird;
	facts->bird_process = (struct process){7, "bird",
		"bird -f -R -c /var/lib/roost/bird/bird.conf ", 65536};
	facts->n_birds = 1;
	facts->rendered = true;
	facts->own_templates = "";
	facts->roostd = (struct process){.pid = 8};
	facts->socket_mode = facts->bird_socket_mode = 0140660;
	facts->roostd_user = "roost";
	the_files[0] = (struct file_fact){.path = facts->file, .mode = 0100644};
	the_files[1] = (struct file_fact){.path = "/etc/roost/tor", .is_secret = true, .mode = 0100640};
	facts->files = the_files;
	facts->n_files = 2;
	facts->problem = "";
	facts->forwarding[IPV4] = facts->forwarding[IPV6] = 1;
	facts->uplink = "eth0";
	facts->uplink_mtu = 1500;
	facts->has_address[IPV4] = facts->has_address[IPV6] = true;
	facts->asked_for_duplicates[IPV4] = true;
	facts->port_owner = "bird";
	facts->neighbour_limit = 1024;
	facts->optmem_max = 131072;
	facts->bridge_nf = UNKNOWN;
	facts->conntrack_count = facts->conntrack_max = UNKNOWN;
	the_links[0] = facts->bridge = (struct link_fact){"roost0", 1500, true};
	the_links[1] = (struct link_fact){"rst0123456789a", 1500, true};
	facts->pod_links = the_links;
	facts->n_pod_links = 2;
	facts->bridge_has_address = true;
	memset(the_routes, 0, sizeof(the_routes));
	the_routes[0].protocol = RTPROT_KERNEL;
	the_routes[1].protocol = RTPROT_BIRD;
	ck_assert(prefix_parse("10.244.1.0/24", &the_routes[0].prefix) &&
		prefix_parse("10.244.2.0/24", &the_routes[1].prefix));
	facts->fib = (struct fib){the_routes, 2};
	facts->fib_read = true;
	facts->ruleset = "table inet filter {\n\tchain input {\n"
			 "\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n";
	facts->legacy = "";
	facts->now = 2000;
	facts->built = 1000;
	facts->clock_synchronised = 1;
	facts->inotify_instances = 128;
	facts->inotify_watches = 65536;
	facts->disks[0] = (struct disk_fact){"/var/lib/roost", 1LL << 30, 1000};
	facts->disks[1] = (struct disk_fact){"/run/roost", 1LL << 30, UNKNOWN};
	facts->has_plugin = facts->has_loopback = true;
	facts->winning_conflist = "10-roost.conflist";
	facts->n_leases = 2;
}

/* ---------------------------------------------------------------- what may be wrong */

static void no_file(struct facts *f)
{
	f->cluster = NULL;
	f->self = NULL;
	err_set(&f->file_error, EINVAL, "roost.yaml:2:1: nodes: expected a list");
}
static void not_in_it(struct facts *f)
{
	f->self = NULL;
	f->node_name = "nodeX";
}
static void nodes_not_known(struct facts *f)
{
	struct cluster *cluster = (struct cluster *)(uintptr_t)f->cluster;

	f->self = NULL;
	cluster->kubernetes.used = true;
	err_set(&f->nodes_error, ENOENT, "/var/lib/roost/cluster.json: No such file or directory");
}
static void bad_snippet(struct facts *f)
{
	err_set(&f->render_error, EINVAL, "bird.d/1.conf:3:1 syntax error");
}
static void own_template(struct facts *f)
{
	f->own_templates = "ipv4.conf";
}
static void open_secret(struct facts *f)
{
	f->files[1].mode = 0100644;
}
static void closed_file(struct facts *f)
{
	err_set(&f->files[0].unreadable, EACCES, "/etc/roost/roost.yaml: mode 0600");
}
static void open_socket(struct facts *f)
{
	f->bird_socket_mode = 0140666;
}
static void no_roostd(struct facts *f)
{
	f->roostd.pid = 0;
	err_set(&f->socket_error, ENOENT, "no answer");
}
static void unhappy_roostd(struct facts *f)
{
	f->problem = "1 of 3 sessions are down";
	f->n_problems = 2;
}
static void old_bird(struct facts *f)
{
	(void)f;
	the_bird.version = "2.0.7";
}
static void hung_bird(struct facts *f)
{
	(void)f;
	err_set(&the_bird.err, ETIMEDOUT, "BIRD does not answer");
}
static void no_bird(struct facts *f)
{
	err_set(&the_bird.err, ENOENT, "/run/bird/bird.ctl: No such file or directory");
	f->bird_process.pid = 0;
}
static void secret_bird(struct facts *f)
{
	(void)f;
	err_set(&the_bird.err, EACCES, "/run/bird/bird.ctl: Permission denied");
}
static void debians_bird(struct facts *f)
{
	f->other_bird = f->bird_process.command = "/usr/sbin/bird -f -u bird -g bird ";
}
static void forgetful_bird(struct facts *f)
{
	f->bird_process.command = "bird -f -c /var/lib/roost/bird/bird.conf ";
}
static void two_birds(struct facts *f)
{
	f->n_birds = 2;
}
static void somebodys_bird(struct facts *f)
{
	f->n_birds = 0;
	f->bird_process.command = "bird of some container";
}
static void no_templates(struct facts *f)
{
	f->rendered = false;
	err_set(&f->render_error, ENOENT, "no BIRD templates in /usr/share/roost/bird-templates");
}
static void few_files(struct facts *f)
{
	f->bird_process.open_files = 64;
}
static void taken_port(struct facts *f)
{
	f->port_owner = "gobgpd";
}
static void free_port(struct facts *f)
{
	f->port_owner = NULL;
}
static void small_optmem(struct facts *f)
{
	f->optmem_max = 100;
}
static void small_optmem_for_a_password_in_the_file(struct facts *f)
{
	static const struct session options = {.password = "secret"};
	static struct session_want session = {.options = &options};

	f->sessions = &session;
	f->n_sessions = 1;
	f->optmem_max = 100;
}
static void no_address(struct facts *f)
{
	f->has_address[IPV4] = false;
}
static void duplicate(struct facts *f)
{
	f->duplicate[IPV4] = "02:42:00:00:00:07";
}
static void small_arp(struct facts *f)
{
	f->neighbour_limit = 2;
}
static void no_forwarding(struct facts *f)
{
	f->forwarding[IPV6] = 0;
}
static void strict(struct facts *f)
{
	f->rp_filter = 1;
}
static void ra_lost(struct facts *f)
{
	f->default_by_ra = true;
	f->accept_ra = 1;
}
static void ra_kept(struct facts *f)
{
	f->default_by_ra = true;
	f->accept_ra = 2;
}
static void small_uplink(struct facts *f)
{
	f->uplink_mtu = 1400;
}
static void no_bridge(struct facts *f)
{
	f->bridge.name = NULL;
}
static void bare_bridge(struct facts *f)
{
	f->bridge_has_address = false;
}
static void bridge_down(struct facts *f)
{
	f->bridge.up = false;
}
static void bridge_not_needed(struct facts *f)
{
	f->bridge.name = NULL;
	f->n_leases = 0;
}
static void foreign_route(struct facts *f)
{
	f->fib.items[1].protocol = RTPROT_STATIC;
	f->fib.items[1].metric = 5;
}
static void networkd(struct facts *f)
{
	f->networkd_runs = true;
}
static void kept_networkd(struct facts *f)
{
	f->networkd_runs = f->networkd_keeps = true;
}
static void nft_drops(struct facts *f)
{
	f->ruleset = "table inet f {\n\tchain i {\n\t\ttype filter hook input priority 0; policy accept;\n"
		     "\t\ttcp dport { 22, 179 } counter packets 3 bytes 180 drop\n\t}\n}\n";
}
static void nft_drops_another_port(struct facts *f)
{
	f->ruleset = "tcp dport 1790 drop\ntcp sport 179 drop\n";
}
static void nft_closed(struct facts *f)
{
	f->ruleset = "\t\ttype filter hook input priority filter; policy drop;\n\t\ttcp dport 22 accept\n";
}
static void nft_closed_but_for_bgp(struct facts *f)
{
	f->ruleset = "\t\ttype filter hook input priority filter; policy drop;\n\t\ttcp dport bgp accept\n";
}
static void legacy_drops(struct facts *f)
{
	f->legacy = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 179 -j DROP\nCOMMIT\n";
}
static void docker(struct facts *f)
{
	f->ruleset = "";
	f->legacy = "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n";
	f->bridge_nf = 1;
}
static void no_nft(struct facts *f)
{
	f->ruleset = NULL;
}
static void conntrack_full(struct facts *f)
{
	f->conntrack_count = 950;
	f->conntrack_max = 1000;
}
static void jump(struct facts *f)
{
	f->now = 500;
}
static void drifting_clock(struct facts *f)
{
	f->clock_synchronised = 0;
}
static void full(struct facts *f)
{
	f->disks[0].free_bytes = 0;
}
static void low(struct facts *f)
{
	f->disks[1].free_bytes = 20 << 20;
}
static void no_inodes(struct facts *f)
{
	f->disks[0].free_files = 0;
}
static void inotify(struct facts *f)
{
	f->inotify_watches = 8;
}
static void no_plugin(struct facts *f)
{
	f->has_plugin = false;
}
static void no_loopback(struct facts *f)
{
	f->has_loopback = false;
}
static void other_list(struct facts *f)
{
	f->winning_conflist = "05-cilium.conflist";
}
static void no_list(struct facts *f)
{
	f->winning_conflist = "87-podman.conflist";
}
static void damage(struct facts *f)
{
	err_set(&f->lease_error, EIO, "/run/roost/ipam/roost/leases: slot 3 is damaged");
}

static const struct row {
	void (*wrong)(struct facts *);
	const char *check;
	enum level level;
	const char *seen, *advice; /* each in it; advice NULL: there is none */
} rows[] = {
	{no_file, "file", LEVEL_FAIL, "roost.yaml:2:1: nodes: expected a list", "roostctl check"},
	{no_file, "node", LEVEL_UNKNOWN, "roost.yaml cannot be used", NULL},
	{no_file, "secrets", LEVEL_UNKNOWN, "roost.yaml cannot be used", NULL},
	{no_file, "passwords", LEVEL_UNKNOWN, "roost.yaml cannot be used", NULL},
	{no_file, "accept_ra", LEVEL_UNKNOWN, "roost.yaml cannot be used", NULL},
	{no_file, "bridge", LEVEL_UNKNOWN, "roost.yaml cannot be used", NULL},
	{no_file, "routes", LEVEL_UNKNOWN, "roost.yaml cannot be used", NULL},
	{no_file, "rp_filter", LEVEL_UNKNOWN, "roost.yaml cannot be used", NULL},
	{not_in_it, "rp_filter", LEVEL_UNKNOWN, "which node this is is not known", NULL},
	{not_in_it, "node", LEVEL_FAIL, "this is nodeX, and no node of that name", "--node NAME"},
	{nodes_not_known, "node", LEVEL_UNKNOWN, "cluster.json", "API server"},
	{bad_snippet, "configuration", LEVEL_FAIL, "bird.d/1.conf:3:1 syntax error", "/etc/roost/bird.d/"},
	{own_template, "templates", LEVEL_WARNING, "ipv4.conf", "upgrade"},
	{open_secret, "secrets", LEVEL_FAIL, "/etc/roost/tor has mode 0644", "chgrp roost /etc/roost/tor && chmod 0640 /etc/roost/tor"},
	{closed_file, "readable", LEVEL_FAIL, "(user roost) cannot read /etc/roost/roost.yaml", "chmod"},
	{open_socket, "sockets", LEVEL_FAIL, "BIRD's control socket is open", "0660"},
	{no_roostd, "roostd", LEVEL_WARNING, "does not run", "systemctl enable --now roostd"},
	{unhappy_roostd, "roostd", LEVEL_FAIL, "1 of 3 sessions are down; and more", "roostctl status"},
	{old_bird, "BIRD", LEVEL_FAIL, "2.0.7, and Roost needs BIRD 2.0.12", "newer bird2"},
	{hung_bird, "BIRD", LEVEL_FAIL, "does not answer: it runs and hangs", "restart bird"},
	{no_bird, "BIRD", LEVEL_FAIL, "no bird runs", "enable --now bird"},
	{no_bird, "BIRD's start", LEVEL_UNKNOWN, "no bird runs", NULL},
	{secret_bird, "BIRD", LEVEL_UNKNOWN, "Permission denied", "group bird"},
	{debians_bird, "BIRD's start", LEVEL_FAIL, "was not started with -c", "bird.service.d"},
	{forgetful_bird, "BIRD's start", LEVEL_WARNING, "without -R", "bird.service.d"},
	{two_birds, "BIRD's start", LEVEL_FAIL, "2 birds run here", "stop"},
	{somebodys_bird, "BIRD's start", LEVEL_UNKNOWN, "only root can tell", NULL},
	{somebodys_bird, "open files", LEVEL_UNKNOWN, "no bird is known", NULL},
	{no_templates, "configuration", LEVEL_FAIL, "no BIRD templates in", "make install"},
	{few_files, "open files", LEVEL_FAIL, "may open 64 files", "LimitNOFILE"},
	{taken_port, "port 179", LEVEL_FAIL, "taken by gobgpd", "stop gobgpd"},
	{free_port, "port 179", LEVEL_WARNING, "not even BIRD", "log"},
	{small_optmem, "passwords", LEVEL_FAIL, "net.core.optmem_max 100 is room for 0", "131072"},
	{small_optmem_for_a_password_in_the_file, "passwords", LEVEL_FAIL, "1 sessions have a password",
		"131072"},
	{no_address, "address", LEVEL_FAIL, "192.168.1.11 is on no interface", "nodes[].addresses"},
	{duplicate, "duplicate", LEVEL_FAIL, "192.168.1.11 is in use by another machine as well: 02:42:",
		"MAC"},
	{small_arp, "neighbours", LEVEL_FAIL, "2 neighbours at most", "gc_thresh3"},
	{no_forwarding, "forwarding", LEVEL_FAIL, "net.ipv6.conf.all.forwarding is 0", "sysctl"},
	{strict, "rp_filter", LEVEL_WARNING, "strict on eth0", "=2"},
	{ra_lost, "accept_ra", LEVEL_FAIL, "takes no more of them", "accept_ra=2"},
	{ra_kept, "accept_ra", LEVEL_OK, "are taken", NULL},
	{small_uplink, "MTU", LEVEL_FAIL, "MTU of 1500 (roost0), and eth0 one of 1400", "cni.mtu"},
	{no_bridge, "bridge", LEVEL_FAIL, "roost0 is not there, and 2 pods", "made anew"},
	{bare_bridge, "bridge", LEVEL_FAIL, "no address", "made anew"},
	{bridge_down, "bridge", LEVEL_FAIL, "roost0 is down", "ip link set roost0 up"},
	{bridge_not_needed, "bridge", LEVEL_OK, "no pod needs it", NULL},
	{foreign_route, "routes", LEVEL_FAIL, "10.244.2.0/24 proto static metric 5", "ip route del"},
	{networkd, "networkd", LEVEL_WARNING, "deletes BIRD's routes", "ManageForeignRoutes=no"},
	{kept_networkd, "networkd", LEVEL_OK, "alone", NULL},
	{nft_drops, "firewall", LEVEL_FAIL, "drops or rejects TCP port 179", "nft list ruleset"},
	{nft_drops_another_port, "firewall", LEVEL_OK, "nothing in it", NULL},
	{nft_closed, "firewall", LEVEL_WARNING, "policy drop", "3784"},
	{nft_closed_but_for_bgp, "firewall", LEVEL_OK, "nothing in it", NULL},
	{legacy_drops, "firewall", LEVEL_FAIL, "drops or rejects", "nft"},
	{docker, "forward policy", LEVEL_WARNING, "bridge-nf-call-iptables is 1", "podCIDRs"},
	{no_nft, "firewall", LEVEL_UNKNOWN, "takes root", NULL},
	{conntrack_full, "conntrack", LEVEL_FAIL, "950 of 1000", "=4000"},
	{jump, "clock", LEVEL_FAIL, "before this roostctl was built", "NTP"},
	{drifting_clock, "clock", LEVEL_WARNING, "nobody keeps it", "NTP"},
	{full, "disk", LEVEL_FAIL, "/var/lib/roost: 0 kB are free", "room"},
	{low, "disk", LEVEL_WARNING, "/run/roost: 20480 kB are free", "room"},
	{no_inodes, "disk", LEVEL_FAIL, "no inodes", "room"},
	{inotify, "inotify", LEVEL_FAIL, "8 watches", "max_user_watches"},
	{no_plugin, "plugin", LEVEL_FAIL, "/roost is not there", "make install"},
	{no_loopback, "plugin", LEVEL_WARNING, "no loopback", "containernetworking-plugins"},
	{other_list, "conflist", LEVEL_FAIL, "05-cilium.conflist wins over", "move it away"},
	{no_list, "conflist", LEVEL_WARNING, "pods get another network", "roostctl status"},
	{damage, "leases", LEVEL_FAIL, "slot 3 is damaged", "makes it anew"},
};

START_TEST(machine_without_a_fault_is_fine_in_every_check)
{
	struct facts facts;
	struct finding *findings;
	size_t n;

	set_up(&facts);
	findings = judge_all(&facts, &facts.arena, &n);
	ck_assert_uint_gt(n, 30);
	for (size_t i = 0; i < n; i++) {
		ck_assert_msg(findings[i].level == LEVEL_OK && findings[i].seen[0], "%s: %s",
			findings[i].check, findings[i].seen);
		ck_assert_str_eq(findings[i].advice, "");
	}
	arena_free(&facts.arena);
}
END_TEST

static const struct finding *find(const struct finding *findings, size_t n, const char *check)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(findings[i].check, check) == 0)
			return &findings[i];
	ck_abort_msg("no check %s", check);
	return NULL;
}

START_TEST(fault_is_named_with_what_to_do)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		const struct finding *f;
		struct facts facts;
		size_t n;

		set_up(&facts);
		row->wrong(&facts);
		f = judge_all(&facts, &facts.arena, &n);
		f = find(f, n, row->check);
		ck_assert_msg(f->level == row->level && strstr(f->seen, row->seen), "%s: %s: %s", f->check,
			level_name(f->level), f->seen);
		if (row->advice)
			ck_assert_msg(strstr(f->advice, row->advice) != NULL, "%s -> %s", f->check,
				f->advice);
		else
			ck_assert_str_eq(f->advice, "");
		arena_free(&facts.arena);
	}
}
END_TEST

/* Before anything is installed nothing is known, and that must not end in a crash. */
START_TEST(machine_that_nothing_is_known_of_fails_only_where_it_must)
{
	struct facts facts = {.own_templates = "", .winning_conflist = "", .problem = "", .file = "x",
		.legacy = "", .forwarding = {UNKNOWN, UNKNOWN}, .conntrack_max = UNKNOWN,
		.neighbour_limit = UNKNOWN, .optmem_max = UNKNOWN, .clock_synchronised = UNKNOWN,
		.inotify_instances = UNKNOWN};
	struct finding *findings;
	size_t n;

	err_set(&facts.file_error, ENOENT, "x: No such file or directory");
	err_set(&facts.socket_error, ENOENT, "no answer");
	findings = judge_all(&facts, &facts.arena, &n);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(findings[i].level != LEVEL_FAIL || strcmp(findings[i].check, "file") == 0 ||
				      strcmp(findings[i].check, "plugin") == 0,
			"%s: %s", findings[i].check, findings[i].seen);
	arena_free(&facts.arena);
}
END_TEST

UNIT(judge, machine_without_a_fault_is_fine_in_every_check, fault_is_named_with_what_to_do,
	machine_that_nothing_is_known_of_fails_only_where_it_must)
