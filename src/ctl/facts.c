/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/facts.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <ifaddrs.h>
#include <limits.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "agent/outputs.h"
#include "base/file.h"
#include "ctl/probe.h"
#include "source/file.h"

#define SMALL_FILE_BYTES (1u << 20)
#define LISTING_MAX_BYTES (8u << 20)
#define MAX_GROUPS 64

/* ---------------------------------------------------------------- small parts */

static char *read_text(struct arena *arena, const char *path)
{
	_cleanup_buf_ struct buf text = {0};
	struct err ignored;

	if (file_read(path, SMALL_FILE_BYTES, &text, &ignored) < 0)
		return NULL;
	return arena_strndup(arena, buf_text(&text), text.len);
}

static long read_number(const char *path)
{
	_cleanup_arena_ struct arena arena = {0};
	const char *text = read_text(&arena, path);

	return text ? strtol(text, NULL, 10) : UNKNOWN;
}

static long read_interface_number(const char *family, const char *interface, const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, interface, name);
	return read_number(path);
}

/* What a command prints, NULL when it fails. */
static char *run(struct arena *arena, const char *command, int *status)
{
	_cleanup_buf_ struct buf text = {0};
	FILE *pipe = popen(command, "re");
	char chunk[4096];
	size_t n;

	if (!pipe)
		return NULL;
	while ((n = fread(chunk, 1, sizeof(chunk), pipe)) > 0)
		if (text.len < LISTING_MAX_BYTES)
			buf_add(&text, chunk, n);
	*status = pclose(pipe);
	return arena_strndup(arena, buf_text(&text), text.len);
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_mode : 0;
}

/* ---------------------------------------------------------------- processes */

static long open_files_of(const char *limits)
{
	const char *line = limits ? strstr(limits, "Max open files") : NULL;
	long soft;

	if (!line || sscanf(line, "Max open files %ld", &soft) != 1)
		return UNKNOWN;
	return soft;
}

/* Processes of containers are none of ours; of whom only root can tell. */
enum whose { OURS, NOT_KNOWN, CONTAINERS };

static enum whose network_of(const char *pid)
{
	char path[300], theirs[64] = "", ours[64] = "";

	snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	if (readlink(path, theirs, sizeof(theirs) - 1) < 0 ||
		readlink("/proc/self/ns/net", ours, sizeof(ours) - 1) < 0)
		return NOT_KNOWN;
	return strcmp(theirs, ours) == 0 ? OURS : CONTAINERS;
}

static char *command_of(struct arena *arena, const char *pid)
{
	_cleanup_buf_ struct buf text = {0};
	struct err ignored;
	char path[300], *copy;

	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	if (file_read(path, SMALL_FILE_BYTES, &text, &ignored) < 0)
		return arena_strdup(arena, "");
	copy = arena_alloc(arena, text.len + 1);
	for (size_t i = 0; i < text.len; i++)
		copy[i] = text.text[i] ? text.text[i] : ' ';
	return copy;
}

static void take_process(struct facts *facts, const char *pid, struct process *process)
{
	char path[300];

	snprintf(path, sizeof(path), "/proc/%s/limits", pid);
	process->pid = atoi(pid);
	process->command = command_of(&facts->arena, pid);
	process->open_files = open_files_of(read_text(&facts->arena, path));
}

static void count_bird(struct facts *facts)
{
	const char *command = facts->bird_process.command;

	facts->n_birds++;
	if (!strstr(command, "/var/lib/roost/bird/bird.conf"))
		facts->other_bird = command;
}

/* 15 bytes of the name are all that the kernel keeps. */
void facts_look_at_processes(struct facts *facts)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	facts->bird_process.open_files = UNKNOWN;
	while (proc && (entry = readdir(proc))) {
		char path[300];
		const char *name;
		enum whose whose;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		name = read_text(&facts->arena, path);
		whose = name ? network_of(entry->d_name) : CONTAINERS;
		if (whose == CONTAINERS)
			continue;
		if (strcmp(name, "bird\n") == 0) {
			take_process(facts, entry->d_name, &facts->bird_process);
			if (whose == OURS)
				count_bird(facts);
		} else if (strcmp(name, "roostd\n") == 0) {
			take_process(facts, entry->d_name, &facts->roostd);
		} else if (strcmp(name, "systemd-network\n") == 0) {
			facts->networkd_runs = true;
		}
	}
	if (proc)
		closedir(proc);
}

