/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/judge.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bird/version.h"

#define MD5_KEY_BYTES    136 /* what the kernel charges a socket for one; measured */
#define FILES_BESIDES    64  /* what BIRD opens besides its sessions */
#define DISK_LOW_BYTES   (50LL << 20)
#define DISK_FULL_BYTES  (1LL << 20)
#define INOTIFY_LOW      16
#define BGP_PORT         179

const char *level_name(enum level level)
{
	switch (level) {
	case LEVEL_OK:
		return "ok";
	case LEVEL_UNKNOWN:
		return "not known";
	case LEVEL_WARNING:
		return "warning";
	case LEVEL_FAIL:
		break;
	}
	return "FAIL";
}

/* ---------------------------------------------------------------- saying it */

static void seen(struct finding *finding, enum level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void advise(struct finding *finding, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void seen(struct finding *finding, enum level level, const char *fmt, ...)
{
	va_list ap;

	finding->level = level;
	va_start(ap, fmt);
	vsnprintf(finding->seen, sizeof(finding->seen), fmt, ap);
	va_end(ap);
	make_one_line(finding->seen);
}

static void advise(struct finding *finding, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(finding->advice, sizeof(finding->advice), fmt, ap);
	va_end(ap);
	make_one_line(finding->advice);
}

static bool speaks(const struct facts *facts, enum family family)
{
	return facts->self && facts->self->address[family].family;
}

/* ---------------------------------------------------------------- the file */

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static void judge_file(const struct facts *facts, struct finding *f)
{
	if (facts->cluster) {
		seen(f, LEVEL_OK, "%s: cluster %s, %zu node%s, %zu peer%s", facts->file,
			facts->cluster->name, facts->cluster->n_nodes, plural(facts->cluster->n_nodes),
			facts->cluster->n_peers, plural(facts->cluster->n_peers));
		return;
	}
	seen(f, LEVEL_FAIL, "%s", facts->file_error.msg);
	advise(f, "%s", facts->file_error.code == ENOENT
				? "write it (roost.yaml(5)); the same file on every node"
				: "correct it; roostctl check tries it");
}

static void judge_node(const struct facts *facts, struct finding *f)
{
	if (facts->self) {
		seen(f, LEVEL_OK, "this is %s", facts->node_name);
	} else if (facts->nodes_error.code && facts->cluster->kubernetes.used) {
		seen(f, LEVEL_UNKNOWN, "%s", facts->nodes_error.msg);
		advise(f, "roostd writes it once the API server has answered");
	} else {
		seen(f, LEVEL_FAIL, "this is %s, and no node of that name is in %s", facts->node_name,
			facts->file);
		advise(f, "nodes[].name must be what hostname prints, or NODE_NAME in /etc/default/roost, "
			"and --node NAME here");
	}
}

static void judge_configuration(const struct facts *facts, struct finding *f)
{
	if (!facts->rendered) {
		seen(f, LEVEL_FAIL, "%s", facts->render_error.msg);
		advise(f, "install Roost whole: make install, or its package");
	} else if (facts->render_error.code == ENOSYS) {
		seen(f, LEVEL_UNKNOWN, "%s", facts->render_error.msg);
	} else if (facts->render_error.code) {
		seen(f, LEVEL_FAIL, "BIRD would refuse the configuration: %s", facts->render_error.msg);
		advise(f, "correct what it names: bird.d/ is /etc/roost/bird.d/, other files come from "
			  "/etc/roost/bird-templates/ if they are there");
	} else {
		seen(f, LEVEL_OK, "BIRD takes what is made of the file");
	}
}

static void judge_templates(const struct facts *facts, struct finding *f)
{
	if (!*facts->own_templates) {
		seen(f, LEVEL_OK, "as shipped");
		return;
	}
	seen(f, LEVEL_WARNING, "in the place of those shipped: %s in /etc/roost/bird-templates",
		facts->own_templates);
	advise(f, "fine if you know; compare them with the shipped ones after each upgrade");
}

/* ---------------------------------------------------------------- files and users */

static void judge_secrets(const struct facts *facts, struct finding *f)
{
	size_t n = 0;

	for (size_t i = 0; i < facts->n_files; i++) {
		const struct file_fact *file = &facts->files[i];

		n += file->is_secret;
		if (!file->is_secret || !(file->mode & 007))
			continue;
		seen(f, LEVEL_FAIL, "%s has mode %04o: everybody on this machine may read or write it",
			file->path, file->mode & 07777);
		advise(f, "chgrp roost %s && chmod 0640 %s", file->path, file->path);
		return;
	}
	seen(f, LEVEL_OK, n ? "%zu, none readable by everybody" : "none needed", n);
}

static void judge_readable(const struct facts *facts, struct finding *f)
{
	if (!facts->roostd_user) {
		seen(f, LEVEL_UNKNOWN, "there is no user roost yet");
		advise(f, "systemd-sysusers roost.conf (contrib/install does it)");
		return;
	}
	for (size_t i = 0; i < facts->n_files; i++)
		if (facts->files[i].unreadable.code) {
			seen(f, LEVEL_FAIL, "roostd (user %s) cannot read %s", facts->roostd_user,
				facts->files[i].unreadable.msg);
			advise(f, "let it: for secrets chgrp roost and chmod 0640, else chmod a+r; folders need x");
			return;
		}
	seen(f, LEVEL_OK, "roostd (user %s) can read %zu files", facts->roostd_user, facts->n_files);
}

static void judge_sockets(const struct facts *facts, struct finding *f)
{
	if ((facts->socket_mode | facts->bird_socket_mode) & 07) {
		seen(f, LEVEL_FAIL, "%s is open to everybody: who may write to it rules this node's routes",
			facts->socket_mode & 07 ? "roostd's socket" : "BIRD's control socket");
		advise(f, "chmod o= it; it is %s's unit that should make it 0660",
			facts->socket_mode & 07 ? "roostd" : "BIRD");
	} else if (facts->socket_mode || facts->bird_socket_mode) {
		seen(f, LEVEL_OK, "closed to others");
	} else {
		seen(f, LEVEL_UNKNOWN, "there are none yet");
	}
}

static void judge_roostd(const struct facts *facts, struct finding *f)
{
	if (!facts->socket_error.code && facts->n_problems) {
		seen(f, LEVEL_FAIL, "%s%s", facts->problem, facts->n_problems > 1 ? "; and more" : "");
		advise(f, "roostctl status, peers and routes show all of it");
	} else if (!facts->socket_error.code) {
		seen(f, LEVEL_OK, "answers, and is content");
	} else if (facts->roostd.pid) {
		seen(f, facts->socket_error.code == EACCES ? LEVEL_UNKNOWN : LEVEL_WARNING,
			"runs as process %d, but: %s", facts->roostd.pid, facts->socket_error.msg);
		advise(f, facts->socket_error.code == EACCES
				  ? "root and members of group roost may ask it"
				  : "systemctl restart roostd, which no session notices; journalctl -u roostd");
	} else {
		seen(f, LEVEL_WARNING, "does not run: what it was told last stays as it is");
		advise(f, "systemctl enable --now roostd; journalctl -u roostd");
	}
}

/* ---------------------------------------------------------------- BIRD */

static void judge_bird(const struct facts *facts, struct finding *f)
{
	struct bird_version version;
	char greeting[80];
	struct err err;

	if (facts->bird->err.code == EACCES) {
		seen(f, LEVEL_UNKNOWN, "%s", facts->bird->err.msg);
		advise(f, "root and members of group bird may ask it");
		return;
	}
	if (facts->bird->err.code) {
		bool hangs = facts->bird->err.code == ETIMEDOUT;

		seen(f, LEVEL_FAIL, "%s%s", facts->bird->err.msg,
			hangs			 ? ": it runs and hangs, or was stopped (SIGSTOP)"
			: facts->bird_process.pid ? "; yet a bird runs"
						  : "; no bird runs");
		advise(f, "%s", hangs ? "systemctl restart bird: the kernel's routes stay meanwhile"
				      : "systemctl enable --now bird; journalctl -u bird");
		return;
	}
	snprintf(greeting, sizeof(greeting), "BIRD %s", facts->bird->version);
	if (!version_parse(greeting, &version)) {
		seen(f, LEVEL_WARNING, "a BIRD without a version that could be read: %s",
			facts->bird->version);
	} else if (version_check(&version, facts->sessions, facts->n_sessions, &err) < 0) {
		seen(f, LEVEL_FAIL, "%s", err.msg);
		advise(f, "take a newer bird2, or do without the option");
	} else {
		seen(f, LEVEL_OK, "BIRD %s answers", facts->bird->version);
	}
}

static void judge_bird_start(const struct facts *facts, struct finding *f)
{
	const struct process *bird = &facts->bird_process;

	if (!bird->pid) {
		seen(f, LEVEL_UNKNOWN, "no bird runs");
	} else if (facts->n_birds > 1) {
		seen(f, LEVEL_FAIL, "%u birds run here: they take each other's routes out of the kernel",
			facts->n_birds);
		advise(f, "stop those that are not Roost's: what they are for goes into /etc/roost/bird.d/");
	} else if (facts->n_birds == 0) {
		seen(f, LEVEL_UNKNOWN, "a bird runs; whether on this machine or in a container only root can tell");
	} else if (facts->other_bird) {
		seen(f, LEVEL_FAIL, "it was not started with -c /var/lib/roost/bird/bird.conf: %.200s",
			facts->other_bird);
		advise(f, "start it as contrib/systemd/bird.service.d/roost.conf does");
	} else if (!strstr(bird->command, " -R")) {
		seen(f, LEVEL_WARNING, "it was started without -R: when it restarts, routes are lost meanwhile");
		advise(f, "start it as contrib/systemd/bird.service.d/roost.conf does");
	} else {
		seen(f, LEVEL_OK, "with -R and Roost's bird.conf");
	}
}

static void judge_open_files(const struct facts *facts, struct finding *f)
{
	long limit = facts->bird_process.open_files, need = (long)facts->n_sessions + FILES_BESIDES;

	if (limit == UNKNOWN || !facts->n_birds) {
		seen(f, LEVEL_UNKNOWN, "no bird is known to run here");
	} else if (limit < need) {
		seen(f, LEVEL_FAIL, "BIRD may open %ld files, and %zu sessions need about %ld", limit,
			facts->n_sessions, need);
		advise(f, "LimitNOFILE=65536 in BIRD's unit, as contrib/systemd/bird.service.d/roost.conf has it");
	} else {
		seen(f, LEVEL_OK, "BIRD may open %ld, for %zu sessions", limit, facts->n_sessions);
	}
}

static void judge_port(const struct facts *facts, struct finding *f)
{
	const char *owner = facts->port_owner;

	if (!owner) {
		bool bird_is_up = facts->bird && !facts->bird->err.code && facts->n_sessions;

		seen(f, bird_is_up ? LEVEL_WARNING : LEVEL_OK, "nobody listens on TCP port %d%s", BGP_PORT,
			bird_is_up ? ", not even BIRD" : "");
		if (bird_is_up)
			advise(f, "see BIRD's log: it could not bind, or has no BGP session yet");
	} else if (!*owner) {
		seen(f, LEVEL_UNKNOWN, "somebody listens on TCP port %d; whose it is only root can tell",
			BGP_PORT);
	} else if (strcmp(owner, "bird") == 0) {
		seen(f, LEVEL_OK, "TCP port %d is BIRD's", BGP_PORT);
	} else {
		seen(f, LEVEL_FAIL, "TCP port %d is taken by %s: neighbours that call reach it and not BIRD",
			BGP_PORT, owner);
		advise(f, "stop %s, or move it to another port, then restart BIRD", owner);
	}
}

static void judge_optmem(const struct facts *facts, struct finding *f)
{
	long keys = 0, room = facts->optmem_max / MD5_KEY_BYTES;

	for (size_t i = 0; i < facts->n_sessions; i++)
		keys += facts->sessions[i].options->password || facts->sessions[i].options->password_file;
	if (!keys || facts->optmem_max == UNKNOWN) {
		seen(f, keys ? LEVEL_UNKNOWN : LEVEL_OK,
			keys ? "net.core.optmem_max cannot be read" : "no session has a password");
	} else if (keys > room) {
		seen(f, LEVEL_FAIL, "%ld sessions have a password, and net.core.optmem_max %ld is room for "
			"%ld: the others fail with \"Kernel MD5 auth failed\"",
			keys, facts->optmem_max, room);
		advise(f, "sysctl net.core.optmem_max=131072, and into /etc/sysctl.d/");
	} else {
		seen(f, LEVEL_OK, "room for %ld keys, %ld needed", room, keys);
	}
}

/* ---------------------------------------------------------------- the node's address */

static void judge_address(const struct facts *facts, struct finding *f)
{
	char text[ADDR_TEXT_MAX];

	for (enum family family = 0; family < FAMILIES; family++)
		if (speaks(facts, family) && !facts->has_address[family]) {
			seen(f, LEVEL_FAIL, "%s is on no interface: sessions cannot start from it",
				addr_format(&facts->self->address[family], text));
			advise(f, "configure it on this machine, or correct nodes[].addresses");
			return;
		}
	seen(f, LEVEL_OK, "on %s", facts->uplink ? facts->uplink : "?");
}

static void judge_duplicate(const struct facts *facts, struct finding *f)
{
	bool asked = false;

	for (enum family family = 0; family < FAMILIES; family++) {
		char text[ADDR_TEXT_MAX];

		asked |= facts->asked_for_duplicates[family];
		if (!facts->duplicate[family])
			continue;
		seen(f, LEVEL_FAIL, "%s is in use by another machine as well: %s",
			addr_format(&facts->self->address[family], text), facts->duplicate[family]);
		advise(f, "find it by its MAC address (the switch knows the port) and give it another address");
		return;
	}
	seen(f, asked ? LEVEL_OK : LEVEL_UNKNOWN,
		asked		? "nobody else answers for this node's address"
		: facts->uplink ? "asking takes root"
				: "no interface has this node's address");
}

static void judge_neighbours(const struct facts *facts, struct finding *f)
{
	long nodes = facts->cluster ? (long)facts->cluster->n_nodes : 0;

	if (facts->neighbour_limit == UNKNOWN) {
		seen(f, LEVEL_UNKNOWN, "gc_thresh3 cannot be read here");
	} else if (nodes * 4 > facts->neighbour_limit * 3) {
		seen(f, LEVEL_FAIL, "%ld nodes on one segment, and the kernel keeps %ld neighbours at most "
			"(gc_thresh3)", nodes, facts->neighbour_limit);
		advise(f, "sysctl net.ipv4.neigh.default.gc_thresh3=16384 (and gc_thresh2, and net.ipv6)");
	} else {
		seen(f, LEVEL_OK, "the kernel has room for %ld, the cluster has %ld nodes",
			facts->neighbour_limit, nodes);
	}
}

/* ---------------------------------------------------------------- packets of pods */

static void judge_forwarding(const struct facts *facts, struct finding *f)
{
	static const char *const names[FAMILIES] = {"net.ipv4.ip_forward",
		"net.ipv6.conf.all.forwarding"};
	bool known = false;

	for (enum family family = 0; family < FAMILIES; family++) {
		if (facts->cluster && !cluster_has_family(facts->cluster, family))
			continue;
		if (!facts->cluster && family == IPV6)
			continue;
		known |= facts->forwarding[family] != UNKNOWN;
		if (facts->forwarding[family] != 0)
			continue;
		seen(f, LEVEL_FAIL, "%s is 0: packets of pods are not forwarded", names[family]);
		advise(f, "sysctl %s=1, and see who sets it to 0: /etc/sysctl.d, networkd's IPForward=",
			names[family]);
		return;
	}
	seen(f, known ? LEVEL_OK : LEVEL_UNKNOWN, known ? "on" : "the sysctls cannot be read");
}

static void judge_rp_filter(const struct facts *facts, struct finding *f)
{
	if (facts->rp_filter == UNKNOWN) {
		seen(f, LEVEL_UNKNOWN, "no interface has this node's address");
	} else if (facts->rp_filter == 1) {
		seen(f, LEVEL_WARNING, "strict on %s: what does not come the way the answer goes is dropped, "
			"as with two routers (ECMP)", facts->uplink);
		advise(f, "sysctl net.ipv4.conf.%s.rp_filter=2 (loose), and into /etc/sysctl.d/; "
			"not conf.all, which would let pods send from others' addresses", facts->uplink);
	} else {
		seen(f, LEVEL_OK, "%s on %s", facts->rp_filter ? "loose" : "off", facts->uplink);
	}
}

static void judge_accept_ra(const struct facts *facts, struct finding *f)
{
	if (!speaks(facts, IPV6) || facts->accept_ra == UNKNOWN) {
		seen(f, LEVEL_OK, "no IPv6 address of this node's to lose");
	} else if (facts->default_by_ra && facts->accept_ra == 1 && facts->forwarding[IPV6] == 1) {
		seen(f, LEVEL_FAIL, "the IPv6 default route is from router advertisements, and with "
			"forwarding on %s takes no more of them: it goes when it expires", facts->uplink);
		advise(f, "sysctl net.ipv6.conf.%s.accept_ra=2", facts->uplink);
	} else {
		seen(f, LEVEL_OK, facts->default_by_ra ? "router advertisements are taken"
						       : "the default route is not from router advertisements");
	}
}

static void judge_mtu(const struct facts *facts, struct finding *f)
{
	unsigned pods = facts->cluster ? facts->cluster->cni.mtu : 0;
	const char *who = "cni.mtu";

	for (size_t i = 0; i < facts->n_pod_links; i++)
		if (facts->pod_links[i].mtu > pods && facts->pod_links[i].mtu > facts->uplink_mtu) {
			pods = facts->pod_links[i].mtu;
			who = facts->pod_links[i].name;
		}
	if (!facts->uplink) {
		seen(f, LEVEL_UNKNOWN, "no interface has this node's address");
	} else if (pods > facts->uplink_mtu) {
		seen(f, LEVEL_FAIL, "pods have an MTU of %u (%s), and %s one of %u: large packets are lost, "
			"small ones are not", pods, who, facts->uplink, facts->uplink_mtu);
		advise(f, "raise %s's, the switch's too, or lower cni.mtu and make the pods anew",
			facts->uplink);
	} else {
		seen(f, LEVEL_OK, "%s has %u, pods no more than that", facts->uplink, facts->uplink_mtu);
	}
}

static void judge_bridge(const struct facts *facts, struct finding *f)
{
	const char *name;

	if (!facts->n_leases) {
		seen(f, LEVEL_OK, "no pod needs it yet");
		return;
	}
	if (facts->cluster->cni.mode != CNI_MODE_BRIDGE) {
		seen(f, LEVEL_OK, "not used: cni.mode is routed");
		return;
	}
	name = facts->cluster->cni.bridge;
	if (!facts->bridge.name)
		seen(f, LEVEL_FAIL, "%s is not there, and %zu pods are plugged into it", name, facts->n_leases);
	else if (!facts->bridge.up)
		seen(f, LEVEL_FAIL, "%s is down, and %zu pods are plugged into it", name, facts->n_leases);
	else if (!facts->bridge_has_address)
		seen(f, LEVEL_FAIL, "%s has no address of this node's podCIDRs: pods have no gateway", name);
	else
		seen(f, LEVEL_OK, "%s is up, with the pods' gateway", name);
	if (f->level == LEVEL_FAIL)
		advise(f, facts->bridge.name && !facts->bridge.up
				  ? "ip link set %s up, and find out who takes it down"
				  : "the next pod makes it anew; those there are must be made anew as well "
				    "(%s must be no other program's)",
			name);
}

static void judge_routes(const struct facts *facts, struct finding *f)
{
	char text[FIB_ROUTE_TEXT_MAX];

	for (size_t i = 0; facts->fib_read && i < facts->fib.n; i++) {
		const struct fib_route *route = &facts->fib.items[i];
		bool own = false;

		for (size_t j = 0; facts->self && j < facts->self->pod_cidrs.n; j++)
			own |= prefix_contains(&facts->self->pod_cidrs.items[j], &route->prefix);
		if (own || route->protocol == RTPROT_BIRD)
			continue;
		seen(f, LEVEL_FAIL, "a route that is not BIRD's leads into the cluster's podCIDRs: %s",
			fib_route_text(route, text));
		advise(f, "if nobody needs it: ip route del %s", text);
		return;
	}
	seen(f, facts->fib_read ? LEVEL_OK : LEVEL_UNKNOWN,
		facts->fib_read ? "all into the podCIDRs are BIRD's" : "the kernel could not be asked");
}

static void judge_networkd(const struct facts *facts, struct finding *f)
{
	if (!facts->networkd_runs) {
		seen(f, LEVEL_OK, "systemd-networkd does not run");
	} else if (facts->networkd_keeps) {
		seen(f, LEVEL_OK, "systemd-networkd leaves others' routes alone");
	} else {
		seen(f, LEVEL_WARNING, "systemd-networkd deletes BIRD's routes whenever it starts "
			"(ManageForeignRoutes=yes)");
		advise(f, "ManageForeignRoutes=no in /etc/systemd/networkd.conf.d/roost.conf, then restart it");
	}
}

/* ---------------------------------------------------------------- firewalls */

static bool has_word(const char *line, const char *word)
{
	size_t len = strlen(word);
	const char *at = line;

	while ((at = strstr(at, word))) {
		char before = at == line ? ' ' : at[-1], behind = at[len];

		if (strchr(" \t,{-", before) && (!behind || strchr(" \t,};\n", behind)))
			return true;
		at += len;
	}
	return false;
}

static bool is_port_rule(const char *line)
{
	return strstr(line, "dport") && (has_word(line, "179") || has_word(line, "bgp"));
}

enum hook { HOOK_NONE, HOOK_INPUT, HOOK_FORWARD };

struct firewall {
	bool drops_bgp;		 /* a rule that names the port says so */
	bool lets_bgp;		 /* the opposite */
	bool input_is_closed;	 /* policy drop */
	bool forward_is_closed;
};

static bool drops(const char *line)
{
	return has_word(line, "drop") || has_word(line, "reject") || has_word(line, "DROP") ||
		has_word(line, "REJECT");
}

/* One line of either program's listing: rules look alike as far as this goes. */
static void take_line(struct firewall *wall, const char *line)
{
	bool nft_policy = strstr(line, "policy drop") != NULL;

	wall->input_is_closed |= (nft_policy && strstr(line, "hook input")) ||
		strncmp(line, ":INPUT DROP", 11) == 0;
	wall->forward_is_closed |= (nft_policy && strstr(line, "hook forward")) ||
		strncmp(line, ":FORWARD DROP", 13) == 0;
	if (!is_port_rule(line))
		return;
	if (drops(line))
		wall->drops_bgp = true;
	else if (has_word(line, "accept") || has_word(line, "ACCEPT"))
		wall->lets_bgp = true;
}

static struct firewall read_rules(const struct facts *facts)
{
	const char *const texts[] = {facts->ruleset, facts->legacy};
	struct firewall wall = {0};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		for (const char *at = texts[i]; at && *at;) {
			size_t len = strcspn(at, "\n");
			char line[512];

			snprintf(line, sizeof(line), "%.*s", (int)(len < 511 ? len : 511), at);
			take_line(&wall, line);
			at += len + (at[len] != '\0');
		}
	return wall;
}

static void judge_firewall(const struct facts *facts, struct finding *f)
{
	struct firewall wall = read_rules(facts);

	if (!facts->ruleset) {
		seen(f, LEVEL_UNKNOWN, "nft list ruleset: takes root, and the package nftables");
	} else if (wall.drops_bgp) {
		seen(f, LEVEL_FAIL, "a rule drops or rejects TCP port %d", BGP_PORT);
		advise(f, "nft list ruleset shows it; let the nodes and routers through");
	} else if (wall.input_is_closed && !wall.lets_bgp) {
		seen(f, LEVEL_WARNING, "a chain for input has policy drop, and no rule names TCP port %d",
			BGP_PORT);
		advise(f, "if sessions that neighbours begin do not come up: accept tcp dport 179 from them, "
			  "and udp dport 3784 for BFD");
	} else {
		seen(f, LEVEL_OK, "nothing in it against TCP port %d", BGP_PORT);
	}
}

static void judge_forward_policy(const struct facts *facts, struct finding *f)
{
	struct firewall wall = read_rules(facts);
	bool bridged = facts->bridge_nf == 1;

	if (!facts->ruleset) {
		seen(f, LEVEL_UNKNOWN, "nft list ruleset: takes root, and the package nftables");
	} else if (wall.forward_is_closed) {
		seen(f, LEVEL_WARNING, "a chain for forwarding has policy drop (Docker sets that): packets of "
			"pods pass only where a rule accepts them%s",
			bridged ? ", those within this node's bridge included (bridge-nf-call-iptables is 1)"
				: "");
		advise(f, "accept what comes from and goes to cluster.podCIDRs in it");
	} else {
		seen(f, LEVEL_OK, "no policy against it");
	}
}

static void judge_conntrack(const struct facts *facts, struct finding *f)
{
	if (facts->conntrack_max == UNKNOWN || facts->conntrack_count == UNKNOWN) {
		seen(f, LEVEL_OK, "not in use");
	} else if (facts->conntrack_count >= facts->conntrack_max / 10 * 9) {
		seen(f, LEVEL_FAIL, "%ld of %ld connections: when it is full, new ones are dropped",
			facts->conntrack_count, facts->conntrack_max);
		advise(f, "sysctl net.netfilter.nf_conntrack_max=%ld", facts->conntrack_max * 4);
	} else {
		seen(f, LEVEL_OK, "%ld of %ld connections", facts->conntrack_count, facts->conntrack_max);
	}
}

/* ---------------------------------------------------------------- the machine */

static void judge_clock(const struct facts *facts, struct finding *f)
{
	if (facts->now < facts->built) {
		seen(f, LEVEL_FAIL, "it is before this roostctl was built: certificates are not valid yet");
		advise(f, "set it, and run an NTP client");
	} else if (facts->clock_synchronised == 0) {
		seen(f, LEVEL_WARNING, "nobody keeps it: logs of nodes do not match, and certificates may fail");
		advise(f, "run an NTP client: systemd-timesyncd, chrony");
	} else {
		seen(f, facts->clock_synchronised == UNKNOWN ? LEVEL_UNKNOWN : LEVEL_OK,
			facts->clock_synchronised == UNKNOWN ? "the kernel does not tell" : "synchronised");
	}
}

static void judge_disks(const struct facts *facts, struct finding *f)
{
	for (size_t i = 0; i < ARRAY_LEN(facts->disks); i++) {
		const struct disk_fact *disk = &facts->disks[i];
		bool full = disk->free_bytes < DISK_FULL_BYTES || disk->free_files == 0;

		if (!disk->path || disk->free_bytes == UNKNOWN ||
			(disk->free_bytes >= DISK_LOW_BYTES && disk->free_files != 0))
			continue;
		seen(f, full ? LEVEL_FAIL : LEVEL_WARNING, "%s: %lld kB%s are free%s", disk->path,
			disk->free_bytes >> 10, disk->free_files == 0 ? " and no inodes" : "",
			full ? ": no change can be written, no pod plugged in" : "");
		advise(f, "make room on it");
		return;
	}
	seen(f, LEVEL_OK, "enough room");
}

static void judge_inotify(const struct facts *facts, struct finding *f)
{
	if (facts->inotify_instances == UNKNOWN) {
		seen(f, LEVEL_UNKNOWN, "the limits cannot be read");
	} else if (facts->inotify_instances < INOTIFY_LOW || facts->inotify_watches < INOTIFY_LOW) {
		seen(f, LEVEL_FAIL, "a user may have %ld instances and %ld watches: changes of the file may "
			"not be seen", facts->inotify_instances, facts->inotify_watches);
		advise(f, "sysctl fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=65536");
	} else {
		seen(f, LEVEL_OK, "%ld instances, %ld watches per user", facts->inotify_instances,
			facts->inotify_watches);
	}
}

/* ---------------------------------------------------------------- the plugin */

static void judge_plugin(const struct facts *facts, struct finding *f)
{
	const char *dir = facts->cluster ? facts->cluster->cni.bin_dir : ROOST_CNI_BIN_DIR;

	if (!facts->has_plugin) {
		seen(f, LEVEL_FAIL, "%s/roost is not there: no pod can be plugged in", dir);
		advise(f, "make install puts it there; or say cni.binDir");
	} else if (!facts->has_loopback) {
		seen(f, LEVEL_WARNING, "%s has no loopback, which containerd and CRI-O may ask for", dir);
		advise(f, "install containernetworking-plugins");
	} else {
		seen(f, LEVEL_OK, "in %s", dir);
	}
}

static void judge_conflist(const struct facts *facts, struct finding *f)
{
	const char *dir = facts->cluster ? facts->cluster->cni.conf_dir : "/etc/cni/net.d";
	const char *name = facts->winning_conflist;

	if (strcmp(name, "10-roost.conflist") == 0) {
		seen(f, LEVEL_OK, "10-roost.conflist is the first in %s", dir);
	} else if (*name && strcmp(name, "10-roost.conflist") < 0) {
		seen(f, LEVEL_FAIL, "%s/%s wins over 10-roost.conflist: runtimes take the first by name", dir,
			name);
		advise(f, "move it away; who wrote it may write it again");
	} else {
		seen(f, LEVEL_WARNING, "%s has no 10-roost.conflist: pods get %s", dir,
			*name ? "another network" : "none");
		advise(f, "roostd writes it once the configuration is confirmed: see roostctl status");
	}
}

static void judge_leases(const struct facts *facts, struct finding *f)
{
	if (!facts->lease_error.code) {
		seen(f, LEVEL_OK, "%zu pods have addresses", facts->n_leases);
		return;
	}
	seen(f, LEVEL_FAIL, "the lease store is damaged: %s", facts->lease_error.msg);
	advise(f, "the next pod makes it anew from the links of those there are; nothing has to be deleted");
}

/* ---------------------------------------------------------------- the table */

static const struct check {
	const char *name;
	void (*judge)(const struct facts *, struct finding *);
	enum needs { NOTHING, CLUSTER, NODE } needs; /* the cluster; that this node is in it */
} checks[] = {
	{"file", judge_file, NOTHING},
	{"node", judge_node, CLUSTER},
	{"configuration", judge_configuration, NODE},
	{"templates", judge_templates, NOTHING},
	{"readable", judge_readable, NOTHING},
	{"secrets", judge_secrets, CLUSTER},
	{"roostd", judge_roostd, NOTHING},
	{"BIRD", judge_bird, CLUSTER},
	{"BIRD's start", judge_bird_start, NOTHING},
	{"open files", judge_open_files, NOTHING},
	{"sockets", judge_sockets, NOTHING},
	{"port 179", judge_port, NOTHING},
	{"passwords", judge_optmem, NODE},
	{"address", judge_address, NODE},
	{"duplicate", judge_duplicate, NODE},
	{"neighbours", judge_neighbours, NOTHING},
	{"forwarding", judge_forwarding, NOTHING},
	{"rp_filter", judge_rp_filter, NODE},
	{"accept_ra", judge_accept_ra, NODE},
	{"MTU", judge_mtu, NODE},
	{"routes", judge_routes, CLUSTER},
	{"networkd", judge_networkd, NOTHING},
	{"firewall", judge_firewall, NOTHING},
	{"forward policy", judge_forward_policy, NOTHING},
	{"conntrack", judge_conntrack, NOTHING},
	{"bridge", judge_bridge, CLUSTER},
	{"plugin", judge_plugin, NOTHING},
	{"conflist", judge_conflist, NOTHING},
	{"leases", judge_leases, NOTHING},
	{"clock", judge_clock, NOTHING},
	{"disk", judge_disks, NOTHING},
	{"inotify", judge_inotify, NOTHING},
};

struct finding *judge_all(const struct facts *facts, struct arena *arena, size_t *n)
{
	struct finding *findings = arena_alloc(arena, sizeof(*findings) * ARRAY_LEN(checks));

	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		findings[i].check = checks[i].name;
		if (checks[i].needs && !facts->cluster)
			seen(&findings[i], LEVEL_UNKNOWN, "not looked at: %s cannot be used", facts->file);
		else if (checks[i].needs == NODE && !facts->self)
			seen(&findings[i], LEVEL_UNKNOWN, "not looked at: which node this is is not known");
		else
			checks[i].judge(facts, &findings[i]);
	}
	*n = ARRAY_LEN(checks);
	return findings;
}
