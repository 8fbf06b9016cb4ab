# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's picture: which machine has which address.

One segment, 192.168.1.0/24: node1 .11, node2 .12, ...; the top-of-rack router
.1, and behind it the outside host 10.99.0.2.  Pods of node N live in
10.244.N.0/24.  The IPv6 addresses are built to look the same.

A site (site.py) has more: rack R is the segment 192.168.R.0/24, and router K, which
is in every rack, 192.168.R.K there and 10.99.0.1K towards the outside host.
"""

import re
from dataclasses import dataclass

from .base import LabError, check_host_name

CLUSTER_AS = 64512
# The router is another AS on purpose (eBGP), as routed data centres have it.  It
# then needs no trick: next hops stay the nodes' own addresses on the shared
# segment, and what it tells one node about another carries 64512 in its AS path
# and is dropped there.  With iBGP every side would also have to resolve next hops.
TOR_AS = 65001

CLUSTER = {4: "10.244.0.0/16", 6: "fd00:10:244::/48"}
TOR = {4: "192.168.1.1", 6: "fd00:1::1"}
TOR_PEER = {4: "tor", 6: "tor-v6"}     # what roost.yaml calls it
TOR_OUTSIDE = {4: "10.99.0.1", 6: "fd00:99::1"}
OUTSIDE = {4: "10.99.0.2", 6: "fd00:99::2"}
OUTSIDE_NET = {4: "10.99.0.0/24", 6: "fd00:99::/64"}
LENGTH = {4: 24, 6: 64}     # of the segment and of the outside net
MAX_NODES = 99


@dataclass(frozen=True)
class NodeAddresses:
    """Addresses of node number N, by family."""
    number: int
    rack: int = 1

    @property
    def address(self):
        return in_rack(self.rack, 10 + self.number)

    @property
    def pods(self):
        return {4: f"10.244.{self.number}.0/24", 6: f"fd00:10:244:{self.number}::/64"}


def in_rack(rack, host):
    return {4: f"192.168.{rack}.{host}", 6: f"fd00:{rack}::{host}"}


def router_outside(number):
    """Where router K is on the segment of the outside host."""
    return {4: f"10.99.0.{10 + number}", 6: f"fd00:99::{10 + number}"}


def of_node(name, rack=1):
    """Addresses of a node; the number its name ends in picks them."""
    match = re.search(r"([0-9]+)$", check_host_name(name))
    if not match or not 1 <= int(match.group(1)) <= MAX_NODES:
        raise LabError(f"'{name}': a node's name must end in a number from 1 to {MAX_NODES}")
    return NodeAddresses(int(match.group(1)), rack)