/* ---------------------------------------------------------------- port 179 */

/* The inode of a listener on port 179; 0: none. */
static unsigned long listener_in(const char *path)
{
	FILE *sockets = fopen(path, "re");
	unsigned long inode = 0;
	char line[256];

	while (sockets && !inode && fgets(line, sizeof(line), sockets)) {
		unsigned port, state;
		unsigned long found;

		if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s %lu", &port, &state,
			    &found) == 3 &&
			port == 179 && state == 10)
			inode = found;
	}
	if (sockets)
		fclose(sockets);
	return inode;
}

static bool has_open(const char *pid, unsigned long inode)
{
	char path[300], target[64], want[64];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		if (n > 0)
			target[n] = '\0';
		found = n > 0 && strcmp(target, want) == 0;
	}
	if (dir)
		closedir(dir);
	return found;
}

static const char *owner_of(struct arena *arena, unsigned long inode)
{
	DIR *proc = opendir("/proc");
	const char *owner = NULL;
	struct dirent *entry;
	char path[300];

	while (proc && !owner && (entry = readdir(proc))) {
		char *name;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || !has_open(entry->d_name, inode))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		name = read_text(arena, path);
		if (name)
			name[strcspn(name, "\n")] = '\0';
		owner = name;
	}
	if (proc)
		closedir(proc);
	return owner ? owner : "";
}

static void look_at_port(struct facts *facts)
{
	unsigned long inode = listener_in("/proc/net/tcp");

	if (!inode)
		inode = listener_in("/proc/net/tcp6");
	facts->port_owner = inode ? owner_of(&facts->arena, inode) : NULL;
}

/* ---------------------------------------------------------------- files */

struct user {
	unsigned uid;
	gid_t gids[MAX_GROUPS];
	int n;
};

/* As whom roostd runs; before it does, the user roost with the groups of its unit. */
static bool find_user(struct facts *facts, struct user *user)
{
	const struct passwd *passwd;
	const struct group *bird;
	char path[64];
	const char *status, *groups;

	if (facts->roostd.pid) {
		snprintf(path, sizeof(path), "/proc/%d/status", facts->roostd.pid);
		status = read_text(&facts->arena, path);
		groups = status ? strstr(status, "\nGroups:") : NULL;
		if (!groups || sscanf(strstr(status, "\nUid:"), " Uid: %*u %u", &user->uid) != 1 ||
			sscanf(strstr(status, "\nGid:"), " Gid: %*u %u", &user->gids[0]) != 1)
			return false;
		user->n = 1;
		for (char *at = strchr(groups, ':') + 1, *end; user->n < MAX_GROUPS; at = end) {
			unsigned long gid = strtoul(at, &end, 10);

			if (end == at || memchr(at, '\n', (size_t)(end - at)))
				break;
			user->gids[user->n++] = (gid_t)gid;
		}
		passwd = getpwuid(user->uid);
		facts->roostd_user = passwd ? arena_strdup(&facts->arena, passwd->pw_name) : "?";
		return true;
	}
	passwd = getpwnam("roost");
	if (!passwd)
		return false;
	facts->roostd_user = "roost";
	user->uid = passwd->pw_uid;
	user->n = MAX_GROUPS - 1;
	if (getgrouplist("roost", passwd->pw_gid, user->gids, &user->n) < 0)
		user->n = MAX_GROUPS - 1;
	bird = getgrnam("bird");
	if (bird)
		user->gids[user->n++] = bird->gr_gid;
	return true;
}

static bool may(const struct user *user, const struct stat *st, unsigned bit)
{
	if (user->uid == 0)
		return true;
	if (st->st_uid == user->uid)
		return st->st_mode & (bit << 6);
	for (int i = 0; i < user->n; i++)
		if (st->st_gid == user->gids[i])
			return st->st_mode & (bit << 3);
	return st->st_mode & bit;
}

