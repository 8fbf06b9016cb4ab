# SPDX-License-Identifier: GPL-2.0-or-later
"""Three hours of a cluster in which nodes, peers, labels and pods come and go: tests/bench/churn.py
has the whole day (make bench-churn)."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))

from churn import NODES, live  # noqa: E402


@pytest.mark.plain
def test_after_each_hour_of_changes_all_is_as_the_file_says_and_nothing_grew(make_lab):
    lab = make_lab(nodes=NODES, tor="bird", pods=1)
    assert live(lab, hours=3, changes=4, seed=7) == []
