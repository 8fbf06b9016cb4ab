/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gates: what a trial may cost, and what is no fault of it. */
#include <limits.h>
#include <sys/socket.h>

#include "bird/gates.h"
#include "unit.h"

/* Three sessions, up before with ten routes in and one out; how they are now. */
struct scene {
	struct gates gates;
	struct bird_session now[3];
	struct session_want wants[3];
	struct plan_row rows[3];
	unsigned max_withdraw_percent;
	bool held;
};

static const char *const names[3] = {"node2:v4", "tor-a:peer", "tor-b:peer"};

static struct bird_state state_of(struct bird_session *sessions)
{
	return (struct bird_state){.sessions = sessions, .n_sessions = 3};
}

static void set_up(struct scene *scene)
{
	struct bird_state before = state_of(scene->now);

	memset(scene, 0, sizeof(*scene));
	scene->max_withdraw_percent = 25;
	for (size_t i = 0; i < 3; i++) {
		scene->now[i] = (struct bird_session){.name = names[i], .up = true, .state = "Established",
			.info = "", .imported = 10, .preferred = 10, .exported = 1};
		scene->wants[i] = (struct session_want){.max_routes = UINT_MAX, .n_own = 1};
		strcpy(scene->wants[i].name, names[i]);
		scene->rows[i] = (struct plan_row){.session = names[i], .action = PLAN_RESTART};
	}
	gates_note(&scene->gates, &before, 1000);
}

static void goes_down(struct scene *scene, size_t i, const char *info)
{
	scene->now[i] = (struct bird_session){.name = names[i], .state = "Active", .info = info};
}

/* All of them the best. */
static void learns(struct scene *scene, size_t i, unsigned n)
{
	scene->now[i].imported = scene->now[i].preferred = n;
}

/* NULL: it is accepted. */
static void assert_verdict(struct scene *scene, bool blind, const char *msg)
{
	const struct gates_want want = {
		scene->wants, 3, scene->max_withdraw_percent, 30, scene->held};
	struct bird_state now = state_of(scene->now);
	struct err why = {0};
	bool good;

	gates_judge(&scene->gates, scene->rows, 3, blind);
	good = gates_accept(&scene->gates, &want, &now, &why);
	ck_assert_msg(good == !msg, "%s", why.msg);
	if (msg)
		ck_assert_str_eq(why.msg, msg);
}

static void done(struct scene *scene)
{
	arena_free(&scene->gates.arena);
}

START_TEST(what_is_as_before_is_accepted)
{
	struct scene scene;

	set_up(&scene);
	assert_verdict(&scene, false, NULL);
	done(&scene);
}
END_TEST

START_TEST(session_that_the_change_touches_must_be_up_again)
{
	struct scene scene;

	set_up(&scene);
	goes_down(&scene, 1, "Active");
	assert_verdict(&scene, false, "session tor-a:peer was up before and is not up again in time "
		"(bird.confirmTimeout is 30 s)");
	goes_down(&scene, 1, "Received: Bad peer AS");
	assert_verdict(&scene, false, "session tor-a:peer was up before and is not up again in time "
		"(bird.confirmTimeout is 30 s): Received: Bad peer AS");
	done(&scene);
}
END_TEST

START_TEST(session_that_it_does_not_touch_goes_down_for_reasons_of_its_own)
{
	struct scene scene;

	set_up(&scene);
	goes_down(&scene, 0, "Active");
	scene.rows[0].action = PLAN_KEEP;
	assert_verdict(&scene, false, NULL);
	/* But where the plan does not see all: */
	assert_verdict(&scene, true, "session node2:v4 was up before and is not up again in time "
		"(bird.confirmTimeout is 30 s)");
	done(&scene);
}
END_TEST

START_TEST(session_that_is_removed_or_leaves_is_meant_to_be_gone)
{
	struct scene scene;

	set_up(&scene);
	scene.now[0].up = scene.now[1].up = false;
	scene.rows[0].action = PLAN_REMOVE;
	scene.wants[1].leaving = true;
	assert_verdict(&scene, true, NULL);
	done(&scene);
}
END_TEST