/* By owner, group and mode of the file and of each folder on the way. */
static int check_readable(const struct user *user, const char *path, struct err *err)
{
	char part[PATH_MAX];
	struct stat st;

	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		if (stat(part, &st) == 0 && !may(user, &st, 1))
			return err_set(err, EACCES, "%s: folder %s has mode %04o", path, part,
				st.st_mode & 07777);
	}
	if (stat(path, &st) < 0)
		return errno == EACCES ? 0 : err_errno(err, "%s", path);
	if (!may(user, &st, 4))
		return err_set(err, EACCES, "%s: mode %04o", path, st.st_mode & 07777);
	return 0;
}

static void add_file(struct facts *facts, const struct user *user, const char *path, bool is_secret)
{
	struct file_fact *file = ARENA_PUSH(&facts->arena, facts->files, &facts->n_files);

	*file = (struct file_fact){.path = path, .is_secret = is_secret, .mode = mode_of(path)};
	if (user)
		check_readable(user, path, &file->unreadable);
}

static void look_at_files(struct facts *facts)
{
	struct user room, *user = find_user(facts, &room) ? &room : NULL;
	glob_t found = {0};
	char pattern[PATH_MAX];

	add_file(facts, facts->file_error.code == ENOENT ? NULL : user, facts->file,
		facts->cluster && cluster_has_inline_passwords(facts->cluster));
	for (size_t i = 0; i < facts->n_sessions; i++)
		if (facts->sessions[i].options->password_file)
			add_file(facts, user, facts->sessions[i].options->password_file, true);
	if (facts->cluster && facts->cluster->kubernetes.kubeconfig)
		add_file(facts, user, facts->cluster->kubernetes.kubeconfig, true);
	snprintf(pattern, sizeof(pattern), "%s/bird.d/*.conf", source_etc_dir());
	glob(pattern, 0, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++)
		add_file(facts, user, arena_strdup(&facts->arena, found.gl_pathv[i]), false);
	globfree(&found);
}

static void look_at_templates(struct facts *facts)
{
	struct buf names = {0};
	glob_t found = {0};
	char pattern[PATH_MAX];

	snprintf(pattern, sizeof(pattern), "%s/bird-templates/*.conf", source_etc_dir());
	glob(pattern, 0, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++)
		buf_printf(&names, "%s%s", i ? ", " : "", strrchr(found.gl_pathv[i], '/') + 1);
	facts->own_templates = arena_strdup(&facts->arena, buf_text(&names));
	globfree(&found);
	buf_free(&names);
}

/* ---------------------------------------------------------------- the configuration */

/* Shows where BIRD's parser stumbles, without the folder that was made for it. */
static void take_parser_answer(struct facts *facts, const char *dir, char *text)
{
	char *at;

	text[strcspn(text, "\n")] = '\0';
	if (strncmp(text, "bird: ", 6) == 0)
		text += 6;
	while ((at = strstr(text, dir)))
		memmove(at, at + strlen(dir) + 1, strlen(at + strlen(dir) + 1) + 1);
	err_set(&facts->render_error, EINVAL, "%s", text);
}

static void try_configuration(struct facts *facts, const struct rendered *rendered)
{
	char dir[] = "/tmp/roostctl-XXXXXX", command[200];
	struct err ignored;
	int status = 0;
	char *text;

	if (!mkdtemp(dir)) {
		err_set(&facts->render_error, ENOSYS, "%s: %s", dir, strerror(errno));
		return;
	}
	snprintf(command, sizeof(command),
		"PATH=$PATH:/usr/sbin:/usr/local/sbin bird -p -c %s/bird.conf 2>&1", dir);
	if (local_write_tree(dir, &rendered->files, &facts->render_error) == 0) {
		text = run(&facts->arena, command, &status);
		if (!text || status == 127 << 8)
			err_set(&facts->render_error, ENOSYS, "bird is not installed");
		else if (status != 0)
			take_parser_answer(facts, dir, text);
	}
	file_remove_tree(dir, &ignored);
}

