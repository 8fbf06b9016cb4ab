/* SPDX-License-Identifier: GPL-2.0-or-later */
/* agent: what it makes of a BIRD that does not say enough.  All the rest is for
 * tests/lab, with a real one. */
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "base/file.h"
#include "bird/generation.h"
#include "fake_bird.h"
#include "unit.h"

#define FILE_TEXT                                                                                  \
	"cluster: {name: lab, asNumber: 64512, podCIDRs: [10.244.0.0/16], topology: reflector}\n"  \
	"nodes:\n"                                                                                 \
	"- {name: c1, addresses: [10.0.0.1], podCIDRs: [10.244.1.0/24]}\n"                         \
	"- {name: c2, addresses: [10.0.0.2], podCIDRs: [10.244.2.0/24]}\n"                         \
	"- {name: r1, addresses: [10.0.0.3], podCIDRs: [10.244.3.0/24], reflector: true}\n"        \
	"bird: {socket: %s}\n"                                                                     \
	"agent: {socket: %s/roostd.sock, metrics: \"\"}\n"

#define SCRIPT(...) ((const struct act[]){__VA_ARGS__, END})

static void write_in(const struct fake_bird *fake, const char *name, const char *text)
{
	char path[100];
	struct err err;

	snprintf(path, sizeof(path), "%s/%s", fake->dir, name);
	ck_assert_msg(file_create(path, text, strlen(text), 0644, &err) == 0, "%s", err.msg);
}

static void on_turned(void *arg)
{
	((struct fake_bird *)arg)->finished = true;
}

/* With what `more` adds to the file, for node `name`; it is about to look. */
static struct agent *start(struct fake_bird *fake, const struct act *script, const char *name,
	const char *more)
{
	static char config[64];
	struct agent_options options = {.node_name = name, .config = config};
	struct agent *agent;
	char text[1000];
	struct err err;

	fake_bird_start(fake, script);
	ck_assert_int_eq(setenv("ROOST_ETC", fake->dir, 1), 0);
	ck_assert_int_eq(generation_init(fake->dir, &err), 0);
	snprintf(text, sizeof(text), FILE_TEXT "%s", fake->path, fake->dir, more);
	write_in(fake, "roost.yaml", text);
	snprintf(config, sizeof(config), "%s/bird-templates", fake->dir);
	ck_assert_int_eq(file_mkdirs(config, 0755, &err), 0);
	write_in(fake, "bird-templates/bird.conf", "include \"sessions.conf\";\n");
	snprintf(config, sizeof(config), "%s/roost.yaml", fake->dir);
	options.state_dir = options.run_dir = fake->dir;
	agent = agent_new(fake->base, &options);
	agent_on_turn(agent, on_turned, fake);
	agent_look_again(agent);
	return agent;
}

static void assert_turn(struct fake_bird *fake, const struct agent *agent,
	enum apply_outcome outcome, const char *msg)
{
	fake->finished = false;
	fake_bird_run(fake);
	ck_assert_msg(agent_status(agent)->applied, "%s", agent_status(agent)->load_error.msg);
	ck_assert_int_eq(agent_status(agent)->last.outcome, outcome);
	ck_assert_str_eq(agent_status(agent)->last.err.msg, msg);
}

/* One turn that fails with this. */
static void assert_failed_turn(const struct act *script, const char *msg)
{
	struct fake_bird fake;
	struct agent *agent = start(&fake, script, "c1", "");

	assert_turn(&fake, agent, APPLY_FAILED, msg);
	agent_free(agent);
	fake_bird_stop(&fake);
}

#define UNTIL_ROUTES GREET, \
	ASK("show status", "1000-BIRD 2.0.12\n0013 Daemon is up and running\n"), \
	ASK("configure status", "0003-Daemon is up and running\n0000 \n"), \
	ASK("eval ROOST_CONFIG", "0023 0123456789abcdef\n"), \
	ASK("show protocols all", "2002-Name Proto Table State Since Info\n0000 \n"), \
	ASK("show bfd sessions", "9001 There is no BFD protocol running\n")

/* A moment in which BIRD cannot tell its routes must not end the sessions that stay
 * until it can: nothing is asked of it but this. */
START_TEST(no_session_parts_because_bird_did_not_answer)
{
	assert_failed_turn(
		SCRIPT(UNTIL_ROUTES, ASK("show route *", "8004 Stopped due to reconfiguration\n")),
		"8004 Stopped due to reconfiguration");
}
END_TEST

/* Then it has no routes either, and the turn goes on: with the transaction. */
START_TEST(bird_3_that_knows_no_such_table_yet_has_answered)
{
	static const char unknown[] = "9001 syntax error, unexpected CF_SYM_UNDEFINED\n";

	assert_failed_turn(SCRIPT(UNTIL_ROUTES, ASK("show route table master4 *", unknown),
				   ASK("show route table master4 *", unknown), GREET,
				   HEAR("configure status"), HANG_UP),
		"BIRD closed the control socket");
}
END_TEST

/* What agent_observe() asks, for drift.c after the first turn. */
#define LOOK_AT(version)                                                                           \
	TAKE, SAY("0001 BIRD " version " ready.\n"),                                               \
		ASK("show status", "1000-BIRD " version "\n0013 Daemon is up and running\n"),      \
		ASK("configure status", "0003-Daemon is up and running\n0000 \n"),                 \
		ASK("eval ROOST_CONFIG", "0023 0123456789abcdef\n"),                               \
		ASK("show protocols all", "2002-Name Proto Table State Since Info\n0000 \n"),      \
		ASK("show bfd sessions", "9001 There is no BFD protocol running\n"),               \
		ASK("show route *", "0000 \n")

/* BIRD does not tell that it was replaced; whoever looks at it learns it. */
START_TEST(what_one_bird_lacks_is_tried_with_the_next)
{
	static const char refusal[] =
		"session: sendHoldTime needs BIRD 2.15 or newer, and this BIRD is 2.0.12";
	struct fake_bird fake;
	struct agent *agent = start(&fake,
		SCRIPT(UNTIL_ROUTES, ASK("show route *", "0000 \n"), ASK("show route *", "0000 \n"),
			GREET, LOOK_AT("2.15.1"), TAKE, SAY("0001 BIRD 2.15.1 ready.\n"),
			HEAR("show status"), HANG_UP),
		"r1", "session: {sendHoldTime: 240}\n");

	assert_turn(&fake, agent, APPLY_REFUSED, refusal);
	while (agent_status(agent)->last.outcome == APPLY_REFUSED) { /* also at a mere look */
		fake.finished = false;
		fake_bird_run(&fake);
	}
	/* Tried, and the fake is gone: the turn's look or drift's was the last it answered. */
	ck_assert_int_eq(agent_status(agent)->last.outcome, APPLY_FAILED);
	agent_free(agent);
	fake_bird_stop(&fake);
}
END_TEST

UNIT(agent, what_one_bird_lacks_is_tried_with_the_next, no_session_parts_because_bird_did_not_answer,
	bird_3_that_knows_no_such_table_yet_has_answered)
