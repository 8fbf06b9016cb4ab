/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nft -- one nftables table of ours, kept as it should be by libnftables.
 *
 * What should be is compared with what is by reading the table back, all of it: a
 * hash in a comment would not notice a rule that somebody took out, and a table that
 * is gone is only the plainest case of a difference.  Space does not count.  An nft
 * that lists a table in other words than `want` has is no harm: how it listed what
 * was just written is remembered in `listed`, and that is as good.
 *
 * Writing is one transaction, no other table is touched, and connections keep the
 * translation they have.  A table that has the sets and chains of `want` gets other
 * elements and rules (flush, add): a packet meets the old rules or the new ones.  Else
 * it is replaced (declare, delete, define), and that is not quite as smooth: for a
 * moment both chains are hooked in, the new one first, and a packet that has passed the
 * one when the kernel switches over finds nothing in the other: of 50000 connections
 * begun during 1500 such changes on a busy machine, 3 went out untranslated.
 *
 * Each call runs in a child process that is gone afterwards: libnftables ends the
 * process when it gets no socket, reads other people's tables as well, and leaves
 * behind 2 MB (8 MB beside a large ruleset of others).  The child closes all
 * files but its answer, and dies with its parent; the kernel has then taken the
 * transaction or has not.
 *
 * Others do write there: nftables.service, for one, flushes all rulesets when it is
 * reloaded.  The kernel tells of each change, and nft_watch() listens to that.
 *
 * All of it needs CAP_NET_ADMIN, reading too. */
#ifndef ROOST_NFT_H
#define ROOST_NFT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct nft_table {
	const char *name;   /* "inet roost" */
	const char *want;   /* as `nft list table` shows it; "": it should not be there */
	struct buf *listed; /* how the kernel shows `want`; kept for the next call with it */
};

/* Looks, and sets *differs.  err->code: EPERM when the capability is missing, ENODATA
 * when the table cannot be read, as where the kernel has no nftables. */
int nft_look(const struct nft_table *table, bool *differs, struct err *err);

/* A socket that hears of what is changed in nftables, for the event loop; -1 and *err. */
int nft_watch(struct err *err);

/* Reads all it has heard.  Was any of it about the table `name` of family inet, our own
 * writing included?  True also when the kernel had to drop messages. */
bool nft_watch_heard(int fd, const char *name);

/* Looks, and writes if it differs; *written says so.  err->code, in addition: EIO when
 * the kernel refused it. */
int nft_keep(const struct nft_table *table, bool *written, struct err *err);

#endif
