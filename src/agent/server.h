/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server -- HTTP on the Unix socket and on the metrics address.
 *
 *   GET  /healthz /readyz /metrics /v1/status /v1/nodes /v1/peers /v1/routes /v1/graph
 *   POST /v1/apply /v1/drain /v1/undrain
 *                            on the Unix socket only: it is the group's who may write
 *
 * The addresses come from the accepted file and are moved when it changes. */
#ifndef ROOST_SERVER_H
#define ROOST_SERVER_H

#include "agent/agent.h"

struct server;

/* Listens nowhere yet. */
struct server *server_new(struct event_base *base, struct agent *agent);

/* Each moves there from where it listened before; requests that were heard are still
 * answered.  An empty metrics address is none. */
int server_listen_socket(struct server *server, const char *path, struct err *err);
int server_listen_metrics(struct server *server, const char *address, struct err *err);
void server_free(struct server *server);

#endif
