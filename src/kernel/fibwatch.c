/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/fibwatch.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct fibwatch {
	struct nl_sock *sock;
	const struct fibwatch_interest *interest; /* while fibwatch_heard() reads */
	bool heard;
};

static bool destination(struct nlmsghdr *header, struct prefix *prefix)
{
	const struct rtmsg *route = nlmsg_data(header);
	struct nlattr *dst = nlmsg_find_attr(header, sizeof(*route), RTA_DST);

	*prefix = (struct prefix){.addr.family = route->rtm_family, .len = route->rtm_dst_len};
	if (route->rtm_family != AF_INET && route->rtm_family != AF_INET6)
		return false;
	if (dst && (size_t)nla_len(dst) >= addr_size(route->rtm_family))
		memcpy(prefix->addr.bytes, nla_data(dst), addr_size(route->rtm_family));
	return dst && prefix->len <= addr_bits(route->rtm_family);
}

static bool is_inside(const struct prefixes *outer, const struct prefix *prefix, bool strictly)
{
	for (size_t i = 0; i < outer->n; i++)
		if (prefix_contains(&outer->items[i], prefix) &&
			(!strictly || prefix->len > outer->items[i].len))
			return true;
	return false;
}

static bool is_of_interest(struct nlmsghdr *header, const struct fibwatch_interest *interest)
{
	const struct rtmsg *route = nlmsg_data(header);
	struct prefix prefix;

	if (!nlmsg_valid_hdr(header, sizeof(*route)) || route->rtm_table != RT_TABLE_MAIN)
		return false;
	if (header->nlmsg_type != RTM_NEWROUTE && header->nlmsg_type != RTM_DELROUTE)
		return false;
	if (header->nlmsg_type == RTM_NEWROUTE && route->rtm_protocol == RTPROT_BIRD &&
		!interest->birds)
		return false;
	return destination(header, &prefix) && is_inside(interest->within, &prefix, false) &&
		!is_inside(interest->own, &prefix, true);
}

static int on_message(struct nl_msg *msg, void *arg)
{
	struct fibwatch *watch = arg;

	watch->heard |= is_of_interest(nlmsg_hdr(msg), watch->interest);
	return NL_OK;
}

struct fibwatch *fibwatch_new(struct err *err)
{
	struct fibwatch *watch = xmalloc(sizeof(*watch));
	int rc;

	*watch = (struct fibwatch){.sock = nl_socket_alloc()};
	if (!watch->sock) {
		err_set(err, ENOMEM, "netlink: out of memory");
		fibwatch_free(watch);
		return NULL;
	}
	nl_socket_disable_seq_check(watch->sock);
	nl_socket_modify_cb(watch->sock, NL_CB_VALID, NL_CB_CUSTOM, on_message, watch);
	rc = nl_connect(watch->sock, NETLINK_ROUTE);
	if (rc == 0)
		rc = nl_socket_set_nonblocking(watch->sock);
	if (rc == 0)
		rc = nl_socket_add_memberships(watch->sock, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, 0);
	if (rc == 0)
		return watch;
	err_set(err, EIO, "listening to the kernel's routes: %s", nl_geterror(rc));
	fibwatch_free(watch);
	return NULL;
}

void fibwatch_free(struct fibwatch *watch)
{
	if (!watch)
		return;
	if (watch->sock)
		nl_socket_free(watch->sock);
	free(watch);
}

int fibwatch_fd(const struct fibwatch *watch)
{
	return nl_socket_get_fd(watch->sock);
}

bool fibwatch_heard(struct fibwatch *watch, const struct fibwatch_interest *interest)
{
	int rc;

	watch->interest = interest;
	watch->heard = false;
	do {
		rc = nl_recvmsgs_default(watch->sock);
		watch->heard |= rc == -NLE_NOMEM; /* ENOBUFS: some are lost */
	} while (rc >= 0 || rc == -NLE_NOMEM);
	watch->interest = NULL;
	return watch->heard;
}
