/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a kubeconfig.  Either one clean line of error, or credentials that say
 * where to go, that contradict nothing, and that a header can hold.  No file that they
 * name is opened. */
#include "kube/credentials.h"
#include "fuzz.h"

static void check_line(const char *text)
{
	MUST(strncmp(text, "/etc/admin.conf:", 16) == 0);
	for (; *text; text++)
		MUST((unsigned char)*text >= ' ' && *text != 127);
}

static void check_secret(const struct kube_secret *secret)
{
	MUST(!secret->file || !secret->data);
	MUST(!secret->file || secret->file[0] == '/'); /* relative to /etc */
	MUST(!secret->data || secret->len >= strlen(secret->data));
	if (secret->file || secret->data)
		check_line(secret->from);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena arena = {0};
	struct kube_credentials creds;
	struct err err = {0};

	if (kube_credentials_parse("/etc/admin.conf", (const char *)data, size, &arena, &creds, &err) < 0) {
		MUST(err.code != 0);
		check_line(err.msg);
		return 0;
	}
	MUST(strncmp(creds.url, "https://", 8) == 0 || strncmp(creds.url, "http://", 7) == 0);
	MUST(creds.url[strlen(creds.url) - 1] != '/' && !strpbrk(creds.url, " \t\r\n?#"));
	check_secret(&creds.ca);
	check_secret(&creds.certificate);
	check_secret(&creds.key);
	check_secret(&creds.token);
	MUST(!creds.certificate.file == !creds.key.file || creds.certificate.data || creds.key.data);
	for (const char *p = creds.token.data; p && *p; p++)
		MUST(*p > ' ' && *p <= '~');
	for (size_t i = 0; i < creds.n_warnings; i++)
		check_line(creds.warnings[i]);
	return 0;
}
