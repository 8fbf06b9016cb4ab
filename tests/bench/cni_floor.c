/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cni_floor -- the least that an attachment can cost: the kernel's work and a
 * process to ask for it.
 *
 * Called like a CNI plugin, it makes (ADD) and removes (DEL) a pair between the node
 * and eth0 in CNI_NETNS, with the addresses, routes and neighbours that make a pod of
 * it.  It reads no configuration, keeps no leases, prints no result, sets no sysctl,
 * checks nothing and does not wait until the port forwards: what it takes is the
 * floor that bench_cni.py measures plugins against.
 *
 * What kind of pod it makes is in the name it is called by, because to be told in
 * any other way would cost something: bridge-4 and bridge-46 (a port of the bridge
 * "flr0", which bench_cni.py makes), routed-4 and routed-46 (a route of its own).
 * As "nothing" it ends at once: what it costs to start any process. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAC_SIZE 6

struct message {
	char bytes[4096];
	size_t len;
	struct nlmsghdr *last;
};

struct pod {
	bool routed, dual;
	uint8_t number; /* the last byte of its addresses */
	char host_ifname[IFNAMSIZ];
	uint8_t host_mac[MAC_SIZE], mac[MAC_SIZE];
	int host_index, index;
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

static void put_u32(struct message *message, int type, uint32_t number)
{
	put(message, type, &number, sizeof(number));
}

static void end(struct message *message, struct rtattr *nest)
{
	nest->rta_len = (unsigned short)(message->bytes + message->len - (char *)nest);
}

static void run(int fd, struct message *message, char *answer, size_t size)
{
	struct nlmsghdr *header = (void *)answer;

	message->last->nlmsg_flags |= NLM_F_ACK;
	if (send(fd, message->bytes, message->len, 0) < 0 || recv(fd, answer, size, 0) < 0 ||
		(header->nlmsg_type == NLMSG_ERROR &&
			((const struct nlmsgerr *)NLMSG_DATA(header))->error != 0))
		exit(1);
}

/* ---------------------------------------------------------------- addresses */

static const uint8_t subnet4[4] = {10, 246, 1}, subnet6[16] = {0xfd, 0, 0, 0x10, 2, 0x46, 0, 1};
static const uint8_t link_local4[4] = {169, 254, 1}, link_local6[16] = {0xfe, 0x80};

static size_t size_of(int family)
{
	return family == AF_INET ? 4 : 16;
}

static void put_addr(
	struct message *message, int type, int family, const uint8_t *subnet, uint8_t number)
{
	uint8_t bytes[16];

	memcpy(bytes, subnet, size_of(family));
	bytes[size_of(family) - 1] = number;
	put(message, type, bytes, size_of(family));
}

static void put_pod_addr(struct message *message, int type, int family, const struct pod *pod)
{
	put_addr(message, type, family, family == AF_INET ? subnet4 : subnet6, pod->number);
}

static void put_gateway(struct message *message, int type, int family, const struct pod *pod)
{
	if (pod->routed)
		put_addr(message, type, family, family == AF_INET ? link_local4 : link_local6, 1);
	else
		put_addr(message, type, family, family == AF_INET ? subnet4 : subnet6, 1);
}

/* ---------------------------------------------------------------- ADD */

static void read_indices(const char *answer, struct pod *pod)
{
	struct nlmsghdr *header = (struct nlmsghdr *)(size_t)answer;
	const struct ifinfomsg *info = NLMSG_DATA(header);
	struct rtattr *attr = (struct rtattr *)((char *)NLMSG_DATA(header) + sizeof(*info));

	pod->host_index = info->ifi_index;
	for (int len = (int)IFLA_PAYLOAD(header); RTA_OK(attr, len); attr = RTA_NEXT(attr, len))
		if (attr->rta_type == IFLA_LINK)
			pod->index = *(int *)RTA_DATA(attr);
}

/* One queue each way: a pair that is left to itself has one per processor. */
static void put_link(struct message *message, const char *ifname, const uint8_t mac[MAC_SIZE])
{
	put(message, IFLA_IFNAME, ifname, strlen(ifname) + 1);
	put(message, IFLA_ADDRESS, mac, MAC_SIZE);
	put_u32(message, IFLA_NUM_TX_QUEUES, 1);
	put_u32(message, IFLA_NUM_RX_QUEUES, 1);
}

static void create_pair(int fd, int netns, struct pod *pod)
{
	struct message message = {.len = 0};
	struct ifinfomsg info = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP}, none = {0};
	struct rtattr *kind, *data, *peer;
	char answer[8192];

	begin(&message, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info));
	put_link(&message, pod->host_ifname, pod->host_mac);
	if (!pod->routed)
		put_u32(&message, IFLA_MASTER, if_nametoindex("flr0"));
	kind = put(&message, IFLA_LINKINFO, NULL, 0);
	put(&message, IFLA_INFO_KIND, "veth", 5);
	data = put(&message, IFLA_INFO_DATA, NULL, 0);
	peer = put(&message, VETH_INFO_PEER, &none, sizeof(none));
	put_link(&message, "eth0", pod->mac);
	put_u32(&message, IFLA_NET_NS_FD, (uint32_t)netns);
	end(&message, peer);
	end(&message, data);
	end(&message, kind);
	begin(&message, RTM_GETLINK, 0, &none, sizeof(none));
	put(&message, IFLA_IFNAME, pod->host_ifname, strlen(pod->host_ifname) + 1);
	put_u32(&message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	run(fd, &message, answer, sizeof(answer));
	read_indices(answer, pod);
}

