/* SPDX-License-Identifier: GPL-2.0-or-later */
/* roost -- the CNI plugin.
 *
 * environment + stdin -> request -> plan -> kernel and lease -> result on stdout.
 *
 * One shot, one thread.  The order is what makes it safe to be killed: ADD takes
 * the lease first and then makes the link, DEL removes the link first and then
 * gives the lease back, so that an address in use is always one that is taken.
 * Another IPAM plugin (ipam.type) takes the place of the lease and is asked in the
 * same order; under another plugin's type the lease is all there is.
 * What ADD began and could not finish it undoes; what it was killed in the middle
 * of, the DEL that every runtime sends then does. */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/file.h"
#include "counters.h"
#include "delegate.h"
#include "gc.h"
#include "ipam.h"
#include "lease.h"
#include "netlink.h"
#include "plan.h"
#include "protocol.h"

#define DEADLINE_S 20 /* for everything; kubelet gives a CNI call minutes */
#define UNDO_S 10     /* on top of it, to clean up */
#define NODE_FILE_MAX (1u << 20)
#define RESOLV_CONF_MAX (1u << 16)

/* What a command works with. */
struct call {
	struct cni_request request;
	struct arena mem;
	struct buf in;	/* stdin, as a delegate gets it */
	struct buf out; /* for stdout, written once at the end */
	struct delegate delegate;
	json_t *answer;	   /* what it said */
	bool own_netns;	   /* CNI_NETNS_OVERRIDE */
	bool node_subnets; /* the addresses are out of node.json's podCIDRs */
};

/* ---------------------------------------------------------------- the deadline */

/* The handler does nothing: that a blocked system call ends with EINTR is all.  It
 * comes again every second, for the call that blocks right after it. */
static void on_alarm(int signal)
{
	(void)signal;
}

