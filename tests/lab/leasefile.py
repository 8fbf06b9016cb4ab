# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes a lease store as cni/lease.c does, for tests that need many leases, or old ones."""

import ipaddress
import os
import socket
import struct

SLOT = 256
MASK = (1 << 64) - 1
PRIME = 0x100000001b3
HELD, FREED = 1, 2


def header_sum(data):
    total = 0xcbf29ce484222325
    for byte in data:
        total = (total ^ byte) * PRIME & MASK
    return struct.pack("=Q", total)


def slot_sum(body):
    words = (0,) + struct.unpack("=31Q", body)
    sums = [1, 2, 3, 4]
    for i in range(0, 32, 4):
        for k in range(4):
            sums[k] = (sums[k] ^ words[i + k]) * PRIME & MASK
    for k in range(1, 4):
        sums[0] = (sums[0] ^ sums[k]) * PRIME & MASK
    return struct.pack("=Q", sums[0])


def make_header(count):
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot_id = file.read().strip().encode()
    data = struct.pack("=QII37s", 0x73657361656c7472, 1, SLOT, boot_id).ljust(244, b"\0")
    data += struct.pack("=I", count)
    return data + header_sum(data)


def make_slot(container, addresses, state=HELD, time_ns=1, ifname="eth0"):
    body = struct.pack("=BB16s152s", state, len(addresses), ifname.encode(), container.encode())
    for address in map(ipaddress.ip_address, addresses):
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        body += struct.pack("=B16s", family, address.packed)
    body = body.ljust(240, b"\0") + struct.pack("=Q", time_ns)
    return slot_sum(body) + body


def fill(path, count, state=HELD, subnets=("10.128.0.0/16", "fd00:10:244:1::/64")):
    """A store of `count` leases, pod0 and so on, as old as the machine."""
    first = [ipaddress.ip_network(subnet).network_address + 2 for subnet in subnets]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(make_header(count))
        for i in range(count):
            file.write(make_slot(f"pod{i}", [address + i for address in first], state, i + 1))