START_TEST(neighbour_must_be_told_of_our_pod_cidrs_as_before)
{
	struct scene scene;

	set_up(&scene);
	scene.now[2].exported = 0;
	assert_verdict(&scene, false, "session tor-b:peer is up, but is told 0 of this node's podCIDRs, "
		"and was told 1 before");
	/* A generation that is gone back to may have other podCIDRs than the file. */
	scene.held = true;
	assert_verdict(&scene, false, NULL);
	scene.held = false;
	/* The file says that it is not to be told any more. */
	scene.wants[2].n_own = 0;
	assert_verdict(&scene, false, NULL);
	done(&scene);
}
END_TEST

START_TEST(who_is_told_of_others_routes_too_is_asked_for_ours)
{
	struct prefix own = {{AF_INET, {10, 244, 1}}, 24}, own6 = {{AF_INET6, {0xfd}}, 64};
	struct scene scene;
	struct gates_want want = {scene.wants, 3, 25, 30, false};
	struct gate_session *s;
	struct err why;

	/* A count of one stays one, whosever it is. */
	set_up(&scene);
	s = &scene.gates.before[1];
	s->exported = 2;
	scene.rows[2].action = PLAN_KEEP;
	scene.wants[1].family = IPV4;
	gates_judge(&scene.gates, scene.rows, 3, false);
	ck_assert(!gates_asks(&scene.gates, &want, 0, &own, false)); /* it is told of ours alone */
	ck_assert(gates_asks(&scene.gates, &want, 1, &own, false));
	ck_assert(!gates_asks(&scene.gates, &want, 1, &own6, false));
	ck_assert(!gates_asks(&scene.gates, &want, 2, &own, false)); /* does not count */
	ck_assert(!gates_asks(&scene.gates, &want, 1, &own, true));  /* was not told before */
	s->own = 1;
	ck_assert(gates_asks(&scene.gates, &want, 1, &own, true));
	want.held = true;
	ck_assert(!gates_asks(&scene.gates, &want, 1, &own, true));
	want.held = false;
	assert_verdict(&scene, false, NULL);
	ck_assert(!gates_accept_told(&scene.gates, &want, &why));
	ck_assert_str_eq(why.msg, "session tor-a:peer is up, but is told 0 of this node's podCIDRs, "
		"and was told 1 before");
	s->own_now = 1;
	ck_assert(gates_accept_told(&scene.gates, &want, &why));
	/* The file says that it is not to be told any more. */
	s->own_now = scene.wants[1].n_own = 0;
	ck_assert(gates_accept_told(&scene.gates, &want, &why));
	done(&scene);
}
END_TEST

START_TEST(who_is_to_say_its_routes_again_is_waited_for)
{
	struct scene scene;
	struct bird_state now = state_of(scene.now);

	set_up(&scene);
	gates_judge(&scene.gates, scene.rows, 3, true);
	ck_assert(!gates_wait(&scene.gates, &now)); /* they restart */
	scene.rows[1].action = PLAN_REFRESH;
	gates_judge(&scene.gates, scene.rows, 3, true);
	ck_assert(!gates_wait(&scene.gates, &now)); /* its export alone */
	scene.rows[1].import_again = true;
	gates_judge(&scene.gates, scene.rows, 3, true);
	scene.now[1].updates = 9;
	ck_assert(gates_wait(&scene.gates, &now));
	scene.now[1].updates = 10;
	ck_assert(!gates_wait(&scene.gates, &now));
	/* It is meant to say others. */
	scene.now[1].updates = 0;
	scene.rows[1].takes_other = true;
	gates_judge(&scene.gates, scene.rows, 3, true);
	ck_assert(!gates_wait(&scene.gates, &now));
	done(&scene);
}
END_TEST

