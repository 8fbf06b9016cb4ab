# SPDX-License-Identifier: GPL-2.0-or-later
"""One reflector and 300 clients: tests/bench/bench_reflector.py (make bench-reflector), whose
figures are printed here as well."""

import os
import sys

import pytest
from cluster import status, wait_healthy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))

from bench_reflector import CLIENTS, beside, bring_up  # noqa: E402


@pytest.mark.plain
def test_three_hundred_clients_of_one_reflector_come_up(make_fresh_lab, tmp_path, capsys):
    lab = make_fresh_lab(nodes=1)
    node = lab.node("node1")
    wait_healthy(node)
    with capsys.disabled(), beside(lab, tmp_path) as clients:
        print()
        bring_up(lab, clients)
        assert status(node)["sessions"]["up"] == CLIENTS
