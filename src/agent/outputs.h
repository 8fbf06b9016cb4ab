/* SPDX-License-Identifier: GPL-2.0-or-later */
/* outputs -- what roostd leaves for the CNI plugin and the container runtime. */
#ifndef ROOST_OUTPUTS_H
#define ROOST_OUTPUTS_H

#include "base/err.h"
#include "model/cluster.h"

#define OUTPUTS_NETWORK "roost" /* the name of the network in the conflist */

/* Both write only when the bytes differ, by rename; the conflist through a dotfile,
 * so that a runtime watching the folder never reads half of it. */

/* <run_dir>/node.json: podCIDRs, mode, bridge, MTU (0: left out); see man roost(8). */
int outputs_write_node(const char *run_dir, const struct cluster *cluster, const struct node *self,
	unsigned mtu, struct err *err);

/* node.json does not outlive the machine: a copy in `state_dir` does, for a start on which
 * nothing new takes effect.  Put back is only what is not there. */
int outputs_save_node(const char *run_dir, const char *state_dir, struct err *err);
int outputs_put_node_back(const char *run_dir, const char *state_dir, struct err *err);

/* <cni.confDir>/10-roost.conflist.  portmap and bandwidth are in it when the plugin
 * folder has them.  A node without a podCIDR gets none: the runtime then reports
 * that the network is not ready, which is the truth. */
int outputs_write_conflist(const struct cluster *cluster, const struct node *self, struct err *err);
void outputs_remove_conflist(const struct cluster *cluster);

/* Both, since this machine was started: node.json does not outlive that. */
bool outputs_are_there(const char *run_dir, const struct cluster *cluster);

#endif