START_TEST(routes_may_fall_by_max_withdraw_and_no_more)
{
	struct scene scene;

	set_up(&scene);
	learns(&scene, 1, 3); /* 23 of 30 */
	assert_verdict(&scene, false, NULL);
	learns(&scene, 1, 2);
	assert_verdict(&scene, false, "of 30 routes that were learned 22 are left, and "
		"agent.maxWithdraw is 25%: if that is meant, roostctl apply --force");
	scene.max_withdraw_percent = 100;
	assert_verdict(&scene, false, NULL);
	scene.max_withdraw_percent = 0;
	learns(&scene, 1, 9);
	assert_verdict(&scene, false, "of 30 routes that were learned 29 are left, and "
		"agent.maxWithdraw is 0%: if that is meant, roostctl apply --force");
	done(&scene);
}
END_TEST

START_TEST(routes_that_the_file_no_longer_takes_are_not_missed)
{
	struct scene scene;

	/* Fewer nodes; another import; a router less. */
	set_up(&scene);
	scene.wants[0].max_routes = 1;
	learns(&scene, 0, 1);
	assert_verdict(&scene, false, NULL);
	scene.rows[1].takes_other = true;
	learns(&scene, 1, 0);
	assert_verdict(&scene, false, NULL);
	scene.rows[2].action = PLAN_REMOVE;
	learns(&scene, 2, 0);
	assert_verdict(&scene, false, NULL);
	done(&scene);
}
END_TEST

START_TEST(routes_that_another_session_has_still_are_not_lost)
{
	struct scene scene;

	/* The router had node2's podCIDRs from node2, and now has them from us. */
	set_up(&scene);
	scene.rows[0].action = scene.rows[2].action = PLAN_KEEP;
	scene.gates.before[1].preferred = 2;
	scene.now[1].imported = scene.now[1].preferred = 2;
	assert_verdict(&scene, false, NULL);
	/* Three of ten, whichever they were. */
	scene.now[0].preferred = 7;
	assert_verdict(&scene, false, "of 10 routes that were learned 7 are left, and "
		"agent.maxWithdraw is 25%: if that is meant, roostctl apply --force");
	/* What another has in its place is as good ... */
	scene.now[2].preferred = 13;
	assert_verdict(&scene, false, NULL);
	/* ... but not what one brings that was not there. */
	scene.now[2].name = "new:peer";
	scene.now[0].preferred = 10;
	scene.now[2].preferred = 1000;
	scene.gates.before[2].preferred = 8;
	assert_verdict(&scene, false, "of 10 routes that were learned 2 are left, and "
		"agent.maxWithdraw is 25%: if that is meant, roostctl apply --force");
	done(&scene);
}
END_TEST

START_TEST(without_a_plan_every_session_counts)
{
	struct bird_state now;
	const struct gates_want want = {NULL, 0, 25, 30, false};
	struct scene scene;
	struct err why;

	set_up(&scene);
	goes_down(&scene, 2, "");
	now = state_of(scene.now);
	gates_judge(&scene.gates, NULL, 0, true);
	ck_assert(!gates_accept(&scene.gates, &want, &now, &why));
	done(&scene);
}
END_TEST

/* The file `trial` of one who was killed, or rolled back, so long ago. */
static void recall(struct scene *scene, const char *text, long now)
{
	_cleanup_free_ char *copy = xstrdup(text);

	gates_recall(&scene->gates, copy, now, GATES_REMEMBER_SECONDS);
}

START_TEST(what_was_lost_before_counts_only_for_what_touches_it)
{
	static const enum plan_action actions[] = {PLAN_KEEP, PLAN_REFRESH, PLAN_RESTART};

	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		bool touched = actions[i] != PLAN_KEEP;
		struct scene scene = {.max_withdraw_percent = 25};
		struct bird_state now = state_of(scene.now);

		for (size_t j = 0; j < 3; j++) {
			goes_down(&scene, j, "");
			strcpy(scene.wants[j].name, names[j]);
			scene.rows[j] = (struct plan_row){.session = names[j]};
		}
		scene.rows[1].action = actions[i];
		recall(&scene, "400 10 1 10 0 ! tor-a:peer\n", 1000);
		assert_verdict(&scene, true, !touched ? NULL : "session tor-a:peer was up before and is "
			"not up again in time (bird.confirmTimeout is 30 s)");
		ck_assert(!touched == !gates_still_lost(&scene.gates, &now));
		/* What it does not touch is still remembered when it is confirmed. */
		gates_confirmed(&scene.gates, &now);
		ck_assert_uint_eq(scene.gates.n, touched ? 0 : 1);
		done(&scene);
	}
}
END_TEST

