/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nft: which of the kernel's messages are about our table.  All else takes a kernel, and
 * is in tests/lab/test_agent_masquerade.py. */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/nft.h"
#include "unit.h"

/* One attribute in front of the table's name, as generations and the future may have. */
struct message {
	struct nlmsghdr header;
	struct nfgenmsg generic;
	struct nlattr other;
	uint32_t value;
	struct nlattr table;
	char name[32];
};

static struct message message(int type, uint8_t family, const char *table)
{
	struct message m = {
		.header = {.nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type)},
		.generic = {.nfgen_family = family},
		.other = {sizeof(struct nlattr) + 4, 77},
		.table = {(uint16_t)(sizeof(struct nlattr) + strlen(table) + 1), NFTA_TABLE_NAME},
	};

	strcpy(m.name, table);
	m.header.nlmsg_len = (uint32_t)(offsetof(struct message, name) + strlen(table) + 1);
	return m;
}

/* Is one of these messages, heard one after the other, about the table roost? */
static bool heard(const struct message *messages, size_t n)
{
	bool result;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds), 0);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_gt(send(fds[0], &messages[i], sizeof(messages[i]), 0), 0);
	result = nft_watch_heard(fds[1], "roost");
	ck_assert_msg(recv(fds[1], &result, 0, MSG_PEEK) < 0, "not all was read");
	close(fds[0]);
	close(fds[1]);
	return result;
}

START_TEST(our_table_is_known_whatever_happens_to_it)
{
	static const int types[] = {NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE, NFT_MSG_DELCHAIN,
		NFT_MSG_NEWRULE, NFT_MSG_DELRULE, NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM,
		NFT_MSG_DELSETELEM};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct message m = message(types[i], NFPROTO_INET, "roost");

		ck_assert(heard(&m, 1));
	}
}
END_TEST

START_TEST(it_is_found_among_others)
{
	struct message m[] = {message(NFT_MSG_NEWRULE, NFPROTO_INET, "other"),
		message(NFT_MSG_NEWRULE, NFPROTO_INET, "roost"),
		message(NFT_MSG_NEWGEN, NFPROTO_UNSPEC, "")};

	ck_assert(heard(m, 3));
	ck_assert(!heard(m, 1));
	ck_assert(!heard(m, 0));
}
END_TEST

START_TEST(other_peoples_tables_are_not_ours)
{
	struct message m[] = {message(NFT_MSG_DELTABLE, NFPROTO_INET, "roost-not-ours"),
		message(NFT_MSG_DELTABLE, NFPROTO_INET, "roos"), message(NFT_MSG_DELTABLE, NFPROTO_INET, ""),
		message(NFT_MSG_DELTABLE, NFPROTO_IPV4, "roost"),
		message(NFT_MSG_NEWGEN, NFPROTO_INET, "roost")};

	ck_assert(!heard(m, ARRAY_LEN(m)));
	m[0] = message(NFT_MSG_DELTABLE, NFPROTO_INET, "roost");
	m[0].header.nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | NFT_MSG_DELTABLE;
	ck_assert(!heard(m, 1));
}
END_TEST

START_TEST(a_message_that_is_cut_is_read_no_further)
{
	for (uint32_t len = 0; len < offsetof(struct message, name) + 6; len++) {
		struct message m = message(NFT_MSG_DELTABLE, NFPROTO_INET, "roost");

		m.header.nlmsg_len = len;
		ck_assert(!heard(&m, 1));
	}
	for (uint16_t len = 0; len < 300; len++) {
		struct message m = message(NFT_MSG_DELTABLE, NFPROTO_INET, "roost");

		m.other.nla_len = len;
		ck_assert_int_eq(heard(&m, 1), len > 4 && len <= 8);
	}
}
END_TEST

/* Behind a message that is not padded there is only what was heard before. */
START_TEST(what_was_heard_before_is_not_heard_again)
{
	struct {
		struct nlmsghdr header;
		uint32_t space;
		struct message inner;
	} before = {.header = {.nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8, .nlmsg_len = sizeof(before)}};
	struct nlmsghdr odd = {.nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8, .nlmsg_len = sizeof(odd) + 1};
	char bytes[sizeof(odd) + 1] = {0};
	int fds[2];

	before.inner = message(NFT_MSG_DELTABLE, NFPROTO_INET, "roost");
	memcpy(bytes, &odd, sizeof(odd));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds), 0);
	ck_assert_int_gt(send(fds[0], &before, sizeof(before), 0), 0);
	ck_assert_int_gt(send(fds[0], bytes, sizeof(bytes), 0), 0);
	ck_assert(!nft_watch_heard(fds[1], "roost"));
	close(fds[0]);
	close(fds[1]);
}
END_TEST

UNIT(nft, our_table_is_known_whatever_happens_to_it, it_is_found_among_others,
	other_peoples_tables_are_not_ours, a_message_that_is_cut_is_read_no_further,
	what_was_heard_before_is_not_heard_again)
