/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

#define PROBES	3
#define WAIT_MS 200 /* for each */

static int open_link(const char *interface, struct sockaddr_ll *link, uint8_t mac[6])
{
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ARP));
	struct ifreq request = {0};

	*link = (struct sockaddr_ll){.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP),
		.sll_ifindex = (int)if_nametoindex(interface), .sll_halen = 6};
	memset(link->sll_addr, 0xff, 6);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	if (fd >= 0 && bind(fd, (struct sockaddr *)link, sizeof(*link)) == 0 &&
		ioctl(fd, SIOCGIFHWADDR, &request) == 0) {
		memcpy(mac, request.ifr_hwaddr.sa_data, 6);
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

static int send_probe(int fd, const struct sockaddr_ll *link, const uint8_t mac[6],
	const struct addr *addr)
{
	struct ether_arp arp = {.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER), .ar_pro = htons(ETHERTYPE_IP),
					.ar_hln = 6, .ar_pln = 4, .ar_op = htons(ARPOP_REQUEST)}};

	memcpy(arp.arp_sha, mac, 6);
	memcpy(arp.arp_tpa, addr->bytes, 4);
	return sendto(fd, &arp, sizeof(arp), 0, (const struct sockaddr *)link, sizeof(*link)) < 0 ? -1
												   : 0;
}

/* Somebody else's word that the address is its own. */
static bool is_other(const struct ether_arp *arp, const uint8_t mac[6], const struct addr *addr)
{
	return memcmp(arp->arp_spa, addr->bytes, 4) == 0 && memcmp(arp->arp_sha, mac, 6) != 0;
}

static long long now_ms(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static bool heard_other(int fd, const uint8_t mac[6], const struct addr *addr, char *who)
{
	long long end = now_ms() + WAIT_MS, left;
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	struct ether_arp arp;

	while ((left = end - now_ms()) > 0 && poll(&wait, 1, (int)left) > 0) {
		if (recv(fd, &arp, sizeof(arp), MSG_DONTWAIT) != sizeof(arp) || !is_other(&arp, mac, addr))
			continue;
		snprintf(who, PROBE_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", arp.arp_sha[0],
			arp.arp_sha[1], arp.arp_sha[2], arp.arp_sha[3], arp.arp_sha[4], arp.arp_sha[5]);
		return true;
	}
	return false;
}

static enum probe probe_ipv4(const char *interface, const struct addr *addr, char *who)
{
	struct sockaddr_ll link;
	uint8_t mac[6];
	_cleanup_close_ int fd = open_link(interface, &link, mac);

	if (fd < 0)
		return PROBE_FAILED;
	for (int i = 0; i < PROBES; i++) {
		if (send_probe(fd, &link, mac, addr) < 0)
			return PROBE_FAILED;
		if (heard_other(fd, mac, addr, who))
			return PROBE_TAKEN;
	}
	return PROBE_FREE;
}

static enum probe probe_ipv6(const struct addr *addr, char *who)
{
	FILE *list = fopen("/proc/net/if_inet6", "re");
	char want[33], have[33];
	enum probe found = PROBE_FAILED;
	unsigned flags;

	for (int i = 0; i < 16; i++)
		snprintf(want + 2 * i, 3, "%02x", addr->bytes[i]);
	while (list && fscanf(list, "%32s %*x %*x %*x %x %*s", have, &flags) == 2)
		if (strcmp(have, want) == 0)
			found = flags & IFA_F_DADFAILED ? PROBE_TAKEN : PROBE_FREE;
	if (list)
		fclose(list);
	snprintf(who, PROBE_TEXT_MAX, "duplicate address detection failed, see dmesg");
	return found;
}

enum probe probe_address(const char *interface, const struct addr *addr, char who[PROBE_TEXT_MAX])
{
	return addr->family == AF_INET ? probe_ipv4(interface, addr, who) : probe_ipv6(addr, who);
}
