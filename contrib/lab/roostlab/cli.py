# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: roost-lab up, status, pod, exec, ping, down."""

import argparse
import json
import os
import signal
import sys

from . import ping
from .addresses import TOR
from .base import DEFAULT_LAB, LabError, check_lab_name, state_dir
from .lab import UP_TIMEOUT_S, Lab
from .programs import check_tools, find_programs
from .sweep import Lock, exists, sweep
from .tor import TORS

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

DESCRIPTION = """\
A whole Roost cluster on this machine: every node is a set of namespaces with a
real BIRD and a real roostd in it, every pod is plugged in by the real CNI plugin.
The machine's own network, /etc and /run are not touched.
"""

FIRST_STEPS = """\
first steps:
  sudo roost-lab up                                 three nodes, a router, a pod on each node
  sudo roost-lab ping                               who reaches whom
  sudo roost-lab exec node1 -- birdc show route     what BIRD knows on node1
  sudo roost-lab exec node1 -- ip route             what the kernel does with it
  sudo roost-lab exec node1 -- roostctl status      what Roost says about it
  sudo roost-lab exec node1                         a shell on node1
  sudo roost-lab down                               nothing of it is left

The logs are in /run/roost-lab/lab/node1/ and so on; `root` there is the node's
own file tree.  exit status: 0 fine, 1 something failed, 2 wrong usage.
"""

UP_HELP = """\
Builds this picture and waits until every route is in every kernel:

    node1 192.168.1.11   pods 10.244.1.0/24  \\
    node2 192.168.1.12   pods 10.244.2.0/24   |-- switch -- tor 192.168.1.1 -- outside 10.99.0.2
    node3 192.168.1.13   pods 10.244.3.0/24  /              (AS 65001)

The nodes are a full mesh in AS 64512.  What runs is found in this order: the
options, the variables ROOSTD, ROOSTCTL and ROOST_PLUGIN, the build tree
(ROOST_BUILDDIR, or where the tree that roost-lab lies in is built), the
installed programs.
"""


def parser():
    raw = argparse.RawDescriptionHelpFormatter
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", default=DEFAULT_LAB, metavar="LAB",
                        help="which lab, when there are several (default: %(default)s)")
    top = argparse.ArgumentParser(prog="roost-lab", description=DESCRIPTION, epilog=FIRST_STEPS,
                                  formatter_class=raw)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name, function, text, description=None, epilog=None, under=commands):
        sub = under.add_parser(name, parents=[common], help=text, epilog=epilog,
                               description=description or text[0].upper() + text[1:] + ".",
                               formatter_class=raw)
        sub.set_defaults(function=function)
        return sub

    up = command("up", do_up, "build a lab and wait until it works", UP_HELP)
    up.add_argument("--nodes", type=count(1, 99), default=3, metavar="N",
                    help="number of nodes (default: %(default)s)")
    up.add_argument("--pods", type=count(0, 200), default=1, metavar="N",
                    help="pods to start with on each node (default: %(default)s)")
    up.add_argument("--tor", choices=[*TORS, "none"], default="bird",
                    help="what the top-of-rack router runs (default: %(default)s); "
                         "none: no router and no outside host")
    up.add_argument("--ipv6", action="store_true", help="IPv6 beside IPv4, for nodes and pods")
    up.add_argument("--replace", action="store_true", help="take down the lab that is up first")
    up.add_argument("--timeout", type=count(1, 3600), default=UP_TIMEOUT_S, metavar="SECONDS",
                    help="give up when a step takes longer (default: %(default)s)")
    up.add_argument("--sbindir", metavar="DIR", help="where roostd is")
    up.add_argument("--plugin", metavar="FILE", help="the CNI plugin, under its name")

    command("status", do_status, "show nodes, sessions, routes and pods; exit 1 when something is missing")

    pod = commands.add_parser("pod", help="add or remove pods", formatter_class=raw,
                              description="Adds or removes pods, as a container runtime does.")
    pod_commands = pod.add_subparsers(dest="pod_command", metavar="add|del", required=True)
    add = command("add", do_pod_add, "make a namespace and call the plugin with ADD",
                  under=pod_commands)
    add.add_argument("node", metavar="NODE")
    add.add_argument("pod", metavar="NAME", nargs="?", help="default: NODE-pod1, NODE-pod2, ...")
    delete = command("del", do_pod_del, "call the plugin with DEL and remove the namespace",
                     under=pod_commands)
    delete.add_argument("node", metavar="NODE")
    delete.add_argument("pod", metavar="NAME", nargs="?", help="default: the newest pod of NODE")

    run = command("exec", do_exec, "run a command inside a node or a pod",
                  "Runs a command, by default a shell, inside a node, a pod, the router (tor),\n"
                  "the host behind it (outside) or the switch.  Its exit status is passed on.",
                  "example: roost-lab exec node1 -- ip -d route")
    run.add_argument("where", metavar="NODE|POD|tor|outside|switch")
    run.add_argument("argv", metavar="-- CMD ...", nargs=argparse.REMAINDER)

    matrix = command("ping", do_ping, "ping every pod from every pod and from outside; exit 1 if any fails")
    matrix.add_argument("--json", action="store_true", help="print a list of objects")

    command("down", do_down, "remove a lab, whole or broken; fine when there is none")
    return top


def count(low, high):
    def parse(text):
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"'{text}' is not a number from {low} to {high}")
        return int(text)
    return parse


def say(line):
    print(line, flush=True)


# -- commands ------------------------------------------------------------------

