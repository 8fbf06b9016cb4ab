/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "batch.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "code.h"

void batch_free(struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		nlmsg_free(batch->steps[i].msg);
	free(batch->steps);
	*batch = (struct batch){0};
}

/* Room for a route with ROUTES_MAX ways, 28 bytes each in IPv6. */
#define MESSAGE_SIZE 2304

/* The message that the step consists of; the caller appends attributes. */
struct nl_msg *batch_add(struct batch *batch, int type, int flags, const void *header, size_t size,
	int tolerated, const char *fmt, ...)
{
	struct nl_msg *msg = nlmsg_alloc_size(MESSAGE_SIZE);
	struct step *step;
	va_list ap;

	if (batch->count % 16 == 0)
		batch->steps = xrealloc(batch->steps, (batch->count + 16) * sizeof(*step));
	step = &batch->steps[batch->count++];
	if (batch->count > BATCH_MAX || !msg ||
		!nlmsg_put(msg, 0, 0, type, 0, NLM_F_REQUEST | flags) ||
		nlmsg_append(msg, (void *)(uintptr_t)header, size, NLMSG_ALIGNTO) < 0)
		abort();
	*step = (struct step){.msg = msg, .tolerated = tolerated};
	va_start(ap, fmt);
	vsnprintf(step->what, sizeof(step->what), fmt, ap);
	va_end(ap);
	return msg;
}

static struct step *last_step(struct batch *batch)
{
	return &batch->steps[batch->count - 1];
}

/* Room was made for what we put in; running out of it is a mistake of ours. */
void batch_put(struct nl_msg *msg, int type, const void *data, size_t size)
{
	if (nla_put(msg, type, (int)size, data) < 0)
		abort();
}

void batch_put_string(struct nl_msg *msg, int type, const char *text)
{
	batch_put(msg, type, text, strlen(text) + 1);
}

void batch_put_u32(struct nl_msg *msg, int type, uint32_t number)
{
	batch_put(msg, type, &number, sizeof(number));
}

void batch_put_u8(struct nl_msg *msg, int type, uint8_t number)
{
	batch_put(msg, type, &number, sizeof(number));
}

static void batch_put_addr(struct nl_msg *msg, int type, const struct addr *addr)
{
	batch_put(msg, type, addr->bytes, addr_size(addr->family));
}

struct nlattr *batch_nest(struct nl_msg *msg, int type)
{
	struct nlattr *start = nla_nest_start(msg, type);

	if (!start)
		abort();
	return start;
}

/* ---------------------------------------------------------------- what comes back */

static void link_read_port(struct nlattr *info, struct link *link)
{
	struct nlattr *parts[IFLA_INFO_MAX + 1], *port[IFLA_BRPORT_MAX + 1];

	if (nla_parse_nested(parts, IFLA_INFO_MAX, info, NULL) < 0)
		return;
	if (parts[IFLA_INFO_KIND])
		nla_strlcpy(link->kind, parts[IFLA_INFO_KIND], sizeof(link->kind));
	if (!parts[IFLA_INFO_SLAVE_DATA] ||
		nla_parse_nested(port, IFLA_BRPORT_MAX, parts[IFLA_INFO_SLAVE_DATA], NULL) < 0)
		return;
	if (port[IFLA_BRPORT_STATE])
		link->port_state = nla_get_u8(port[IFLA_BRPORT_STATE]);
}

static void link_read(struct nlmsghdr *header, struct link *link)
{
	const struct ifinfomsg *info = nlmsg_data(header);
	struct nlattr *attrs[IFLA_MAX + 1];

	*link = (struct link){0};
	if (nlmsg_parse(header, sizeof(*info), attrs, IFLA_MAX, NULL) < 0)
		return;
	*link = (struct link){.index = info->ifi_index, .flags = info->ifi_flags};
	if (attrs[IFLA_MTU])
		link->mtu = nla_get_u32(attrs[IFLA_MTU]);
	if (attrs[IFLA_LINK])
		link->peer = (int)nla_get_u32(attrs[IFLA_LINK]);
	if (attrs[IFLA_MASTER])
		link->master = (int)nla_get_u32(attrs[IFLA_MASTER]);
	if (attrs[IFLA_OPERSTATE])
		link->operstate = nla_get_u8(attrs[IFLA_OPERSTATE]);
	if (attrs[IFLA_ADDRESS] && nla_len(attrs[IFLA_ADDRESS]) == PLAN_MAC_SIZE)
		memcpy(link->mac, nla_data(attrs[IFLA_ADDRESS]), PLAN_MAC_SIZE);
	if (attrs[IFLA_IFNAME])
		nla_strlcpy(link->name, attrs[IFLA_IFNAME], sizeof(link->name));
	if (attrs[IFLA_IFALIAS])
		nla_strlcpy(link->alias, attrs[IFLA_IFALIAS], sizeof(link->alias));
	if (attrs[IFLA_LINKINFO])
		link_read_port(attrs[IFLA_LINKINFO], link);
}

