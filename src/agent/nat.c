/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/nat.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/file.h"
#include "base/log.h"
#include "kernel/masquerade.h"
#include "kernel/nft.h"

#define MAX_BYTES (16u << 20)

struct nat {
	struct event_base *base;
	struct agent *agent;
	const char *dir;
	struct masquerade_status *status;
	bool known, enabled;
	struct buf want, listed; /* see kernel/nft.h */
	struct event *heard;     /* somebody changed nftables; while there is a table of ours */
};

static struct nft_table table_of(struct nat *nat)
{
	return (struct nft_table){MASQUERADE_TABLE, buf_text(&nat->want), &nat->listed};
}

static enum masquerade_state state_of(const struct nat *nat)
{
	return nat->want.len ? MASQUERADE_ON : nat->enabled ? MASQUERADE_IDLE : MASQUERADE_OFF;
}

/* ---------------------------------------------------------------- over restarts */

static const char *nat_path(const struct nat *nat, char room[PATH_MAX])
{
	snprintf(room, PATH_MAX, "%s/masquerade.nft", nat->dir);
	return room;
}

static void save(const struct nat *nat)
{
	char path[PATH_MAX];
	struct err err;

	if (file_replace(nat_path(nat, path), buf_text(&nat->want), nat->want.len, 0644, &err) < 0)
		log_warn("masquerade: not remembered: %s", err.msg);
}

static void recall(struct nat *nat)
{
	char path[PATH_MAX];
	struct err ignored;

	nat->known = file_read(nat_path(nat, path), MAX_BYTES, &nat->want, &ignored) == 0;
	nat->enabled = nat->want.len > 0;
}

/* ---------------------------------------------------------------- the table */

void nat_take(struct nat *nat, bool enabled, const char *text)
{
	nat->enabled = enabled;
	if (nat->known && strcmp(buf_text(&nat->want), text) == 0)
		return;
	nat->known = true;
	buf_free(&nat->want);
	buf_free(&nat->listed);
	buf_puts(&nat->want, text);
	/* What comes next is no longer the repair of the old one. */
	nat->status->state = MASQUERADE_OFF;
	save(nat);
}

static void log_written(const struct nat *nat)
{
	if (!nat->want.len)
		log_info("masquerade: table \"%s\" removed", MASQUERADE_TABLE);
	else if (nat->status->state == MASQUERADE_ON)
		log_warn("masquerade: table \"%s\" was changed or deleted by somebody, put right",
			MASQUERADE_TABLE);
	else
		log_info("masquerade: table \"%s\" written", MASQUERADE_TABLE);
}

/* A failure is logged when it is new.  Whoever does not want masquerading need not
 * be able to look at nftables. */
static void failed(struct nat *nat, const struct err *err)
{
	struct masquerade_status *status = nat->status;

	if (state_of(nat) == MASQUERADE_OFF && (err->code == EPERM || err->code == ENODATA)) {
		log_debug("masquerade: off; %s", err->msg);
		return;
	}
	if (strcmp(status->err.msg, err->msg) != 0)
		log_error("masquerade: %s", err->msg);
	status->state = MASQUERADE_FAILED;
	status->err = *err;
}

static void on_nft_changed(evutil_socket_t fd, short what, void *arg)
{
	struct nat *nat = arg;

	(void)what;
	if (nft_watch_heard(fd, MASQUERADE_TABLE_NAME))
		agent_look_again(nat->agent);
}

static void forget(struct nat *nat)
{
	int fd = nat->heard ? event_get_fd(nat->heard) : -1;

	if (!nat->heard)
		return;
	event_free(nat->heard);
	close(fd);
	nat->heard = NULL;
}

/* Listens as long as there is something to lose.  Before the table is read: what
 * happens after that is then heard. */
static void listen_to_nft(struct nat *nat)
{
	struct err err;
	int fd;

	if (!nat->want.len)
		forget(nat);
	if (!nat->want.len || nat->heard)
		return;
	fd = nft_watch(&err);
	if (fd < 0) {
		log_debug("masquerade: %s", err.msg); /* nft_keep() will say it better */
		return;
	}
	nat->heard = event_new(nat->base, fd, EV_READ | EV_PERSIST, on_nft_changed, nat);
	event_add(nat->heard, NULL);
}

void nat_keep(struct nat *nat)
{
	struct nft_table table = table_of(nat);
	struct err err = {0};
	bool written = false;

	if (!nat->known)
		return;
	listen_to_nft(nat);
	if (nft_keep(&table, &written, &err) < 0) {
		failed(nat, &err);
		return;
	}
	if (written) {
		log_written(nat);
		nat->status->writes++;
	}
	nat->status->state = state_of(nat);
	memset(&nat->status->err, 0, sizeof(nat->status->err));
}

/* A process is not given a capability later. */
bool nat_wants_retry(const struct nat *nat)
{
	return nat->status->state == MASQUERADE_FAILED && nat->status->err.code != EPERM;
}

struct masquerade_status nat_look(struct nat *nat)
{
	struct masquerade_status now = *nat->status;
	struct nft_table table = table_of(nat);
	bool differs = false;

	if (now.state != MASQUERADE_ON)
		return now;
	if (nft_look(&table, &differs, &now.err) < 0)
		now.state = MASQUERADE_FAILED;
	else if (differs)
		now.state = MASQUERADE_CHANGED;
	return now;
}

struct nat *nat_new(struct event_base *base, struct agent *agent, const char *dir,
	struct masquerade_status *status)
{
	struct nat *nat = xmalloc(sizeof(*nat));

	*nat = (struct nat){.base = base, .agent = agent, .dir = dir, .status = status};
	recall(nat);
	return nat;
}

void nat_free(struct nat *nat)
{
	forget(nat);
	buf_free(&nat->want);
	buf_free(&nat->listed);
	free(nat);
}
