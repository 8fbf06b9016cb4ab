/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kube/curl.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#define LIBRARY "libcurl.so.4"

struct curl_functions libcurl;

/* ISO C has no way from a void * to a function; POSIX has dlsym(). */
static int find(void *library, const char *name, void *function, struct err *err)
{
	void *address = dlsym(library, name);

	if (!address)
		return err_set(err, ENOENT, LIBRARY ": it has no %s", name);
	memcpy(function, &address, sizeof(address));
	return 0;
}

int libcurl_load(struct err *err)
{
	struct curl_functions found;
	void *library;

	if (libcurl.easy_init)
		return 0;
	library = dlopen(LIBRARY, RTLD_NOW);
	if (!library)
		return err_set(err, ENOENT, "speaking to an API server takes libcurl: %s", dlerror());
#define FIND(name)                                                                                 \
	if (find(library, "curl_" #name, &found.name, err) < 0)                                    \
		return -1;
	CURL_FUNCTIONS(FIND)
#undef FIND
	libcurl = found;
	return 0;
}
