/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as an answer of BIRD, through every parser of answers. */
#include <sys/socket.h>

#include "bird/observe.h"
#include "fuzz.h"

static void check_sessions(const struct bird_state *state)
{
	for (size_t i = 0; i < state->n_sessions; i++) {
		const struct bird_session *session = &state->sessions[i];

		MUST(session->name && session->state && session->since && session->info);
		MUST(session->neighbor && session->bfd);
		MUST(session->up == (strcmp(session->state, "Established") == 0) || !session->up);
		MUST(i == 0 || strcmp(session[-1].name, session->name) <= 0);
		MUST(bird_find_session(state, session->name) != NULL);
	}
}

static void check_routes(const struct bird_state *state)
{
	for (size_t i = 0; i < state->n_routes; i++) {
		const struct bird_route *route = &state->routes[i];

		MUST(route->protocol);
		MUST(route->prefix.addr.family == AF_INET || route->prefix.addr.family == AF_INET6);
		MUST(route->prefix.len <= addr_bits(route->prefix.addr.family));
		MUST(route->via.family == 0 || route->via.family == AF_INET ||
			route->via.family == AF_INET6);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = memcpy(xmalloc(size + 1), data, size), *rest = text;
	struct bird_state state = {.version = ""};
	char id[CONFIG_ID_LEN + 1];
	struct reply reply = {0};

	text[size] = '\0';
	while (rest && !reply.complete) {
		struct err err;

		MUST(reply_add_line(&reply, strsep(&rest, "\n"), &err) == 0);
	}
	free(text);
	MUST(!reply.complete || reply_code(&reply) >= 0);
	parse_status(&reply, &state);
	parse_protocols(&reply, &state);
	parse_bfd(&reply, &state);
	parse_routes(&reply, &state);
	parse_config_id(&reply, id);
	MUST(state.version);
	MUST(strlen(id) == 0 || strlen(id) == CONFIG_ID_LEN);
	check_sessions(&state);
	check_routes(&state);
	arena_free(&state.arena);
	reply_free(&reply);
	return 0;
}
