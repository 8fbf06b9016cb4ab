/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fibwatch -- hears of routes that come and go in the kernel, by libnl.
 *
 * Level-triggered as everything here: it only says that something happened where it
 * matters, and whoever listens looks.  What BIRD itself puts there is no news, what goes
 * is: whoever takes a route away, the kernel names the protocol of the route.  When
 * nothing changes nothing wakes up. */
#ifndef ROOST_FIBWATCH_H
#define ROOST_FIBWATCH_H

#include "base/err.h"
#include "model/cluster.h"

struct fibwatch;

struct fibwatch *fibwatch_new(struct err *err); /* NULL and *err */
void fibwatch_free(struct fibwatch *watch);
int fibwatch_fd(const struct fibwatch *watch); /* for the event loop */

struct fibwatch_interest {
	const struct prefixes *within; /* routes in any of these ... */
	const struct prefixes *own;    /* ... but for those inside these: pods come and go */
	bool birds;                    /* also what BIRD puts there */
};

/* Reads all it has heard.  Was any of it of interest?  True also when the kernel had to
 * drop messages. */
bool fibwatch_heard(struct fibwatch *watch, const struct fibwatch_interest *interest);

#endif
