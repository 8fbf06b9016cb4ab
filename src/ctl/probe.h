/* SPDX-License-Identifier: GPL-2.0-or-later */
/* probe -- does another machine on the segment have an address of ours?
 *
 * IPv4: ARP probes (RFC 5227: the sender's address is 0.0.0.0, so nobody learns anything),
 * which takes CAP_NET_RAW; half a second.  IPv6: the kernel asked when it got the
 * address (RFC 4862), and says so if somebody answered. */
#ifndef ROOST_PROBE_H
#define ROOST_PROBE_H

#include "base/prefix.h"

enum probe { PROBE_FREE, PROBE_TAKEN, PROBE_FAILED };

#define PROBE_TEXT_MAX 80
/* `who` is set when it is taken: "02:42:0a:00:00:01". */
enum probe probe_address(const char *interface, const struct addr *addr, char who[PROBE_TEXT_MAX]);

#endif
