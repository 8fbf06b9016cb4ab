/* SPDX-License-Identifier: GPL-2.0-or-later */
/* services -- each address of a Kubernetes Service that the file asks for: whether this
 * node announces it, to which routers, and why not.  Pure, like report.h. */
#ifndef ROOST_AGENT_SERVICES_H
#define ROOST_AGENT_SERVICES_H

#include "agent/report.h"

/* A list of {"address", "service", "type", "announced", "announcedTo", "reason"}. */
json_t *report_services(const struct view *view);

/* {"addresses", "announced", "outside", "routers"} for the status; null where no Services
 * are announced. */
json_t *report_services_count(const struct view *view);

/* Addresses that this node should announce. */
size_t services_to_announce(const struct view *view);

#endif
