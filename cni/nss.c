/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nss -- stands in for the name lookups of the C library.
 *
 * libnl can turn host and protocol names into numbers; the plugin never asks it
 * to.  In a static program the C library's own lookups would be half of the binary
 * and load shared objects of exactly the C library it was linked with, which is
 * what the linker warns of.  Here a lookup finds nothing. */
#include <netdb.h>
#include <stddef.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
	struct addrinfo **result)
{
	(void)node;
	(void)service;
	(void)hints;
	*result = NULL;
	return EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *result)
{
	(void)result;
}

struct protoent *getprotobyname(const char *name)
{
	(void)name;
	return NULL;
}

struct protoent *getprotobynumber(int number)
{
	(void)number;
	return NULL;
}