START_TEST(session_of_a_snippet_counts_where_the_plan_does_not_see_all)
{
	for (int blind = 0; blind < 2; blind++) {
		struct scene scene;

		/* `protocol bgp {`: BIRD has given it a name. */
		set_up(&scene);
		scene.rows[2].session = "other";
		goes_down(&scene, 2, "");
		assert_verdict(&scene, blind, !blind ? NULL : "session tor-b:peer was up before and is "
			"not up again in time (bird.confirmTimeout is 30 s)");
		done(&scene);
	}
}
END_TEST

START_TEST(what_a_long_trial_has_cost_is_remembered_from_its_end_on)
{
	_cleanup_buf_ struct buf text = {0};
	struct gates other = {0};
	struct scene scene;

	set_up(&scene);
	scene.rows[1].action = PLAN_KEEP;
	gates_judge(&scene.gates, scene.rows, 3, false);
	gates_renew(&scene.gates, 5000);
	gates_write(&scene.gates, &text);
	_cleanup_free_ char *copy = xstrdup(buf_text(&text));
	gates_recall(&other, copy, 5060, GATES_REMEMBER_SECONDS);
	ck_assert_uint_eq(other.n, 2); /* but for the one that it did not touch */
	arena_free(&other.arena);
	done(&scene);
}
END_TEST

START_TEST(file_is_read_back_as_it_was_written)
{
	_cleanup_buf_ struct buf text = {0}, again = {0};
	struct scene scene;
	struct gates other = {0};

	set_up(&scene);
	scene.rows[1].action = PLAN_KEEP;
	gates_judge(&scene.gates, scene.rows, 3, false);
	gates_write(&scene.gates, &text);
	ck_assert_str_eq(buf_text(&text), "1000 10 1 10 0 ! node2:v4\n1000 10 1 10 0 . tor-a:peer\n"
					  "1000 10 1 10 0 ! tor-b:peer\n");
	_cleanup_free_ char *copy = xstrdup(buf_text(&text));
	gates_recall(&other, copy, 1000 + GATES_REMEMBER_SECONDS, GATES_REMEMBER_SECONDS);
	gates_write(&other, &again);
	ck_assert_str_eq(buf_text(&again), buf_text(&text));
	arena_free(&other.arena);
	done(&scene);
}
END_TEST

START_TEST(lines_of_no_use_are_left_out)
{
	struct scene scene = {0};

	recall(&scene, "399 1 1 1 0 ! old\n1001 1 1 1 0 ! of-the-boot-before\n900 1 1 0 ! older-roost\n\nx\n"
		       "900 1 1 1 0 ! good\n900 1 1 1 0 ! good\n", 1000);
	ck_assert_uint_eq(scene.gates.n, 1);
	ck_assert_str_eq(scene.gates.before[0].name, "good");
	done(&scene);
}
END_TEST

UNIT(gates, what_is_as_before_is_accepted, session_that_the_change_touches_must_be_up_again,
	session_that_it_does_not_touch_goes_down_for_reasons_of_its_own,
	session_that_is_removed_or_leaves_is_meant_to_be_gone,
	neighbour_must_be_told_of_our_pod_cidrs_as_before,
	who_is_told_of_others_routes_too_is_asked_for_ours,
	who_is_to_say_its_routes_again_is_waited_for, routes_may_fall_by_max_withdraw_and_no_more,
	routes_that_the_file_no_longer_takes_are_not_missed, without_a_plan_every_session_counts,
	routes_that_another_session_has_still_are_not_lost,
	session_of_a_snippet_counts_where_the_plan_does_not_see_all,
	what_a_long_trial_has_cost_is_remembered_from_its_end_on,
	what_was_lost_before_counts_only_for_what_touches_it, file_is_read_back_as_it_was_written,
	lines_of_no_use_are_left_out)
