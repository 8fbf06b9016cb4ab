/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cni_floor -- the least that an attachment can cost: the kernel's work and a
 * process to ask for it.
 *
 * Called like a CNI plugin, it makes (ADD) and removes (DEL) a pair between the
 * bridge "flr0" and eth0 in CNI_NETNS with one IPv4 address and a default route.
 * It reads no configuration, keeps no leases, prints no result, checks nothing and
 * does not wait until the port forwards: what it takes is the floor that bench_cni.py
 * measures plugins against.  The bridge must be there (bench_cni.py makes it). */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct message {
	char bytes[4096];
	size_t len;
	struct nlmsghdr *last;
};

static void *add(struct message *message, size_t len)
{
	void *place = message->bytes + message->len;

	message->len += NLMSG_ALIGN(len);
	message->last->nlmsg_len =
		(unsigned)((char *)message->bytes + message->len - (char *)message->last);
	return place;
}

static void begin(struct message *message, int type, int flags, const void *header, size_t len)
{
	message->last = (struct nlmsghdr *)(void *)(message->bytes + message->len);
	add(message, sizeof(*message->last));
	message->last->nlmsg_type = (unsigned short)type;
	message->last->nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags);
	memcpy(add(message, len), header, len);
}

static struct rtattr *put(struct message *message, int type, const void *data, size_t len)
{
	struct rtattr *attr = add(message, RTA_LENGTH(len));

	attr->rta_type = (unsigned short)type;
	attr->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(attr), data, len);
	return attr;
}

static void end(struct message *message, struct rtattr *nest)
{
	nest->rta_len = (unsigned short)(message->bytes + message->len - (char *)nest);
}

static void run(int fd, struct message *message, char *answer, size_t size)
{
	message->last->nlmsg_flags |= NLM_F_ACK;
	if (send(fd, message->bytes, message->len, 0) < 0 || recv(fd, answer, size, 0) < 0)
		exit(1);
}

static int ok(char *answer)
{
	struct nlmsghdr *header = (void *)answer;

	return header->nlmsg_type != NLMSG_ERROR ||
	       ((const struct nlmsgerr *)NLMSG_DATA(header))->error == 0;
}

static void name_link(char name[IFNAMSIZ])
{
	snprintf(name, IFNAMSIZ, "flrp%s", getenv("CNI_CONTAINERID"));
}

static int create_pair(int fd, int netns)
{
	struct message message = {.len = 0};
	struct ifinfomsg info = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP}, peer_info = {0};
	unsigned bridge = if_nametoindex("flr0"), ns = (unsigned)netns;
	struct rtattr *kind, *data, *peer, *attr;
	char name[IFNAMSIZ], answer[8192];
	struct nlmsghdr *header = (struct nlmsghdr *)(void *)answer;
	int len;

	name_link(name);
	begin(&message, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info));
	put(&message, IFLA_IFNAME, name, strlen(name) + 1);
	put(&message, IFLA_MASTER, &bridge, 4);
	kind = put(&message, IFLA_LINKINFO, NULL, 0);
	put(&message, IFLA_INFO_KIND, "veth", 5);
	data = put(&message, IFLA_INFO_DATA, NULL, 0);
	peer = put(&message, VETH_INFO_PEER, &peer_info, sizeof(peer_info));
	put(&message, IFLA_IFNAME, "eth0", 5);
	put(&message, IFLA_NET_NS_FD, &ns, 4);
	end(&message, peer);
	end(&message, data);
	end(&message, kind);
	memset(&info, 0, sizeof(info));
	begin(&message, RTM_GETLINK, 0, &info, sizeof(info));
	put(&message, IFLA_IFNAME, name, strlen(name) + 1);
	run(fd, &message, answer, sizeof(answer));
	if (!ok(answer))
		exit(1);
	attr = (struct rtattr *)((char *)NLMSG_DATA(header) + NLMSG_ALIGN(sizeof(info)));
	for (len = (int)IFLA_PAYLOAD(header); RTA_OK(attr, len); attr = RTA_NEXT(attr, len))
		if (attr->rta_type == IFLA_LINK)
			return *(int *)RTA_DATA(attr);
	exit(1);
}

static void configure_pod(int fd, int index)
{
	struct message message = {.len = 0};
	struct ifinfomsg up = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct ifaddrmsg addr = {
		.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = (unsigned)index};
	struct rtmsg route = {.rtm_family = AF_INET,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_type = RTN_UNICAST};
	uint32_t number = (uint32_t)strtoul(getenv("CNI_CONTAINERID"), NULL, 10);
	uint32_t pod = htonl(0x0af60100 + 2 + number % 250), gateway = htonl(0x0af60101);
	char answer[8192];

	begin(&message, RTM_NEWLINK, 0, &up, sizeof(up));
	up.ifi_index = 1;
	begin(&message, RTM_NEWLINK, 0, &up, sizeof(up));
	begin(&message, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &addr, sizeof(addr));
	put(&message, IFA_LOCAL, &pod, 4);
	begin(&message, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route, sizeof(route));
	put(&message, RTA_GATEWAY, &gateway, 4);
	put(&message, RTA_OIF, &index, 4);
	run(fd, &message, answer, sizeof(answer));
	if (!ok(answer))
		exit(1);
}

static void delete_pair(int fd)
{
	struct message message = {.len = 0};
	struct ifinfomsg info = {0};
	char name[IFNAMSIZ], answer[8192];

	name_link(name);
	begin(&message, RTM_DELLINK, 0, &info, sizeof(info));
	put(&message, IFLA_IFNAME, name, strlen(name) + 1);
	run(fd, &message, answer, sizeof(answer));
	if (!ok(answer))
		exit(1);
}

int main(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), netns, index;

	if (strcmp(getenv("CNI_COMMAND"), "DEL") == 0) {
		delete_pair(fd);
		return 0;
	}
	netns = open(getenv("CNI_NETNS"), O_RDONLY);
	index = create_pair(fd, netns);
	if (setns(netns, CLONE_NEWNET) < 0)
		return 1;
	configure_pod(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), index);
	return 0;
}