static void look_at_configuration(const struct ctl *ctl, struct facts *facts)
{
	struct rendered rendered;

	if (!facts->self || local_render(ctl, &facts->arena, false, NULL, &rendered, NULL,
				    &facts->render_error) < 0)
		return;
	facts->rendered = true;
	try_configuration(facts, &rendered);
}

/* ---------------------------------------------------------------- daemons */

static void on_observed(struct bird_state *bird, void *arg)
{
	struct facts *facts = arg;

	facts->bird = bird;
}

static void look_at_bird(struct facts *facts)
{
	struct event_base *base;

	if (!facts->cluster)
		return;
	base = event_base_new();
	facts->bird_socket_mode = mode_of(facts->cluster->bird.socket);
	observe_start(base, facts->cluster, NULL, on_observed, facts);
	event_base_dispatch(base);
	event_base_free(base);
}

static void look_at_roostd(const struct ctl *ctl, struct facts *facts)
{
	const json_t *problems;
	json_t *status;

	facts->socket_mode = mode_of(ctl->socket);
	facts->problem = "";
	if (client_request(ctl, "GET", "/v1/status", &status, &facts->socket_error) < 0)
		return;
	problems = json_object_get(status, "problems");
	facts->n_problems = json_array_size(problems);
	if (facts->n_problems)
		facts->problem = arena_strdup(&facts->arena,
			json_string_value(json_array_get(problems, 0)));
	json_decref(status);
}

/* ---------------------------------------------------------------- the network */

static bool to_addr(const struct sockaddr *from, struct addr *addr)
{
	*addr = (struct addr){.family = (uint8_t)(from ? from->sa_family : 0)};
	if (addr->family == AF_INET)
		memcpy(addr->bytes, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
	else if (addr->family == AF_INET6)
		memcpy(addr->bytes, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, 16);
	else
		return false;
	return true;
}

static unsigned mtu_of(const char *name)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {0};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return fd >= 0 && ioctl(fd, SIOCGIFMTU, &request) == 0 ? (unsigned)request.ifr_mtu : 0;
}

static void take_address(struct facts *facts, const struct ifaddrs *at, const struct addr *addr)
{
	const struct node *self = facts->self;

	for (enum family f = 0; self && f < FAMILIES; f++)
		if (self->address[f].family && addr_cmp(&self->address[f], addr) == 0) {
			facts->has_address[f] = true;
			facts->uplink = arena_strdup(&facts->arena, at->ifa_name);
		}
	for (size_t i = 0; self && facts->bridge.name && i < self->pod_cidrs.n; i++)
		if (strcmp(at->ifa_name, facts->bridge.name) == 0 &&
			prefix_contains_addr(&self->pod_cidrs.items[i], addr))
			facts->bridge_has_address = true;
}

/* The bridge, and the host's ends of pods' links: "rst" and a hash (cni/plan.c). */
static void take_link(struct facts *facts, const struct ifaddrs *at)
{
	const char *bridge = facts->cluster ? facts->cluster->cni.bridge : "";
	struct link_fact link = {.name = arena_strdup(&facts->arena, at->ifa_name),
		.mtu = mtu_of(at->ifa_name),
		.up = at->ifa_flags & IFF_UP}, *slot;

	if (strcmp(at->ifa_name, bridge) == 0)
		facts->bridge = link;
	else if (strncmp(at->ifa_name, "rst", 3) != 0 || strlen(at->ifa_name) != 14)
		return;
	slot = ARENA_PUSH(&facts->arena, facts->pod_links, &facts->n_pod_links);
	*slot = link;
}

static void look_at_links(struct facts *facts)
{
	struct ifaddrs *list = NULL;
	struct addr addr;

	if (getifaddrs(&list) < 0)
		return;
	for (const struct ifaddrs *at = list; at; at = at->ifa_next)
		if (at->ifa_addr && at->ifa_addr->sa_family == AF_PACKET)
			take_link(facts, at);
	for (const struct ifaddrs *at = list; at; at = at->ifa_next)
		if (to_addr(at->ifa_addr, &addr))
			take_address(facts, at, &addr);
	freeifaddrs(list);
	if (facts->uplink)
		facts->uplink_mtu = mtu_of(facts->uplink);
}