static void set_deadline(int seconds)
{
	const struct itimerval timer = {{1, 0}, {seconds, 0}};
	const struct sigaction action = {.sa_handler = on_alarm};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* ---------------------------------------------------------------- input and output */

static int read_stdin(struct buf *in, struct err *err)
{
	char chunk[16384];
	ssize_t n;

	while ((n = read(STDIN_FILENO, chunk, sizeof(chunk))) > 0) {
		buf_add(in, chunk, (size_t)n);
		if (in->len > CNI_STDIN_MAX)
			return err_set(err, CNI_DECODE,
				"configuration on stdin is larger than %zu bytes", CNI_STDIN_MAX);
	}
	if (n < 0 && errno == EINTR)
		return err_set(err, CNI_TRY_LATER, "configuration on stdin does not end");
	if (n < 0) {
		err_errno(err, "stdin");
		err->code = CNI_IO;
		return -1;
	}
	return 0;
}

static int write_stdout(const struct buf *out, struct err *err)
{
	size_t done = 0;

	while (done < out->len) {
		ssize_t n = write(STDOUT_FILENO, out->text + done, out->len - done);

		if (n < 0) {
			err_errno(err, "writing the result to stdout");
			err->code = CNI_IO;
			return -1;
		}
		done += (size_t)n;
	}
	return 0;
}

/* A missing node.json is roostd not having run yet: time mends that. */
static int add_node_file(struct call *call, struct err *err)
{
	struct cni_request *request = &call->request;
	_cleanup_buf_ struct buf text = {0};

	call->node_subnets = cni_request_needs_node(request);
	if (!cni_request_wants_node(request))
		return 0;
	if (file_read(request->node_file, NODE_FILE_MAX, &text, err) == 0)
		return cni_request_add_node(request, text.text, text.len, &call->mem, err);
	if (err->code == ENOENT && !cni_request_needs_node(request))
		return 0;
	if (err->code != ENOENT) {
		err->code = CNI_IO;
		return -1;
	}
	return err_set(err, CNI_TRY_LATER,
		"%s is missing: roostd writes it once it knows this node's podCIDRs, and "
		"ipam.ranges is not set",
		request->node_file);
}

/* What host-local does with its resolvConf: a file that is not there is an error. */
static int add_resolv_conf(struct call *call, struct err *err)
{
	struct cni_request *request = &call->request;
	_cleanup_buf_ struct buf text = {0};

	if (!request->resolv_conf || !*request->resolv_conf || request->dns.given ||
		request->command == CNI_CHECK)
		return 0;
	if (file_read(request->resolv_conf, RESOLV_CONF_MAX, &text, err) < 0) {
		err->code = CNI_IO;
		return err_wrap(err, "ipam.resolvConf");
	}
	dns_resolv_conf_decode(buf_text(&text), &call->mem, &request->dns);
	return 0;
}

static int complete_request(struct call *call, struct err *err)
{
	if (add_node_file(call, err) < 0 || add_resolv_conf(call, err) < 0)
		return -1;
	return cni_request_complete(&call->request, err);
}

/* ---------------------------------------------------------------- commands */

/* Under another plugin's type there are no links of ours to tell anything. */
static struct ipam_place place_of(const struct cni_request *request, struct netlink *netlink)
{
	return (struct ipam_place){
		.data_dir = request->data_dir,
		.network = request->network,
		.import_dir = request->import_dir,
		.links = request->ipam_only ? NULL : netlink,
	};
}

static struct ipam_place place_to_take_from(const struct call *call, struct netlink *netlink)
{
	struct ipam_place place = place_of(&call->request, netlink);

	place.shared = call->node_subnets;
	return place;
}

static int release(const struct cni_request *request, struct netlink *netlink,
	const char *container, const char *ifname, struct err *err)
{
	const struct ipam_place place = place_of(request, netlink);
	bool damaged;

	if (ipam_release(&place, container, ifname, &damaged, err) < 0)
		return -1;
	/* The address stays taken, as everything else does while the store is damaged: an
	 * error would keep the container from going, too. */
	if (damaged)
		fprintf(stderr, "roost: lease store %s/%s is damaged; %s may still be in it\n",
			request->data_dir, request->network, container);
	return 0;
}

static int ask_delegate(struct call *call, const char *command, struct buf *out, struct err *err)
{
	if (call->delegate.netns < 0 && delegate_open(&call->delegate, err) < 0)
		return -1;
	return delegate_run(&call->delegate, command, out, err);
}

/* Gives back the addresses of this attachment.  With another IPAM plugin there may
 * be a lease all the same, from before ipam.type was changed. */
static int give_back(struct call *call, struct netlink *netlink, struct err *err)
{
	const struct cni_request *request = &call->request;
	_cleanup_buf_ struct buf ignored = {0};
	int failed = 0;

	if (request->delegate)
		failed = ask_delegate(call, "DEL", &ignored, err);
	if (release(request, netlink, request->container, request->ifname, err) < 0)
		failed = -1;
	return failed;
}

/* Cleans up behind a failed ADD.  *err keeps the reason of the failure; what went
 * wrong on top of it is added. */
static void undo_add(
	struct call *call, struct netlink *netlink, const struct plan *plan, struct err *err)
{
	struct err also = {0};
	size_t len;

	set_deadline(UNDO_S);
	if (netlink_undo(netlink, plan, &also) == 0 && give_back(call, netlink, &also) == 0)
		return;
	len = strlen(err->msg);
	snprintf(err->msg + len, sizeof(err->msg) - len, "; and cleaning up failed: %.400s",
		also.msg);
}

/* Asks the IPAM plugin for addresses.  Whatever comes of it, its DEL has to follow
 * when this attachment does not come to be (CNI specification, section 4). */
static int plan_delegated(struct call *call, struct plan *plan, struct err *err)
{
	struct cni_request *request = &call->request;
	_cleanup_buf_ struct buf out = {0};
	struct cni_result answer;

	if (ask_delegate(call, "ADD", &out, err) < 0)
		return -1;
	if (cni_answer_decode(buf_text(&out), out.len, &call->mem, &call->answer, &answer, err) <
			0 ||
		plan_make_delegated(request, &answer, &call->mem, plan, err) < 0)
		return err_wrap(err, "ipam.type %s: its answer", request->delegate);
	if (!request->dns.given)
		request->dns = answer.dns;
	return 0;
}

static int answer(struct call *call, const struct cni_result *result, struct err *err)
{
	if (cni_result_print(result, call->request.spec, &call->out, err) < 0)
		return -1;
	return write_stdout(&call->out, err);
}

static int apply(
	struct call *call, struct netlink *netlink, int netns, struct plan *plan, struct err *err)
{
	struct cni_result result;

	if (netlink_apply(netlink, netns, plan, err) < 0)
		return -1;
	plan_result(&call->request, plan, &call->mem, &result);
	return answer(call, &result, err);
}

static int add_with_lease(
	struct call *call, struct netlink *netlink, int netns, struct plan *plan, struct err *err)
{
	const struct cni_request *request = &call->request;
	const struct ipam_place place = place_to_take_from(call, netlink);
	struct lease_want want = plan_lease(request);
	struct lease lease;

	if (ipam_acquire(&place, &want, &lease, err) < 0)
		return -1;
	if (plan_make(request, &lease, &call->mem, plan, err) == 0 &&
		apply(call, netlink, netns, plan, err) == 0)
		return 0;
	undo_add(call, netlink, plan, err);
	return -1;
}

/* Looks for the link first: the DEL after a second ADD would take the addresses of
 * the first away. */
static int add_with_delegate(
	struct call *call, struct netlink *netlink, int netns, struct plan *plan, struct err *err)
{
	const struct cni_request *request = &call->request;
	struct plan_identity identity;

	plan_identify(request->network, request->container, request->ifname, &identity);
	if (netlink_check_free(netlink, &identity, err) < 0)
		return -1;
	if (plan_delegated(call, plan, err) == 0 && apply(call, netlink, netns, plan, err) == 0)
		return 0;
	undo_add(call, netlink, plan, err);
	return -1;
}

/* The addresses alone, for another plugin's interfaces. */
static int add_lease_only(struct call *call, struct err *err)
{
	_cleanup_netlink_ struct netlink none = NETLINK_CLOSED;
	const struct cni_request *request = &call->request;
	struct lease_want want = plan_lease(request);
	const struct plan no_plan = {0};
	const struct ipam_place place = place_to_take_from(call, &none);
	struct cni_result result;
	struct lease lease;

	if (ipam_acquire(&place, &want, &lease, err) < 0)
		return -1;
	if (plan_ipam_result(request, &lease, &call->mem, &result, err) == 0 &&
		answer(call, &result, err) == 0)
		return 0;
	undo_add(call, &none, &no_plan, err);
	return -1;
}

static int cmd_add(struct call *call, struct err *err)
{
	_cleanup_netlink_ struct netlink netlink = NETLINK_CLOSED;
	const struct cni_request *request = &call->request;
	_cleanup_close_ int netns = -1;
	struct plan plan = {0};

	if (complete_request(call, err) < 0)
		return -1;
	if (request->ipam_only)
		return add_lease_only(call, err);
	if (netlink_open_netns(request->netns, call->own_netns, &netns, err) < 0 ||
		netlink_open(&netlink, err) < 0)
		return -1;
	return request->delegate ? add_with_delegate(call, &netlink, netns, &plan, err)
				 : add_with_lease(call, &netlink, netns, &plan, err);
}

/* Needs nothing of the container but its name: not its namespace, which may be
 * gone, empty in CNI_NETNS, or another's by now. */
static int cmd_del(struct call *call, struct err *err)
{
	_cleanup_netlink_ struct netlink netlink = NETLINK_CLOSED;
	const struct cni_request *request = &call->request;
	struct plan_identity identity;

	if (request->ipam_only)
		return give_back(call, &netlink, err);
	if (!call->own_netns && *request->netns && netlink_is_own_netns(request->netns))
		return err_set(
			err, CNI_NETNS, "CNI_NETNS %s is the host's own namespace", request->netns);
	plan_identify(request->network, request->container, request->ifname, &identity);
	if (netlink_open(&netlink, err) < 0 || netlink_remove(&netlink, &identity, err) < 0)
		return -1;
	return give_back(call, &netlink, err);
}

/* Every address of the lease is one that ADD told the runtime. */
static int check_lease(
	const struct cni_request *request, const struct lease *lease, struct err *err)
{
	for (size_t i = 0; i < lease->addr_count; i++) {
		char text[ADDR_TEXT_MAX];
		size_t k = 0;

		while (k < request->previous.ip_count &&
			addr_cmp(&request->previous.ips[k].address.addr, &lease->addrs[i]) != 0)
			k++;
		if (k == request->previous.ip_count)
			return err_set(err, CNI_DIFFERS,
				"container holds %s, prevResult does not have it",
				addr_format(&lease->addrs[i], text));
	}
	return 0;
}

static int check_own_lease(const struct cni_request *request, struct netlink *netlink,
	struct lease *lease, struct err *err)
{
	const struct ipam_place place = place_of(request, netlink);

	if (ipam_find(&place, request->container, request->ifname, lease, err) < 0)
		return -1;
	return check_lease(request, lease, err);
}

/* The addresses are taken, and by whom; then what there has to be of them. */
static int check_addresses(
	struct call *call, struct netlink *netlink, struct plan *plan, struct err *err)
{
	const struct cni_request *request = &call->request;
	_cleanup_buf_ struct buf ignored = {0};
	struct lease lease;

	if (request->delegate ? ask_delegate(call, "CHECK", &ignored, err) < 0
			      : check_own_lease(request, netlink, &lease, err) < 0)
		return -1;
	return plan_make_previous(request, request->delegate ? NULL : &lease, plan, err);
}

static int cmd_check(struct call *call, struct err *err)
{
	_cleanup_netlink_ struct netlink netlink = NETLINK_CLOSED;
	const struct cni_request *request = &call->request;
	_cleanup_close_ int netns = -1;
	struct lease lease;
	struct plan plan;

	if (complete_request(call, err) < 0)
		return -1;
	if (request->ipam_only)
		return check_own_lease(request, &netlink, &lease, err);
	if (netlink_open_netns(request->netns, call->own_netns, &netns, err) < 0 ||
		netlink_open(&netlink, err) < 0)
		return -1;
	if (check_addresses(call, &netlink, &plan, err) < 0)
		return -1;
	return netlink_check(&netlink, netns, &plan, &request->previous, err);
}

/* Another IPAM plugin comes last: its addresses are free only when the links are gone,
 * and it cannot be told to spare one. */
static int cmd_gc(struct call *call, struct err *err)
{
	_cleanup_netlink_ struct netlink netlink = NETLINK_CLOSED;
	const struct cni_request *request = &call->request;
	const struct ipam_place place = place_of(request, &netlink);
	_cleanup_buf_ struct buf ignored = {0};
	struct gc gc = {0};
	struct err one;

	if (netlink_open(&netlink, err) < 0)
		return -1;
	gc_sweep(request, &netlink, &place, &gc);
	if (request->delegate && gc.links_left)
		err_set(&one, CNI_KERNEL, "ipam.type %.64s: GC: not asked while links are left",
			request->delegate);
	if (request->delegate && (gc.links_left || ask_delegate(call, "GC", &ignored, &one) < 0))
		gc_note(&gc, &one);
	return gc_result(&gc, err);
}

/* Forwarding that is off is no reason to refuse: ADD switches it on, and on a node whose
 * STATUS is bad there would be no ADD.  That it cannot be switched on is one. */
static int would_forward(const struct cni_request *request, struct err *err)
{
	for (size_t i = 0; i < request->set_count; i++)
		if (netlink_check_forwarding(request->sets[i].ranges[0].subnet.addr.family, err) <
			0)
			return -1;
	return 0;
}

static int would_add(struct call *call, struct netlink *netlink, struct err *err)
{
	const struct ipam_place place = place_to_take_from(call, netlink);
	struct lease_want want = plan_lease(&call->request);
	_cleanup_buf_ struct buf ignored = {0};

	if (call->request.delegate)
		return ask_delegate(call, "STATUS", &ignored, err);
	if (!call->request.ipam_only && would_forward(&call->request, err) < 0)
		return -1;
	want.container = ""; /* nobody's name: the question is about everybody */
	return ipam_probe(&place, &want, err);
}

static int cmd_status(struct call *call, struct err *err)
{
	_cleanup_netlink_ struct netlink netlink = NETLINK_CLOSED;

	if (complete_request(call, err) < 0 || netlink_open(&netlink, err) < 0) {
		if (err->code == CNI_TRY_LATER || err->code == CNI_IO)
			err->code = CNI_UNAVAILABLE;
		return -1;
	}
	if (would_add(call, &netlink, err) == 0)
		return 0;
	if (err->code != CNI_LIMITED)
		err->code = CNI_UNAVAILABLE;
	return -1;
}

static int cmd_version(struct call *call, struct err *err)
{
	cni_versions_print(&call->out);
	return write_stdout(&call->out, err);
}

static const struct {
	int (*run)(struct call *call, struct err *err);
	bool reads_stdin;
} commands[] = {
	[CNI_ADD] = {cmd_add, true},
	[CNI_DEL] = {cmd_del, true},
	[CNI_CHECK] = {cmd_check, true},
	[CNI_GC] = {cmd_gc, true},
	[CNI_STATUS] = {cmd_status, true},
	[CNI_TELL_VERSION] = {cmd_version, false}, /* must not: its caller may keep stdin open */
};

static int run(struct call *call, const struct cni_env *env, struct err *err)
{
	struct buf *in = &call->in;

	if (cni_command_decode(env, &call->request, err) < 0)
		return -1;
	if (commands[call->request.command].reads_stdin &&
		(read_stdin(in, err) < 0 || cni_request_decode(env, buf_text(in), in->len,
						    &call->mem, &call->request, err) < 0))
		return -1;
	call->delegate.type = call->request.delegate;
	call->delegate.stdin_bytes = buf_text(in);
	call->delegate.stdin_len = in->len;
	return commands[call->request.command].run(call, err);
}

/* jansson would read /dev/urandom for the seed of its hash tables; the kernel has
 * given every process 16 random bytes already. */
static void seed_jansson(void)
{
	size_t seed = 1;
	const void *random =
		(const void *)getauxval(AT_RANDOM); /* NOLINT: an address by contract */

	if (random)
		memcpy(&seed, random, sizeof(seed));
	json_object_seed(seed ? seed : 1);
}

static bool is_true(const char *text)
{
	return text && (strcmp(text, "1") == 0 || strcasecmp(text, "true") == 0);
}

/* Started by hand. */
static int introduce(void)
{
	fprintf(stderr,
		"roost %s: the CNI plugin of Roost, started by container runtimes.  See roost(8).\n"
		"CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, "
		"1.1.0\n",
		PACKAGE_VERSION);
	return 0;
}

/* libcni reads the error from stdout, and shows stderr only when stdout is empty
 * (pkg/invoke/raw_exec.go); a person at a terminal reads stderr. */
static int fail(struct call *call, struct err *err)
{
	struct err ignored;

	cni_error_clean(err);
	buf_free(&call->out);
	cni_error_print(err, call->request.spec, &call->out);
	write_stdout(&call->out, &ignored);
	fprintf(stderr, "roost: %s\n", err->msg);
	return 1;
}

/* After the answer: nobody waits for it.  What was not understood is not counted. */
static void count(const struct cni_request *request, bool failed, uint64_t began_ns)
{
	if (request->data_dir && (request->command == CNI_ADD || request->command == CNI_DEL))
		counters_note(request->data_dir,
			request->command == CNI_ADD ? COUNTED_ADD : COUNTED_DEL, failed,
			counters_now_ns() - began_ns);
}

int main(void)
{
	const struct cni_env env = {
		.command = getenv("CNI_COMMAND"),
		.container = getenv("CNI_CONTAINERID"),
		.netns = getenv("CNI_NETNS"),
		.ifname = getenv("CNI_IFNAME"),
		.args = getenv("CNI_ARGS"),
	};
	struct call call = {
		.own_netns = is_true(getenv("CNI_NETNS_OVERRIDE")),
		.delegate = {.path = getenv("CNI_PATH"), .netns = -1},
	};
	const uint64_t began_ns = counters_now_ns();
	struct err err = {0};
	int status;

	if (!env.command)
		return introduce();
	set_deadline(DEADLINE_S);
	signal(SIGPIPE, SIG_IGN); /* an error of write(), not a death in the middle of ADD */
	seed_jansson();
	status = run(&call, &env, &err) < 0 ? fail(&call, &err) : 0;
	count(&call.request, status != 0, began_ns);
	cni_request_free(&call.request);
	json_decref(call.answer);
	delegate_close(&call.delegate);
	buf_free(&call.in);
	buf_free(&call.out);
	arena_free(&call.mem);
	return status;
}
