# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures for tests on a whole cluster in network namespaces.

Every test module builds its own labs, under names no other process uses, and
takes them down whatever happens.  A pytest that was killed cannot; the next one
sweeps away what it left.  When a test fails, the ends of the lab's logs are shown.
"""

import itertools
import os
import re
import shutil
import signal
import sys
import threading

import pytest

# Root must not leave __pycache__ in somebody's checkout.
sys.dont_write_bytecode = True

HERE = os.path.dirname(os.path.abspath(__file__))
LAB_FOLDER = os.path.join(HERE, "..", "..", "contrib", "lab")
sys.path.insert(0, os.path.abspath(LAB_FOLDER))

from cluster import wait_healthy  # noqa: E402  (beside this file)
from cniharness import Host  # noqa: E402
from kubelab import KubeLab  # noqa: E402
from roostlab import Lab, Site  # noqa: E402  (the path had to be set first)
from roostlab import sweep  # noqa: E402
from roostlab.base import tail  # noqa: E402
from roostlab.programs import FRR_TOOL  # noqa: E402

NEED_ROOT = "lab tests need root"
_numbers = itertools.count()
# Files whose tests wait longest: who runs several files at a time begins with them.
LONGEST = ("test_agent_transaction.py", "test_kube_client.py", "test_cni_crash.py", "test_examples.py",
           "test_agent_changes.py", "test_cni_errors.py", "test_agent_reflector.py")
_running = []           # labs that are up, for the logs of a failed test


def is_root():
    return os.geteuid() == 0


def pytest_configure(config):
    config.addinivalue_line("markers", "plain: the sanitizers would see nothing more: "
                            "contrib/check runs it on the ordinary build alone")
    config.addinivalue_line("markers", "both: contrib/check runs it on both builds")


def pytest_report_header():
    return None if is_root() else f"SKIPPED: {NEED_ROOT} (try: sudo make check)"


@pytest.hookimpl(tryfirst=True)         # before -m chooses
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.name.startswith(("test_cni_", "test_agent_unit")):
            item.add_marker("both")
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
    if not is_root():
        for item in items:
            if str(item.path).startswith(HERE):
                item.add_marker(pytest.mark.skip(reason=NEED_ROOT))


def pytest_sessionstart():
    if not is_root():
        return
    # A SIGTERM must run the fixtures' ends as Ctrl-C does.  A worker of xdist may find itself
    # in a thread that is not the main one (execnet races with its own first request), where
    # no handler can be set: it then dies at once, and whoever started it sweeps.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    for name in sweep.labs():
        match = re.fullmatch(r"t(\d+)x\d+", name)
        if match and not os.path.exists(f"/proc/{match.group(1)}"):
            with sweep.Lock(name):
                sweep.sweep(name)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    report = (yield).get_result()
    if report.failed:
        for lab in _running:
            for path in lab.log_files():
                lines = tail(path, 30)
                if lines:
                    report.sections.append((path, "\n".join(lines)))


def unique_lab_name():
    """A lab name with this process's PID in it, so that a later one knows whose it was."""
    return f"t{os.getpid()}x{next(_numbers)}"


def _needs(options):
    """Which of the routers that a lab asks for are not installed."""
    files = options.get("routers", ())
    if (options.get("tor") == "frr" or any(name.endswith((".frr.conf", ".gobgp.toml")) for name in files)) \
            and not os.path.exists(FRR_TOOL):
        return "FRR (apt-get install frr)"
    if any(name.endswith(".gobgp.toml") for name in files) and not shutil.which("gobgpd"):
        return "GoBGP (apt-get install gobgpd)"
    return None


def _lab_maker(kind=Lab):
    """A function that builds labs, and the function that takes them all down."""
    made = []

    def make(kind=kind, **options):
        if _needs(options):
            pytest.skip(f"needs {_needs(options)}")
        lab = kind(unique_lab_name(), **options)
        made.append(lab)
        _running.append(lab)
        return lab.up()

    def finish():
        # Each lab is finished whatever the one before it said.
        problems = []
        for lab in made:
            _running.remove(lab)
            try:
                if sweep.exists(lab.name):
                    lab.finish()
            except Exception as error:  # pylint: disable=broad-except
                problems.append(error)
        if problems:
            raise problems[0]

    return make, finish


@pytest.fixture(scope="module")
def make_lab():
    """make_lab(nodes=3, tor="bird", ipv6=True, pods=1): a lab that lives as long as the module."""
    make, finish = _lab_maker()
    yield make
    finish()


@pytest.fixture
def make_site():
    """make_site(config=..., racks=..., routers=...): as roostlab.Site has it."""
    make, finish = _lab_maker(Site)
    yield make
    finish()


@pytest.fixture
def make_fresh_lab():
    """As make_lab, for a test that leaves its lab in no state for others."""
    make, finish = _lab_maker()
    yield make
    finish()


@pytest.fixture(scope="module")
def make_kube_lab():
    """As make_lab, with an API server to tell the nodes of each other."""
    make, finish = _lab_maker(KubeLab)
    yield make
    finish()


@pytest.fixture(scope="module")
def lab3(make_lab):
    """Three nodes with a pod each, a BIRD router and the outside host."""
    return make_lab(nodes=3, tor="bird", pods=1)


@pytest.fixture(scope="module")
def lab(lab3):
    """The same, and roostd content with every node."""
    for node in lab3.nodes.values():
        wait_healthy(node)
    return lab3


@pytest.fixture
def host():
    """A machine for the plugin alone."""
    with Host() as one:
        yield one


@pytest.fixture(params=["bridge", "routed"])
def either(request):
    """The same in each mode."""
    with Host() as one:
        one.mode = request.param
        yield one


@pytest.fixture
def lab_name():
    """A name for a test that runs roost-lab itself; nothing of it is left afterwards."""
    name = unique_lab_name()
    yield name
    with sweep.Lock(name):
        sweep.sweep(name)