static void look_at_duplicates(struct facts *facts)
{
	char mac[PROBE_TEXT_MAX];

	for (enum family f = 0; f < FAMILIES; f++) {
		if (!facts->has_address[f])
			continue;
		switch (probe_address(facts->uplink, &facts->self->address[f], mac)) {
		case PROBE_TAKEN:
			facts->duplicate[f] = arena_strdup(&facts->arena, mac);
			facts->asked_for_duplicates[f] = true;
			break;
		case PROBE_FREE:
			facts->asked_for_duplicates[f] = true;
			break;
		case PROBE_FAILED:
			break;
		}
	}
}

static void look_at_sysctls(struct facts *facts)
{
	long all, own, limit4, limit6;

	facts->forwarding[IPV4] = (int)read_number("/proc/sys/net/ipv4/ip_forward");
	facts->forwarding[IPV6] = (int)read_number("/proc/sys/net/ipv6/conf/all/forwarding");
	facts->rp_filter = facts->accept_ra = UNKNOWN;
	if (facts->uplink) {
		all = read_interface_number("ipv4", "all", "rp_filter");
		own = read_interface_number("ipv4", facts->uplink, "rp_filter");
		facts->rp_filter = (int)(all > own ? all : own); /* the larger one counts */
		facts->accept_ra = (int)read_interface_number("ipv6", facts->uplink, "accept_ra");
	}
	limit4 = read_number("/proc/sys/net/ipv4/neigh/default/gc_thresh3");
	limit6 = read_number("/proc/sys/net/ipv6/neigh/default/gc_thresh3");
	facts->neighbour_limit = limit6 != UNKNOWN && limit6 < limit4 ? limit6 : limit4;
	facts->optmem_max = read_number("/proc/sys/net/core/optmem_max");
	facts->bridge_nf = (int)read_number("/proc/sys/net/bridge/bridge-nf-call-iptables");
	facts->conntrack_count = read_number("/proc/sys/net/netfilter/nf_conntrack_count");
	facts->conntrack_max = read_number("/proc/sys/net/netfilter/nf_conntrack_max");
	facts->inotify_instances = read_number("/proc/sys/fs/inotify/max_user_instances");
	facts->inotify_watches = read_number("/proc/sys/fs/inotify/max_user_watches");
}

static void look_at_routes(struct facts *facts)
{
	struct fib_lookup lookup;
	struct err ignored;
	struct addr anywhere;

	if (facts->cluster)
		facts->fib_read = fib_read(&facts->cluster->pod_cidrs, &facts->arena, &facts->fib,
					  &ignored) == 0;
	if (addr_parse("2000::1", &anywhere) && fib_lookup(&anywhere, &lookup, &ignored) == 0)
		facts->default_by_ra = !lookup.error && lookup.prefix.len == 0 &&
			lookup.protocol == RTPROT_RA;
}

static void look_at_firewalls(struct facts *facts)
{
	const char *tables;
	int status = 1;

	facts->legacy = "";
	if (geteuid() != 0)
		return;
	facts->ruleset = run(&facts->arena, "PATH=$PATH:/usr/sbin nft list ruleset 2>/dev/null", &status);
	if (status != 0)
		facts->ruleset = NULL;
	tables = read_text(&facts->arena, "/proc/net/ip_tables_names");
	if (tables && strstr(tables, "filter"))
		facts->legacy = run(&facts->arena,
			"PATH=$PATH:/usr/sbin iptables-legacy-save -t filter 2>/dev/null", &status);
}

