/* SPDX-License-Identifier: GPL-2.0-or-later */
/* facts -- looks at this machine for roostctl doctor.
 *
 * Only looks: nothing is written but a folder below /tmp for `bird -p`, nothing is sent
 * but ARP probes for the node's own address (RFC 5227), as root.  What cannot be seen
 * stays not known; see judge.h. */
#ifndef ROOST_FACTS_H
#define ROOST_FACTS_H

#include "ctl/ctl.h"
#include "ctl/judge.h"

/* The caller frees facts->arena, and facts->bird with bird_state_free(). */
void facts_gather(const struct ctl *ctl, struct facts *facts);

/* Of it the part that is about other processes. */
void facts_look_at_processes(struct facts *facts);

#endif
