/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fake_bird -- BIRD's control socket, played from a script.
 *
 * A thread listens on a socket in a folder of its own and does what the script
 * says: takes a connection, expects commands, answers in whole or in crumbs, falls
 * silent, hangs up, stops listening.  It is as strict as BIRD would be hurt: a
 * command must be a single line of at most 1023 bytes, and nothing more may arrive
 * before its answer has ended; what is not as scripted ends the play, and
 * fake_bird_stop() says what it was. */
#ifndef ROOST_TESTS_FAKE_BIRD_H
#define ROOST_TESTS_FAKE_BIRD_H

#include <event2/event.h>
#include <stdbool.h>

struct act {
	enum {
		ACT_END,     /* all played: the rest is to be nothing but a hang-up */
		ACT_TAKE,    /* a connection */
		ACT_HEAR,    /* a command that matches text, as in a shell; "*" */
		ACT_SAY,     /* text */
		ACT_CRUMBS,  /* text, byte by byte, each in a write of its own */
		ACT_HANG_UP, /* closes the connection */
		ACT_SILENCE, /* until the other side hangs up */
		ACT_LEAVE,   /* stops listening: who connects now is refused */
		ACT_RETURN,  /* listens again */
	} what;
	const char *text;
};

#define TAKE {ACT_TAKE, NULL}
#define HEAR(text) {ACT_HEAR, text}
#define SAY(text) {ACT_SAY, text}
#define CRUMBS(text) {ACT_CRUMBS, text}
#define HANG_UP {ACT_HANG_UP, NULL}
#define SILENCE {ACT_SILENCE, NULL}
#define LEAVE {ACT_LEAVE, NULL}
#define RETURN {ACT_RETURN, NULL}
#define END {ACT_END, NULL}
#define GREET TAKE, SAY("0001 BIRD 2.0.12 ready.\n")
#define ASK(command, answer) HEAR(command), SAY(answer)

struct fake_bird {
	char dir[32];   /* also for what else a test keeps on disk */
	char path[48];  /* of the socket */
	struct event_base *base;
	bool finished;  /* set it to end fake_bird_run() */
	struct fake_stage *stage;
};

/* Starts to play; the script must live until fake_bird_stop(). */
void fake_bird_start(struct fake_bird *fake, const struct act *script);

/* Runs the event loop until `finished`; fails the test when that takes too long. */
void fake_bird_run(struct fake_bird *fake);

/* Ends it and removes the folder; fails the test unless all went as scripted. */
void fake_bird_stop(struct fake_bird *fake);

#endif
