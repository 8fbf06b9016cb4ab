# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole Roost cluster in network namespaces on one machine.

`roost-lab` is the command line over this package; the tests in tests/lab use it
directly.  Start reading at lab.py; machine.py and pid1.py say what a lab machine
is, sweep.py how everything goes away again.
"""

from .base import LabError, LabTimeout, run, wait_until
from .cni import CniError, Runtime
from .lab import Lab, Pod
from .node import Node, Programs
from .ping import Ping, Pinger, wait_reachable
from .site import Site

__all__ = ["CniError", "Lab", "LabError", "LabTimeout", "Node", "Ping", "Pinger", "Pod",
           "Programs", "Runtime", "Site", "run", "wait_reachable", "wait_until"]