def do_up(options):
    check_tools(options.tor)
    lab = Lab(options.name, nodes=options.nodes, tor=options.tor, ipv6=options.ipv6,
              pods=options.pods, say=say,
              programs=find_programs(options.sbindir, options.plugin))
    lab.up(options.replace, options.timeout)
    name = "" if options.name == DEFAULT_LAB else f" --name {options.name}"
    say(f"lab '{options.name}' is up; try: roost-lab ping{name}, roost-lab status{name}, "
        f"roost-lab exec{name} node1 -- birdc show route")
    return EXIT_OK


def do_status(options):
    lab = Lab.attach(options.name)
    say(f"lab '{lab.name}': {len(lab.nodes)} nodes, tor {lab.tor_kind or 'none'}, "
        f"{'IPv4 and IPv6' if lab.ipv6 else 'IPv4'}, files in {state_dir(lab.name)}")
    missing_routes = [] if not _all_up(lab) else lab.missing_routes()
    rows = [["MACHINE", "ADDRESS", "DAEMONS", "SESSIONS", "ROUTES"]]
    healthy = not missing_routes
    for machine in lab.machines:
        row, good = _status_row(lab, machine, missing_routes)
        rows.append(row)
        healthy = healthy and good
    say(ping.format_table(rows))
    pods = [["POD", "NODE", "ADDRESS", "NAMESPACE"]]
    pods += [[pod.name, pod.node_name, " ".join(pod.addresses.values()), pod.netns]
             for pod in lab.pods.values()]
    say("\n" + (ping.format_table(pods) if len(pods) > 1 else "no pods; `roost-lab pod add node1`"))
    return EXIT_OK if healthy else EXIT_FAILED


def _all_up(lab):
    return all(machine.is_up() for machine in lab.machines)


def _status_row(lab, machine, missing_routes):
    """A machine's cells, and whether all is well with it."""
    if not machine.is_up():
        return [machine.name, "-", "machine is down", "-", "-"], False
    daemons = machine.service_status()
    if machine is lab.tor:
        address, sessions = TOR[4], machine.session_count()
        expected = len(lab.nodes) * len(lab.families)
    else:
        address = machine.addresses.address[4]
        rows = machine.sessions().values()
        sessions = sum(row["info"] == "Established" for row in rows)
        # Another topology may be in the file by now.
        expected = len(rows) or lab.expected_sessions()
    routes = len(lab.expected_routes(machine))
    lost = sum(line.startswith(machine.name + ":") for line in missing_routes)
    running = all(daemon["pid"] for daemon in daemons.values())
    cells = [machine.name, address,
             " ".join(name if daemon["pid"] else f"{name}(down)" for name, daemon in daemons.items()),
             f"{sessions}/{expected}", f"{routes - lost}/{routes}"]
    return cells, running and sessions >= expected and not lost


def do_pod_add(options):
    pod = Lab.attach(options.name).add_pod(options.node, options.pod)
    say(f"{pod.name} on {pod.node_name}: {', '.join(pod.addresses.values())} "
        f"(namespace {pod.netns})")
    return EXIT_OK


def do_pod_del(options):
    lab = Lab.attach(options.name)
    on_node = [pod for pod in lab.pods.values() if pod.node_name == lab.node(options.node).name]
    if options.pod:
        on_node = [pod for pod in on_node if pod.name == options.pod]
    if not on_node:
        raise LabError(f"no pod {options.pod + ' ' if options.pod else ''}on {options.node}")
    newest = max(on_node, key=lambda pod: pod.created)
    lab.del_pod(newest)
    say(f"{newest.name} is gone")
    return EXIT_OK


def do_exec(options):
    lab = Lab.attach(options.name)
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    argv = argv or [os.environ.get("SHELL", "/bin/sh")]
    inside = lab.argv_inside(options.where, argv)
    machine = next((m for m in lab.machines if m.name == options.where), None)
    sys.stdout.flush()
    # Not run(): the command gets the terminal, its signals and its exit status.
    os.execvpe(inside[0], inside, machine.environment() if machine else os.environ)


def do_ping(options):
    lab = Lab.attach(options.name)
    pings = lab.ping_matrix()
    if options.json:
        say(json.dumps([p.as_dict() for p in pings], indent=1))
    elif pings:
        say(ping.format_matrix(pings))
    else:
        raise LabError("nobody to ping; `roost-lab pod add node1` makes a pod")
    failed = sum(not p.ok for p in pings)
    if not options.json:
        say(f"\n{len(pings) - failed} of {len(pings)} pings answered")
    return EXIT_FAILED if failed else EXIT_OK


def do_down(options):
    check_lab_name(options.name)
    # Not attach(): what is left may be too little to make sense of.
    with Lock(options.name):
        was_there = exists(options.name)
        sweep(options.name)
    say(f"lab '{options.name}' is gone" if was_there else f"there was no lab '{options.name}'")
    return EXIT_OK


def _end_on_signal(number, _frame):
    # As an exception, so that a half-built lab is taken down.
    raise KeyboardInterrupt(signal.Signals(number).name)


def main(argv=None):
    options = parser().parse_args(argv)
    if os.geteuid() != 0:
        print("roost-lab: needs root, for namespaces and mounts: try sudo", file=sys.stderr)
        return EXIT_FAILED
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end_on_signal)
    try:
        return options.function(options)
    except LabError as error:
        print(f"roost-lab: {error}", file=sys.stderr)
    except BrokenPipeError:     # somebody read enough, as in `roost-lab status | head -1`
        sys.stdout = None
    except KeyboardInterrupt:
        print("roost-lab: interrupted", file=sys.stderr)
    return EXIT_FAILED