static void add_neighbour(struct message *message, int family, int index)
{
	const struct ndmsg neighbour = {
		.ndm_family = (uint8_t)family, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT};

	begin(message, RTM_NEWNEIGH, NLM_F_CREATE, &neighbour, sizeof(neighbour));
}

static void configure_family(struct message *message, int family, const struct pod *pod)
{
	const struct ifaddrmsg addr = {
		.ifa_family = (uint8_t)family,
		.ifa_prefixlen = pod->routed	     ? (uint8_t)(8 * size_of(family))
				 : family == AF_INET ? 24
						     : 64,
		.ifa_flags = family == AF_INET ? 0 : IFA_F_NODAD,
		.ifa_index = (unsigned)pod->index,
	};
	const struct rtmsg route = {
		.rtm_family = (uint8_t)family,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_type = RTN_UNICAST,
		.rtm_flags = pod->routed && family == AF_INET ? RTNH_F_ONLINK : 0,
	};

	begin(message, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &addr, sizeof(addr));
	put_pod_addr(message, IFA_LOCAL, family, pod);
	begin(message, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route, sizeof(route));
	put_gateway(message, RTA_GATEWAY, family, pod);
	put_u32(message, RTA_OIF, (uint32_t)pod->index);
	if (!pod->routed)
		return;
	add_neighbour(message, family, pod->index);
	put_gateway(message, NDA_DST, family, pod);
	put(message, NDA_LLADDR, pod->host_mac, MAC_SIZE);
}

static void configure_pod(int fd, const struct pod *pod)
{
	struct message message = {.len = 0};
	struct ifinfomsg up = {.ifi_index = pod->index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	char answer[8192];

	begin(&message, RTM_NEWLINK, 0, &up, sizeof(up));
	up.ifi_index = 1;
	begin(&message, RTM_NEWLINK, 0, &up, sizeof(up));
	configure_family(&message, AF_INET, pod);
	if (pod->dual)
		configure_family(&message, AF_INET6, pod);
	run(fd, &message, answer, sizeof(answer));
}

static void route_family(struct message *message, int family, const struct pod *pod)
{
	const struct rtmsg route = {
		.rtm_family = (uint8_t)family,
		.rtm_dst_len = (uint8_t)(8 * size_of(family)),
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_LINK,
		.rtm_type = RTN_UNICAST,
	};

	add_neighbour(message, family, pod->host_index);
	put_pod_addr(message, NDA_DST, family, pod);
	put(message, NDA_LLADDR, pod->mac, MAC_SIZE);
	begin(message, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route, sizeof(route));
	put_pod_addr(message, RTA_DST, family, pod);
	put_u32(message, RTA_OIF, (uint32_t)pod->host_index);
}

static void route_to_pod(int fd, const struct pod *pod)
{
	struct message message = {.len = 0};
	char answer[8192];

	route_family(&message, AF_INET, pod);
	if (pod->dual)
		route_family(&message, AF_INET6, pod);
	run(fd, &message, answer, sizeof(answer));
}

/* ---------------------------------------------------------------- DEL and all of it */

static void delete_pair(int fd, const struct pod *pod)
{
	struct message message = {.len = 0};
	struct ifinfomsg info = {0};
	char answer[8192];

	begin(&message, RTM_DELLINK, 0, &info, sizeof(info));
	put(&message, IFLA_IFNAME, pod->host_ifname, strlen(pod->host_ifname) + 1);
	run(fd, &message, answer, sizeof(answer));
}

static struct pod identify(const char *kind)
{
	const uint32_t id = (uint32_t)strtoul(getenv("CNI_CONTAINERID"), NULL, 10);
	struct pod pod = {
		.routed = strncmp(kind, "routed", 6) == 0,
		.dual = strstr(kind, "-46") != NULL,
		.number = (uint8_t)(2 + id % 250),
		.host_mac = {0xfe, 0, 0, 0, (uint8_t)(id >> 8), (uint8_t)id},
		.mac = {0x0a, 0, 0, 0, (uint8_t)(id >> 8), (uint8_t)id},
	};

	snprintf(pod.host_ifname, sizeof(pod.host_ifname), "flrp%u", id);
	return pod;
}

int main(int argc, char *argv[])
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL, *kind = slash ? slash + 1 : "";
	struct pod pod;
	int fd, netns;

	if (strcmp(kind, "nothing") == 0)
		return 0;
	fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	pod = identify(kind);
	if (strcmp(getenv("CNI_COMMAND"), "DEL") == 0) {
		delete_pair(fd, &pod);
		return 0;
	}
	netns = open(getenv("CNI_NETNS"), O_RDONLY);
	create_pair(fd, netns, &pod);
	if (setns(netns, CLONE_NEWNET) < 0)
		return 1;
	configure_pod(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), &pod);
	if (pod.routed)
		route_to_pod(fd, &pod);
	return 0;
}
