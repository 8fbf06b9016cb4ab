/* SPDX-License-Identifier: GPL-2.0-or-later */
/* import -- the leases of a node that used host-local until now.
 *
 * host-local keeps a folder per network with a file per address, which says
 * "CONTAINER\r\nINTERFACE".  It is read and never changed: whoever goes back finds it
 * as it was.  The folder outlives a reboot, and host-local does not empty it, so a
 * file that is older than the boot is nobody's. */
#ifndef ROOST_CNI_IMPORT_H
#define ROOST_CNI_IMPORT_H

#include "base/err.h"
#include "base/mem.h"
#include "lease.h"

#define IMPORT_DIR "/var/lib/cni/networks" /* host-local's default; the network is below */

/* All that is in the folder, a lease per attachment; none when there is no such
 * folder.  CNI_IO when it cannot be read, or holds what cannot be understood. */
int import_host_local(
	const char *dir, struct arena *mem, struct lease **leases, size_t *count, struct err *err);

#endif
