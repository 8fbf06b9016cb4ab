/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `roostctl COMMAND --help` says: when one wants it, how to read what it prints, what
 * it exits with.  roostctl(8) has the rest. */
#include <string.h>

#include "base/mem.h"
#include "ctl/ctl.h"

static const struct {
	const char *command, *text;
} texts[] = {
	{"status",
		"Is this node well?  Where its configuration comes from and when it was confirmed,\n"
		"sessions, routes, and a line for each thing that is wrong.\n"
		"Exit: 0 healthy, 1 something is wrong, 2 no roostd."},
	{"nodes",
		"The nodes of the cluster, and how many of this node's sessions with each are up."},
	{"peers",
		"This node's BGP sessions.  STATE is BIRD's word, and Established is good; IN and\n"
		"OUT count routes; REASON says why a session is down, or what is odd about one\n"
		"that is up."},
	{"routes",
		"Each podCIDR of the cluster, and how to reach it: as the file has it (WANTED), as\n"
		"BIRD has it, as the kernel has it, and whether these agree (VERDICT).\n"
		"Exit: 0 all do, 1 some do not, 2 no roostd."},
	{"services",
		"The addresses of Kubernetes' Services that this node could announce: to whom they\n"
		"are announced, or why not."},
	{"explain",
		"Why a pod's address is reached from this node, or why not: step by step from the\n"
		"file to the wire, up to the first that is broken.  Nothing is sent.\n"
		"Exit: 0 reached, 1 broken, 2 no roostd.\n"
		"\n"
		"  roostctl explain 10.244.2.7"},
	{"doctor",
		"Looks at this machine, before and after the installation, with roostd or without:\n"
		"files, BIRD, sysctls, firewalls, clocks and what else has been known to be in the\n"
		"way.  A line for each: what was seen, and what to do about it.  Changes nothing;\n"
		"as root it sees more, and asks the segment whether somebody else has this node's\n"
		"address.\n"
		"Exit: 0 nothing failed (warnings may be fine), 1 something did."},
	{"graph",
		"The BGP topology as this node knows it, for Graphviz: sessions of its own in green\n"
		"or red, those that others have, by the file, in gray; reflectors are octagons,\n"
		"routers boxes.  A mesh's other sessions are left out.\n"
		"Exit: 0 printed, 1 dot could not draw it, 2 no roostd.\n"
		"\n"
		"  roostctl graph --svg >topology.svg"},
	{"pods", "The addresses that pods on this node have, from the plugin's own records."},
	{"apply",
		"Has roostd read its file and act on it now, and prints what came of it.  It does so\n"
		"by itself whenever the file changes; this is for who wants to wait for the outcome,\n"
		"or to have something tried again that was refused, or to follow the file again after\n"
		"a rollback.  --max-restarts N refuses what would restart more than N sessions, and\n"
		"names them; then the file is left alone until it changes.  --force lets more routes\n"
		"and nodes go than agent.maxWithdraw does, and sessions of the topology before.\n"
		"Exit: 0 confirmed or unchanged, 1 refused or rolled back, 2 no roostd."},
	{"reload", "The same as apply."},
	{"history",
		"What became of each configuration on this node, the newest first: confirmed (* is the\n"
		"one in force), refused by BIRD, or rolled back, by whom, what it changed, and why it\n"
		"did not take effect.  KEPT: rollback can go back to it.  A change that restarts\n"
		"several sessions is made in steps, each a generation of its own."},
	{"rollback",
		"Goes back to generation N, or to the one confirmed before, with the same checks as\n"
		"any change, and stays there: over restarts, until the file changes or somebody says\n"
		"roostctl apply.  status says so meanwhile.  It is about BIRD; NAT rules and what the\n"
		"plugin is told stay as they are.  The file may be bad, if roostd has accepted one\n"
		"since it was started.  Over a drain or undrain it does not lead.\n"
		"Exit: 0 confirmed or unchanged, 1 not, 2 no roostd.\n"
		"\n"
		"  roostctl history && roostctl rollback"},
	{"drain",
		"Before maintenance: others do what this node does and they can do as well.  Routers\n"
		"and reflected routes are told first (GRACEFUL_SHUTDOWN, RFC 8326), and ten seconds\n"
		"later it reflects no more and announces no Service.  The routes to its own pods\n"
		"stay until BIRD is stopped.\n"
		"No session is touched, and it lasts over a restart, until undrain.\n"
		"Exit: 0 drained, 1 it waits or BIRD does not know yet, 2 no roostd."},
	{"undrain", "Takes drain back."},
	{"check",
		"Validates the file, and says where and what is wrong.  Needs no roostd and no root.\n"
		"Exit: 0 fine, 1 not.\n"
		"\n"
		"  roostctl check roost.yaml.new\n"
		"  generate-my-file | roostctl check -"},
	{"render",
		"Prints the BIRD configuration that the file makes for a node, and its NAT rules.\n"
		"Passwords are left out.  Needs no roostd and no root.\n"
		"\n"
		"  roostctl render --node node2 --dir /tmp/node2 roost.yaml"},
	{"plan",
		"What applying the file here would do to each session, with the line that decides,\n"
		"and the difference: keep, refresh (it stays up, its routes are looked at again),\n"
		"RESTART, add, remove.\n"
		"Exit: 0 nothing changes, 2 something does, 1 it cannot be told.\n"
		"\n"
		"  sudo roostctl plan roost.yaml.new"},
	{"cleanup",
		"For a host that Roost leaves: lists what it put there, and with --yes removes that\n"
		"and nothing else.  BIRD is left running with no session; its routes, the nftables\n"
		"table, the bridge, the CNI list and the folders' contents go.  roostd must have been\n"
		"stopped, and no pod may be attached, unless --force takes their network away.\n"
		"/etc/roost stays, and so do packages.  It can be run again.\n"
		"Exit: 0 done, or listed; 1 not, or not all.\n"
		"\n"
		"  sudo systemctl disable --now roostd && sudo roostctl cleanup --yes"},
};

const char *help_of(const char *command)
{
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (strcmp(texts[i].command, command) == 0)
			return texts[i].text;
	return "";
}