/* The last one counts; /etc is read after the others. */
static void look_at_networkd(struct facts *facts)
{
	static const char *const patterns[] = {"/etc/systemd/networkd.conf",
		"/usr/lib/systemd/networkd.conf.d/*.conf", "/run/systemd/networkd.conf.d/*.conf",
		"/etc/systemd/networkd.conf.d/*.conf"};

	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		glob_t found = {0};

		glob(patterns[i], 0, NULL, &found);
		for (size_t j = 0; j < found.gl_pathc; j++) {
			const char *text = read_text(&facts->arena, found.gl_pathv[j]);
			const char *line = text ? strstr(text, "\nManageForeignRoutes=") : NULL;

			if (line)
				facts->networkd_keeps = strchr("nNfF0", strchr(line, '=')[1]) != NULL;
		}
		globfree(&found);
	}
}

/* ---------------------------------------------------------------- the machine */

static void look_at_clock(struct facts *facts)
{
	struct timex clock = {0};
	struct stat program;

	facts->now = time(NULL);
	facts->built = stat("/proc/self/exe", &program) == 0 ? program.st_mtime : 0;
	facts->clock_synchronised = adjtimex(&clock) < 0 ? UNKNOWN : !(clock.status & STA_UNSYNC);
}

static void look_at_disks(struct facts *facts)
{
	static const char *const paths[] = {"/var/lib/roost", "/run/roost"};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct disk_fact *disk = &facts->disks[i];
		struct statvfs fs;

		if (statvfs(paths[i], &fs) < 0)
			continue;
		disk->path = paths[i];
		disk->free_bytes = (long long)fs.f_bavail * (long long)fs.f_frsize;
		disk->free_files = fs.f_files ? (long long)fs.f_favail : UNKNOWN;
	}
}

static bool has_program(const char *dir, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, X_OK) == 0;
}

static int is_network_list(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot && entry->d_name[0] != '.' &&
		(strcmp(dot, ".conf") == 0 || strcmp(dot, ".conflist") == 0 || strcmp(dot, ".json") == 0);
}

static void look_at_plugin(struct facts *facts)
{
	const char *bin = facts->cluster ? facts->cluster->cni.bin_dir : ROOST_CNI_BIN_DIR;
	const char *conf = facts->cluster ? facts->cluster->cni.conf_dir : "/etc/cni/net.d";
	struct dirent **entries;
	struct lease *leases = NULL;
	size_t n_leases = 0;
	int n = scandir(conf, &entries, is_network_list, alphasort);

	facts->has_plugin = has_program(bin, "roost");
	facts->has_loopback = has_program(bin, "loopback");
	facts->winning_conflist = n > 0 ? arena_strdup(&facts->arena, entries[0]->d_name) : "";
	for (int i = 0; i < n; i++)
		free(entries[i]);
	if (n >= 0)
		free(entries);
	if (lease_list(LEASE_DATA_DIR, &facts->arena, &leases, &n_leases, &facts->lease_error) < 0)
		return;
	for (size_t i = 0; i < n_leases; i++)
		facts->n_leases += strcmp(leases[i].network, OUTPUTS_NETWORK) == 0;
}

static void look_at_file(const struct ctl *ctl, struct facts *facts)
{
	char room[256];
	struct cluster *cluster;

	facts->file = ctl->file;
	facts->node_name = arena_strdup(&facts->arena, source_node_name(ctl->node, room));
	if (local_load(ctl, &facts->arena, &cluster, &facts->nodes_error, &facts->file_error) < 0)
		return;
	facts->cluster = cluster;
	facts->self = cluster_find_node(cluster, facts->node_name);
	if (facts->self)
		facts->sessions = render_sessions(cluster, facts->self, &facts->arena,
			&facts->n_sessions);
}

void facts_gather(const struct ctl *ctl, struct facts *facts)
{
	memset(facts, 0, sizeof(*facts));
	look_at_file(ctl, facts);
	look_at_configuration(ctl, facts);
	facts_look_at_processes(facts);
	look_at_port(facts);
	look_at_files(facts);
	look_at_templates(facts);
	look_at_bird(facts);
	look_at_roostd(ctl, facts);
	look_at_links(facts);
	look_at_duplicates(facts);
	look_at_sysctls(facts);
	look_at_routes(facts);
	look_at_firewalls(facts);
	look_at_networkd(facts);
	look_at_clock(facts);
	look_at_disks(facts);
	look_at_plugin(facts);
}
