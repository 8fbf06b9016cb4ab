/* SPDX-License-Identifier: GPL-2.0-or-later */
/* curl -- libcurl, when it is needed and not before.
 *
 * It comes with two dozen libraries, which make a roostd of 4 MB one of 9.5; most roostds
 * take their nodes from the file and never speak to an API server.  So it is loaded when
 * the first one is to be asked.  What is used of it stands in the table below; include
 * this in place of <curl/curl.h>, and call by the usual names. */
#ifndef ROOST_KUBE_CURL_H
#define ROOST_KUBE_CURL_H

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "base/err.h"

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

#define CURL_FUNCTIONS(_)                                                                          \
	_(easy_cleanup)                                                                            \
	_(easy_escape)                                                                             \
	_(easy_getinfo)                                                                            \
	_(easy_init)                                                                               \
	_(easy_setopt)                                                                             \
	_(easy_strerror)                                                                           \
	_(free)                                                                                    \
	_(global_cleanup)                                                                          \
	_(global_init)                                                                             \
	_(multi_add_handle)                                                                        \
	_(multi_assign)                                                                            \
	_(multi_cleanup)                                                                           \
	_(multi_info_read)                                                                         \
	_(multi_init)                                                                              \
	_(multi_remove_handle)                                                                     \
	_(multi_setopt)                                                                            \
	_(multi_socket_action)                                                                     \
	_(slist_append)                                                                            \
	_(slist_free_all)                                                                          \
	_(url)                                                                                     \
	_(url_cleanup)                                                                             \
	_(url_get)                                                                                 \
	_(url_set)

struct curl_functions {
#define CURL_MEMBER(name) __typeof__(&curl_##name) name;
	CURL_FUNCTIONS(CURL_MEMBER)
#undef CURL_MEMBER
};
extern struct curl_functions libcurl;

/* Once is enough, more do no harm.  Before anything below is called. */
int libcurl_load(struct err *err);

#define curl_easy_cleanup        libcurl.easy_cleanup
#define curl_easy_escape         libcurl.easy_escape
#define curl_easy_getinfo        libcurl.easy_getinfo
#define curl_easy_init           libcurl.easy_init
#define curl_easy_setopt         libcurl.easy_setopt
#define curl_easy_strerror       libcurl.easy_strerror
#define curl_free                libcurl.free
#define curl_global_cleanup      libcurl.global_cleanup
#define curl_global_init         libcurl.global_init
#define curl_multi_add_handle    libcurl.multi_add_handle
#define curl_multi_assign        libcurl.multi_assign
#define curl_multi_cleanup       libcurl.multi_cleanup
#define curl_multi_info_read     libcurl.multi_info_read
#define curl_multi_init          libcurl.multi_init
#define curl_multi_remove_handle libcurl.multi_remove_handle
#define curl_multi_setopt        libcurl.multi_setopt
#define curl_multi_socket_action libcurl.multi_socket_action
#define curl_slist_append        libcurl.slist_append
#define curl_slist_free_all      libcurl.slist_free_all
#define curl_url                 libcurl.url
#define curl_url_cleanup         libcurl.url_cleanup
#define curl_url_get             libcurl.url_get
#define curl_url_set             libcurl.url_set

#endif