static void route_read(struct nlmsghdr *header, int *oif)
{
	struct nlattr *attrs[RTA_MAX + 1];

	if (nlmsg_parse(header, sizeof(struct rtmsg), attrs, RTA_MAX, NULL) == 0 && attrs[RTA_OIF])
		*oif = (int)nla_get_u32(attrs[RTA_OIF]);
}

/* The kernel's own words for a refusal, when it has any (NETLINK_EXT_ACK). */
static void error_read(struct nlmsghdr *header, struct step *step)
{
	const struct nlmsgerr *error = nlmsg_data(header);
	size_t skip = sizeof(*error);
	struct nlattr *attrs[NLMSGERR_ATTR_MAX + 1];

	step->error = -error->error;
	if (step->exists)
		*step->exists = step->error == EEXIST;
	if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(header->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_ALIGN(error->msg.nlmsg_len) - sizeof(error->msg);
	if (nlmsg_parse(header, (int)skip, attrs, NLMSGERR_ATTR_MAX, NULL) == 0 &&
		attrs[NLMSGERR_ATTR_MSG])
		nla_strlcpy(step->reason, attrs[NLMSGERR_ATTR_MSG], sizeof(step->reason));
}

/* "No route at all" is an answer too, an error message. */
static bool is_local_route(struct nlmsghdr *header)
{
	const struct rtmsg *route = nlmsg_data(header);

	return header->nlmsg_type == RTM_NEWROUTE && route->rtm_type == RTN_LOCAL;
}

/* True when this was the answer to the last message of the batch. */
static bool answer_read(struct batch *batch, struct nlmsghdr *header)
{
	uint32_t i = header->nlmsg_seq - batch->first_seq;
	struct step *step;

	if (i >= batch->count)
		return false;
	step = &batch->steps[i];
	if (header->nlmsg_type == NLMSG_ERROR)
		error_read(header, step);
	else if (header->nlmsg_type == RTM_NEWLINK && step->link)
		link_read(header, step->link);
	else if (header->nlmsg_type == RTM_NEWROUTE && step->oif)
		route_read(header, step->oif);
	if (step->all_local && !is_local_route(header))
		*step->all_local = false;
	return i == batch->count - 1;
}

int batch_error(struct err *err, const char *what)
{
	if (errno == EINTR) /* only SIGALRM has a handler: our time is over */
		return err_set(err, CNI_TRY_LATER, "%s: the kernel took too long", what);
	err_errno(err, "%s", what);
	err->code = CNI_KERNEL;
	return -1;
}

#define ANSWERS 8
#define ANSWER_SIZE 8192

/* All answers are in the socket's queue once sendmsg has returned; recvmmsg takes
 * them out by eights instead of one by one. */
static int batch_receive(int fd, struct batch *batch, struct err *err)
{
	static char room[ANSWERS][ANSWER_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct mmsghdr msgs[ANSWERS];
	struct iovec iov[ANSWERS];
	bool done = false;

	while (!done) {
		int n;

		for (size_t i = 0; i < ANSWERS; i++) {
			iov[i] = (struct iovec){room[i], ANSWER_SIZE};
			msgs[i] =
				(struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
		}
		n = recvmmsg(fd, msgs, ANSWERS, MSG_WAITFORONE, NULL);
		if (n < 0)
			return batch_error(err, "netlink");
		for (int i = 0; i < n; i++) {
			struct nlmsghdr *header = (struct nlmsghdr *)(void *)room[i];
			int left = (int)msgs[i].msg_len;

			for (; nlmsg_ok(header, left); header = nlmsg_next(header, &left))
				done |= answer_read(batch, header);
		}
	}
	return 0;
}

static int batch_send(int fd, struct batch *batch, uint32_t *seq, struct err *err)
{
	struct iovec iov[BATCH_MAX];
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = batch->count};

	batch->first_seq = *seq + 1;
	for (size_t i = 0; i < batch->count; i++) {
		const struct step *step = &batch->steps[i];
		struct nlmsghdr *header = nlmsg_hdr(step->msg);

		header->nlmsg_seq = ++*seq;
		iov[i] = (struct iovec){header, NLMSG_ALIGN(header->nlmsg_len)};
		if (i == batch->count - 1 && !step->link && !step->oif && !step->all_local)
			header->nlmsg_flags |= NLM_F_ACK;
	}
	return sendmsg(fd, &msg, 0) < 0 ? batch_error(err, "netlink") : 0;
}

/* Sends the whole batch; the first step that failed is the error. */
int batch_run(int fd, struct batch *batch, uint32_t *seq, struct err *err)
{
	if (batch_send(fd, batch, seq, err) < 0 || batch_receive(fd, batch, err) < 0)
		return -1;
	for (size_t i = 0; i < batch->count; i++) {
		const struct step *step = &batch->steps[i];

		if (step->error && step->error != step->tolerated && !step->all_local)
			return err_set(err, CNI_KERNEL, "%s: %s%s%s", step->what,
				strerror(step->error), *step->reason ? ": " : "", step->reason);
	}
	return 0;
}

/* ---------------------------------------------------------------- messages */

/* The statistics are most of what a link's description weighs. */
void batch_query_link(struct batch *batch, int index, const char *name, struct link *link)
{
	const struct ifinfomsg info = {.ifi_index = index};
	struct nl_msg *msg = batch_add(
		batch, RTM_GETLINK, 0, &info, sizeof(info), ENODEV, "looking up %s", name);

	if (index == 0)
		batch_put_string(msg, IFLA_IFNAME, name);
	batch_put_u32(msg, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	last_step(batch)->link = link;
	*link = (struct link){0};
}

struct nl_msg *batch_change_link(struct batch *batch, int index, const char *name, unsigned flags,
	int tolerated, const char *what)
{
	const struct ifinfomsg info = {.ifi_index = index, .ifi_flags = flags, .ifi_change = flags};
	struct nl_msg *msg = batch_add(
		batch, RTM_NEWLINK, 0, &info, sizeof(info), tolerated, "%s %s", what, name);

	if (index == 0)
		batch_put_string(msg, IFLA_IFNAME, name);
	return msg;
}

void batch_set_up(struct batch *batch, int index, const char *name)
{
	batch_change_link(batch, index, name, IFF_UP, 0, "bringing up");
}

/* No link-local address of the kernel's making: it would be tentative for a second
 * or two, and on a bridge's port it is of no use to anyone.  A kernel without IPv6
 * has nothing to be told. */
void batch_set_no_link_local(struct batch *batch, int index, const char *name)
{
	struct nl_msg *msg =
		batch_change_link(batch, index, name, 0, EAFNOSUPPORT, "setting addrgenmode of");
	struct nlattr *spec = batch_nest(msg, IFLA_AF_SPEC);
	struct nlattr *inet6 = batch_nest(msg, AF_INET6);

	batch_put_u8(msg, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	nla_nest_end(msg, inet6);
	nla_nest_end(msg, spec);
}

/* An IPv6 address without duplicate address detection is never tentative. */
void batch_add_addr(struct batch *batch, int index, const char *name, const struct prefix *addr)
{
	const struct ifaddrmsg header = {
		.ifa_family = addr->addr.family,
		.ifa_prefixlen = addr->len,
		.ifa_flags = addr->addr.family == AF_INET6 ? IFA_F_NODAD : 0,
		.ifa_scope = RT_SCOPE_UNIVERSE,
		.ifa_index = (unsigned)index,
	};
	const struct addr broadcast = prefix_last(addr);
	char text[PREFIX_TEXT_MAX];
	struct nl_msg *msg = batch_add(batch, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &header,
		sizeof(header), EEXIST, "adding %s to %s", prefix_format(addr, text), name);

	batch_put_addr(msg, IFA_LOCAL, &addr->addr);
	batch_put_addr(msg, IFA_ADDRESS, &addr->addr);
	/* An address alone would be its own broadcast address. */
	if (addr->addr.family == AF_INET && addr->len < 31)
		batch_put_addr(msg, IFA_BROADCAST, &broadcast);
}

void batch_add_link_local(
	struct batch *batch, int index, const char *name, const uint8_t mac[PLAN_MAC_SIZE])
{
	const struct prefix addr = {plan_link_local(mac), 64};

	batch_add_addr(batch, index, name, &addr);
}

static void put_metrics(struct nl_msg *msg, const struct cni_route *route)
{
	struct nlattr *metrics;

	if (!route->mtu && !route->advmss)
		return;
	metrics = batch_nest(msg, RTA_METRICS);
	if (route->mtu)
		batch_put_u32(msg, RTAX_MTU, route->mtu);
	if (route->advmss)
		batch_put_u32(msg, RTAX_ADVMSS, route->advmss);
	nla_nest_end(msg, metrics);
}

/* The ways of one route: those of routes[0] and of what follows and is the same route. */
static void put_ways(
	struct nl_msg *msg, int index, const struct cni_route *routes, size_t count, bool on_link)
{
	struct nlattr *ways = batch_nest(msg, RTA_MULTIPATH);

	for (size_t i = 0; i < count; i++) {
		struct rtnexthop *way;

		if (!plan_same_route(&routes[0], &routes[i]))
			continue;
		way = nlmsg_reserve(msg, sizeof(*way), NLMSG_ALIGNTO);
		if (!way)
			abort();
		*way = (struct rtnexthop){
			.rtnh_flags = on_link ? RTNH_F_ONLINK : 0, .rtnh_ifindex = index};
		batch_put_addr(msg, RTA_GATEWAY, &routes[i].gateway);
		way->rtnh_len =
			(uint16_t)((char *)nlmsg_tail(nlmsg_hdr(msg)) - (char *)(void *)way);
	}
	nla_nest_end(msg, ways);
}

static bool has_more_ways(const struct cni_route *routes, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (plan_same_route(&routes[0], &routes[i]))
			return true;
	return false;
}

/* EEXIST: a pod's second interface meets the default route of its first. */
static void add_route(
	struct batch *batch, int index, struct cni_route *routes, size_t count, bool on_link)
{
	struct cni_route *route = &routes[0];
	bool many = has_more_ways(routes, count);
	uint8_t scope = route->gateway.family ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	const struct rtmsg header = {
		.rtm_family = route->dst.addr.family,
		.rtm_dst_len = route->dst.len,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = route->scope == CNI_UNSET ? scope : (uint8_t)route->scope,
		.rtm_type = RTN_UNICAST,
		.rtm_flags = on_link && !many ? RTNH_F_ONLINK : 0,
	};
	char text[PREFIX_TEXT_MAX];
	struct nl_msg *msg = batch_add(batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &header,
		sizeof(header), EEXIST, "adding the route to %s", prefix_format(&route->dst, text));

	last_step(batch)->exists = &route->taken;
	if (route->dst.len)
		batch_put_addr(msg, RTA_DST, &route->dst.addr);
	if (many)
		put_ways(msg, index, routes, count, on_link);
	else if (route->gateway.family)
		batch_put_addr(msg, RTA_GATEWAY, &route->gateway);
	if (!many)
		batch_put_u32(msg, RTA_OIF, (uint32_t)index);
	if (route->priority != CNI_UNSET)
		batch_put_u32(msg, RTA_PRIORITY, (uint32_t)route->priority);
	if (route->table != CNI_UNSET)
		batch_put_u32(msg, RTA_TABLE, (uint32_t)route->table);
	put_metrics(msg, route);
}

static bool is_first_of_its_kind(const struct cni_route *routes, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (plan_same_route(&routes[k], &routes[i]))
			return false;
	return true;
}

void batch_add_routes(
	struct batch *batch, int index, struct cni_route *routes, size_t count, bool on_link)
{
	for (size_t i = 0; i < count; i++)
		if (is_first_of_its_kind(routes, i))
			add_route(batch, index, routes + i, count - i,
				on_link && routes[i].dst.addr.family == AF_INET);
}

/* A route that is there already is another pod's: two pods with one address. */
void batch_add_pod_route(struct batch *batch, int index, const struct addr *addr)
{
	const struct rtmsg header = {
		.rtm_family = addr->family,
		.rtm_dst_len = addr_bits(addr->family),
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = PLAN_ROUTE_PROTOCOL,
		.rtm_scope = RT_SCOPE_LINK,
		.rtm_type = RTN_UNICAST,
	};
	char text[ADDR_TEXT_MAX];
	struct nl_msg *msg = batch_add(batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &header,
		sizeof(header), 0, "adding the node's route to %s", addr_format(addr, text));

	batch_put_addr(msg, RTA_DST, addr);
	batch_put_u32(msg, RTA_OIF, (uint32_t)index);
	batch_put_u32(msg, RTA_PRIORITY, PLAN_ROUTE_METRIC);
}

void batch_add_neighbour(struct batch *batch, int index, const char *name, const struct addr *addr,
	const uint8_t mac[PLAN_MAC_SIZE])
{
	const struct ndmsg header = {
		.ndm_family = addr->family, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT};
	char text[ADDR_TEXT_MAX];
	struct nl_msg *msg = batch_add(batch, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &header,
		sizeof(header), 0, "adding neighbour %s to %s", addr_format(addr, text), name);

	batch_put_addr(msg, NDA_DST, addr);
	batch_put(msg, NDA_LLADDR, mac, PLAN_MAC_SIZE);
}

static struct step *query_route(struct batch *batch, const struct addr *to)
{
	const struct rtmsg header = {
		.rtm_family = to->family, .rtm_dst_len = addr_bits(to->family)};
	char text[ADDR_TEXT_MAX];
	struct nl_msg *msg = batch_add(batch, RTM_GETROUTE, 0, &header, sizeof(header), 0,
		"looking for the way to %s", addr_format(to, text));

	batch_put_addr(msg, RTA_DST, to);
	return last_step(batch);
}

void batch_query_route(struct batch *batch, const struct addr *to, int *oif)
{
	query_route(batch, to)->oif = oif;
}

void batch_query_local(struct batch *batch, const struct addr *addr, bool *all_local)
{
	query_route(batch, addr)->all_local = all_local;
}

/* ---------------------------------------------------------------- dumps */

#define DUMP_SIZE 32768

/* Calls `seen` for every object that the kernel dumps. */
int batch_dump(int fd, uint32_t *seq, int type, void (*seen)(struct nlmsghdr *, void *), void *data,
	struct err *err)
{
	static char room[DUMP_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct {
		struct nlmsghdr header;
		struct ndmsg body;
	} request = {
		/* The family is enough for all but neighbours. */
		.header = {.nlmsg_len = type == RTM_GETNEIGH
						? sizeof(request)
						: NLMSG_LENGTH(sizeof(struct rtgenmsg)),
			.nlmsg_type = (uint16_t)type,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			.nlmsg_seq = ++*seq},
	};

	if (send(fd, &request, request.header.nlmsg_len, 0) < 0)
		return batch_error(err, "netlink");
	for (;;) {
		struct nlmsghdr *header = (struct nlmsghdr *)(void *)room;
		ssize_t n = recv(fd, room, sizeof(room), 0);
		int left = (int)n;

		if (n < 0)
			return batch_error(err, "netlink");
		for (; nlmsg_ok(header, left); header = nlmsg_next(header, &left)) {
			if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR)
				return 0;
			seen(header, data);
		}
	}
}

/* How a dump ended: 0, or what the kernel says against it. */
static int dump_result(struct nlmsghdr *header, struct err *err)
{
	int result = 0;

	if (nlmsg_datalen(header) >= (int)sizeof(result))
		memcpy(&result, nlmsg_data(header), sizeof(result));
	if (result >= 0)
		return 0;
	errno = -result;
	return batch_error(err, "listing the links");
}

int batch_dump_links(int fd, uint32_t *seq, const char *kind,
	void (*seen)(const struct link *, void *), void *data, bool *torn, struct err *err)
{
	static char room[DUMP_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
	_cleanup_batch_ struct batch batch = {0};
	const struct ifinfomsg info = {0};
	struct nl_msg *msg = batch_add(
		&batch, RTM_GETLINK, NLM_F_DUMP, &info, sizeof(info), 0, "listing the links");
	struct nlattr *filter = batch_nest(msg, IFLA_LINKINFO);

	batch_put_string(msg, IFLA_INFO_KIND, kind);
	nla_nest_end(msg, filter);
	batch_put_u32(msg, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	nlmsg_hdr(msg)->nlmsg_seq = ++*seq;
	*torn = false;
	if (send(fd, nlmsg_hdr(msg), nlmsg_hdr(msg)->nlmsg_len, 0) < 0)
		return batch_error(err, "listing the links");
	for (;;) {
		struct nlmsghdr *header = (struct nlmsghdr *)(void *)room;
		ssize_t n = recv(fd, room, sizeof(room), MSG_TRUNC);
		int left = (int)n;

		if (n < 0)
			return batch_error(err, "listing the links");
		if ((size_t)n > sizeof(room))
			return err_set(err, CNI_KERNEL, "listing the links: one is too large");
		for (; nlmsg_ok(header, left); header = nlmsg_next(header, &left)) {
			struct link link;

			if (header->nlmsg_seq != *seq)
				continue;
			*torn |= (header->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
			if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR)
				return dump_result(header, err);
			link_read(header, &link);
			if (strcmp(link.kind, kind) == 0)
				seen(&link, data);
		}
	}
}
