/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kube/credentials: what kubeconfigs and service accounts say, and what is refused. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "kube/credentials.h"
#include "unit.h"

#define CERTIFICATE "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
#define CERTIFICATE64 \
	"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo="
#define KEY "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"
#define KEY64 "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCkFBPT0KLS0tLS1FTkQgUFJJVkFURSBLRVktLS0tLQo="

static char dir[] = "check_credentials.XXXXXX";
static struct arena arena;
static struct kube_credentials creds;
static struct err err;

static const char *in_dir(const char *name)
{
	return arena_printf(&arena, "%s/%s", dir, name);
}

static void write_file(const char *name, const char *text)
{
	ck_assert_int_eq(file_replace(in_dir(name), text, strlen(text), 0600, &err), 0);
}

static void begin(void)
{
	unit_make_dir(dir);
	memset(&creds, 0, sizeof(creds));
}

static void end(void)
{
	arena_free(&arena);
	ck_assert_int_eq(file_remove_tree(dir, &err), 0);
}

/* A kubeconfig whose cluster stands in line 1 from column 29, and its user in line 2 from
 * column 26. */
static const char *kubeconfig(const char *cluster, const char *user)
{
	return arena_printf(&arena,
		"clusters: [{name: c, cluster: {%s}}]\n"
		"users: [{name: u, user: {%s}}]\n"
		"contexts: [{name: x, context: {cluster: c, user: u, namespace: kube-system}}]\n"
		"current-context: x\n",
		cluster, user);
}

static int load_text(const char *text)
{
	write_file("conf", text);
	return kube_credentials_load(in_dir("conf"), &arena, &creds, &err);
}

static void load(const char *cluster, const char *user)
{
	int rc = load_text(kubeconfig(cluster, user));

	ck_assert_msg(rc == 0, "%s", err.msg);
}

/* The message without the folder's name. */
static const char *refused(const char *text)
{
	const char *at;
	_cleanup_buf_ struct buf out = {0};

	ck_assert_int_eq(load_text(text), -1);
	for (at = err.msg; *at;) {
		if (strncmp(at, dir, strlen(dir)) == 0 && at[strlen(dir)] == '/')
			at += strlen(dir) + 1;
		else
			buf_add(&out, at++, 1);
	}
	return arena_strdup(&arena, buf_text(&out));
}

#define SERVER "server: https://192.168.1.11:6443"

START_TEST(kubeadm_config_is_read)
{
	begin();
	ck_assert_int_eq(load_text("apiVersion: v1\n"
				   "kind: Config\n"
				   "preferences: {}\n"
				   "clusters:\n"
				   "- cluster:\n"
				   "    certificate-authority-data: " CERTIFICATE64 "\n"
				   "    server: https://192.168.1.11:6443\n"
				   "    extensions: [{name: x, extension: {a: 1}}]\n"
				   "  name: kubernetes\n"
				   "- {cluster: {server: 'ftp://other'}, name: other}\n"
				   "contexts:\n"
				   "- context: {cluster: kubernetes, user: admin}\n"
				   "  name: admin@kubernetes\n"
				   "- {context: {cluster: other, user: other}, name: other}\n"
				   "current-context: admin@kubernetes\n"
				   "users:\n"
				   "- {name: other, user: {exec: {command: rm}}}\n"
				   "- name: admin\n"
				   "  user:\n"
				   "    client-certificate-data: " CERTIFICATE64 "\n"
				   "    client-key-data: " KEY64 "\n"),
		0);
	ck_assert_str_eq(creds.server, "https://192.168.1.11:6443");
	ck_assert_str_eq(creds.url, creds.server);
	ck_assert_str_eq(creds.ca.data, CERTIFICATE);
	ck_assert_uint_eq(creds.ca.len, strlen(CERTIFICATE));
	ck_assert_str_eq(creds.certificate.data, CERTIFICATE);
	ck_assert_str_eq(creds.key.data, KEY);
	ck_assert_ptr_null(creds.token.data);
	ck_assert_ptr_null(creds.username);
	ck_assert_ptr_null(creds.proxy);
	ck_assert_ptr_null(creds.namespace);
	ck_assert(!creds.insecure);
	ck_assert_uint_eq(creds.n_warnings, 0);
	end();
}
END_TEST

START_TEST(relative_file_is_relative_to_the_kubeconfig)
{
	begin();
	ck_assert_int_eq(mkdir(in_dir("pki"), 0700), 0);
	write_file("pki/ca.crt", CERTIFICATE);
	write_file("pki/both.pem", CERTIFICATE KEY);
	write_file("token", " abc\n");
	load(SERVER ", certificate-authority: pki/ca.crt",
		"client-certificate: pki/both.pem, client-key: pki/both.pem, tokenFile: token");
	ck_assert_str_eq(creds.ca.file, in_dir("pki/ca.crt"));
	ck_assert_str_eq(creds.certificate.file, in_dir("pki/both.pem"));
	ck_assert_str_eq(creds.key.file, in_dir("pki/both.pem"));
	ck_assert_str_eq(creds.token.file, in_dir("token"));
	ck_assert_str_eq(creds.namespace, "kube-system");
	end();
}
END_TEST

START_TEST(token_file_wins_over_the_token)
{
	begin();
	write_file("token", "new");
	load(SERVER, "token: old, tokenFile: token");
	ck_assert_str_eq(creds.token.file, in_dir("token"));
	ck_assert_ptr_null(creds.token.data);
	end();
}
END_TEST

START_TEST(empty_and_null_values_are_no_values)
{
	begin();
	load(SERVER ", certificate-authority: '', certificate-authority-data: null, proxy-url: ''",
		"token: abc, tokenFile: , username: '', exec: null, auth-provider: ~");
	ck_assert_str_eq(creds.token.data, "abc");
	ck_assert_ptr_null(creds.ca.file);
	ck_assert_ptr_null(creds.username);
	end();
}
END_TEST

START_TEST(server_loses_its_slash_and_keeps_its_path)
{
	static const char *const rows[][2] = {
		{"https://a", "https://a"},
		{"https://a/", "https://a"},
		{"https://a:443//", "https://a:443"},
		{"HTTPS://A.example:6443/k8s/clusters/c-1/", "https://A.example:6443/k8s/clusters/c-1"},
		{"https://[fd00::1]:6443", "https://[fd00::1]:6443"},
	};

	begin();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		load(arena_printf(&arena, "server: '%s'", rows[i][0]), "token: t");
		ck_assert_str_eq(creds.server, rows[i][1]);
		ck_assert_str_eq(creds.url, rows[i][1]);
		ck_assert_uint_eq(creds.n_warnings, 0);
	}
	end();
}
END_TEST

START_TEST(http_is_for_this_machine_and_warned_of)
{
	static const char *const hosts[] = {"localhost", "127.0.0.1:8001", "127.9.9.9", "[::1]:8001"};

	begin();
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		load(arena_printf(&arena, "server: 'http://%s'", hosts[i]), "token: t");
		ck_assert_uint_eq(creds.n_warnings, 1);
		ck_assert_ptr_nonnull(strstr(creds.warnings[0], "conf:1:40: clusters[0].cluster.server: http: "));
	}
	ck_assert_str_eq(refused(kubeconfig("server: 'http://192.168.1.11:8080'", "token: t")),
		"conf:1:40: clusters[0].cluster.server: http: without TLS only this machine itself is "
		"believed; expected https://");
	end();
}
END_TEST

START_TEST(insecure_is_warned_of)
{
	begin();
	load(SERVER ", insecure-skip-tls-verify: true", "token: t");
	ck_assert(creds.insecure);
	ck_assert_uint_eq(creds.n_warnings, 1);
	ck_assert_ptr_nonnull(strstr(creds.warnings[0],
		"conf:1:93: clusters[0].cluster.insecure-skip-tls-verify: whoever is on the way to "
		"https://192.168.1.11:6443 can pretend to be it"));
	load(SERVER ", insecure-skip-tls-verify: false", "token: t");
	ck_assert(!creds.insecure);
	ck_assert_uint_eq(creds.n_warnings, 0);
	end();
}
END_TEST

START_TEST(anonymous_user_is_warned_of)
{
	begin();
	load(SERVER, "");
	ck_assert_uint_eq(creds.n_warnings, 1);
	ck_assert_ptr_nonnull(strstr(creds.warnings[0], "conf:2:25: users[0].user: no credentials"));
	end();
}
END_TEST

START_TEST(tls_server_name_is_the_host_of_the_url_and_tcp_goes_to_the_server)
{
	begin();
	load("server: 'https://[fd00::1]/k8s/', tls-server-name: kubernetes", "token: t");
	ck_assert_str_eq(creds.server, "https://[fd00::1]/k8s");
	ck_assert_str_eq(creds.url, "https://kubernetes/k8s");
	ck_assert_str_eq(creds.connect_to->data, "kubernetes:443:[fd00::1]:443");
	ck_assert_ptr_null(creds.connect_to->next);
	end();
}
END_TEST

START_TEST(socks5_proxy_looks_up_the_name_itself)
{
	begin();
	load(SERVER ", proxy-url: 'socks5://127.0.0.1:1080'", "token: t");
	ck_assert_str_eq(creds.proxy, "socks5h://127.0.0.1:1080");
	load(SERVER ", proxy-url: 'http://u:p@proxy:3128'", "token: t");
	ck_assert_str_eq(creds.proxy, "http://u:p@proxy:3128");
	end();
}
END_TEST

START_TEST(basic_auth_is_read)
{
	begin();
	load(SERVER, "username: a, password: 'b c'");
	ck_assert_str_eq(creds.username, "a");
	ck_assert_str_eq(creds.password, "b c");
	end();
}
END_TEST

START_TEST(bad_cluster_or_user_is_named_with_its_place)
{
	static const struct {
		const char *cluster, *user, *want;
	} rows[] = {
		{"", "", "conf:1:31: clusters[0].cluster.server: missing"},
		{"server: [a]", "", "conf:1:40: clusters[0].cluster.server: expected a string, found a list"},
		{"server: '192.168.1.11:6443'", "",
			"conf:1:40: clusters[0].cluster.server: expected a URL such as https://192.168.1.11:6443"},
		{"server: 'https://a b'", "",
			"conf:1:40: clusters[0].cluster.server: expected a URL such as https://192.168.1.11:6443"},
		{"server: 'ftp://a'", "",
			"conf:1:40: clusters[0].cluster.server: expected a URL that begins with https://"},
		{"server: 'https://u:secret@a'", "",
			"conf:1:40: clusters[0].cluster.server: a user, \"?\" or \"#\" in it; expected "
			"https://HOST[:PORT][/PATH]"},
		{"server: 'https://a/?x'", "",
			"conf:1:40: clusters[0].cluster.server: a user, \"?\" or \"#\" in it; expected "
			"https://HOST[:PORT][/PATH]"},
		{SERVER ", tls-server-name: 'a/b'", "",
			"conf:1:84: clusters[0].cluster.tls-server-name: expected a host name"},
		{SERVER ", proxy-url: 'proxy:3128'", "",
			"conf:1:78: clusters[0].cluster.proxy-url: expected a URL that begins with http://, "
			"https:// or socks5://"},
		{SERVER ", insecure-skip-tls-verify: yes", "",
			"conf:1:93: clusters[0].cluster.insecure-skip-tls-verify: expected true or false"},
		{SERVER ", insecure-skip-tls-verify: true, certificate-authority-data: " CERTIFICATE64, "",
			"conf:1:127: clusters[0].cluster.certificate-authority-data: contradicts "
			"insecure-skip-tls-verify: true"},
		{SERVER ", certificate-authority: ca.crt, certificate-authority-data: " CERTIFICATE64, "",
			"conf:1:126: clusters[0].cluster.certificate-authority-data: certificate-authority "
			"is given too; expected one of both"},
		{SERVER ", certificate-authority: ca.crt", "",
			"conf:1:90: clusters[0].cluster.certificate-authority: ca.crt: No such file or directory"},
		{SERVER ", certificate-authority: conf", "",
			"conf:1:90: clusters[0].cluster.certificate-authority: conf: no PEM certificate in it"},
		{SERVER ", certificate-authority-data: 'a*b='", "",
			"conf:1:95: clusters[0].cluster.certificate-authority-data: not base64"},
		{SERVER ", certificate-authority-data: " KEY64, "",
			"conf:1:95: clusters[0].cluster.certificate-authority-data: no PEM certificate in it"},
		{SERVER, "client-certificate-data: " CERTIFICATE64,
			"conf:2:51: users[0].user.client-certificate-data: client-key or client-key-data is missing"},
		{SERVER, "client-key-data: " KEY64,
			"conf:2:43: users[0].user.client-key-data: client-certificate or "
			"client-certificate-data is missing"},
		{SERVER, "client-certificate-data: " CERTIFICATE64 ", client-key-data: " CERTIFICATE64,
			"conf:2:150: users[0].user.client-key-data: no PEM private key in it"},
		{SERVER, "client-certificate-data: " CERTIFICATE64 ", client-key: encrypted.pem",
			"conf:2:145: users[0].user.client-key: encrypted.pem: a key with a passphrase; expected "
			"one without"},
		{SERVER, "client-certificate-data: " CERTIFICATE64 ", client-key: key.pem",
			"conf:2:145: users[0].user.client-key: key.pem: No such file or directory"},
		{SERVER, "tokenFile: token", "conf:2:37: users[0].user.tokenFile: token: No such file or directory"},
		{SERVER, "tokenFile: conf", "conf:2:37: users[0].user.tokenFile: conf: expected a token and nothing else"},
		{SERVER, "tokenFile: /dev/null", "conf:2:37: users[0].user.tokenFile: /dev/null: not a regular file"},
		{SERVER, "token: \"se\\ncret\"",
			"conf:2:33: users[0].user.token: expected one word of at most 32768 letters, digits and signs"},
		{SERVER, "token: t, username: a, password: b",
			"conf:2:46: users[0].user.username: a token is given too; expected one of both"},
		{SERVER, "password: b", "conf:2:36: users[0].user.password: username is missing"},
		{SERVER, "exec: {command: aws}",
			"conf:2:32: users[0].user.exec: Roost starts no programs for credentials; use a token, "
			"a tokenFile or a client certificate"},
		{SERVER, "auth-provider: {name: gcp}",
			"conf:2:41: users[0].user.auth-provider: not supported; use a token, a tokenFile or a "
			"client certificate"},
		{SERVER, "token: t, as: somebody", "conf:2:40: users[0].user.as: impersonation is not supported"},
	};

	begin();
	write_file("encrypted.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_str_eq(refused(kubeconfig(rows[i].cluster, rows[i].user)), rows[i].want);
	end();
}
END_TEST

#define LISTS                                                                                      \
	"clusters: [{name: c, cluster: {" SERVER "}}]\n"                                           \
	"users: [{name: u, user: {token: t}}]\n"

START_TEST(bad_context_is_named_with_its_place)
{
	static const char *const rows[][2] = {
		{"", "conf:1:1: the file is empty"},
		{"[a]", "conf:1:1: expected a kubeconfig, found a list"},
		{"a: [", "conf:2:1: did not find expected node content (while parsing a flow node that began in line 2)"},
		{LISTS, "conf:1:1: current-context: missing: it says which of the contexts to use"},
		{LISTS "current-context: ''", "conf:3:18: current-context: missing: it says which of the contexts to use"},
		{LISTS "current-context: x", "conf:3:18: current-context: there is no \"x\" in contexts"},
		{LISTS "current-context: x\ncontexts: {x: 1}", "conf:3:18: current-context: there is no \"x\" in contexts"},
		{LISTS "current-context: x\ncontexts: [1, {name: [x]}, {}]",
			"conf:3:18: current-context: there is no \"x\" in contexts"},
		{LISTS "current-context: x\ncontexts: [{name: x}]", "conf:4:12: contexts[0].context: expected a map"},
		{LISTS "current-context: x\ncontexts: [{name: x, context: {user: u}}]",
			"conf:4:31: contexts[0].context.cluster: missing"},
		{LISTS "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]",
			"conf:4:31: contexts[0].context.user: missing"},
		{LISTS "current-context: x\ncontexts: [{name: x, context: {cluster: d, user: u}}]",
			"conf:4:41: contexts[0].context.cluster: there is no \"d\" in clusters"},
		{LISTS "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: v}}]",
			"conf:4:50: contexts[0].context.user: there is no \"v\" in users"},
		{LISTS "current-context: x\ncontexts:\n- {name: x, context: {}}\n- {name: x, context: {}}",
			"conf:6:10: contexts[1].name: \"x\" stands twice (also in line 5)"},
	};

	begin();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_str_eq(refused(rows[i][0]), rows[i][1]);
	end();
}
END_TEST

START_TEST(large_files_are_refused)
{
	_cleanup_free_ char *large = xmalloc((2u << 20) + 1);

	begin();
	memset(large, 'a', 2u << 20);
	large[2u << 20] = '\0';
	ck_assert_str_eq(refused(large), "conf: larger than 1048576 bytes");
	large[300u << 10] = '\0';
	write_file("large", large);
	ck_assert_str_eq(refused(kubeconfig(SERVER ", certificate-authority: large", "token: t")),
		"conf:1:90: clusters[0].cluster.certificate-authority: large: larger than 262144 bytes");
	ck_assert_str_eq(refused(kubeconfig(SERVER, "tokenFile: large")),
		"conf:2:37: users[0].user.tokenFile: large: larger than 32768 bytes");
	large[40u << 10] = '\0';
	ck_assert_str_eq(refused(kubeconfig(SERVER, arena_printf(&arena, "token: %s", large))),
		"conf:2:33: users[0].user.token: expected one word of at most 32768 letters, digits and signs");
	end();
}
END_TEST

START_TEST(base64_is_exact)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{"-\\n-", false}, {"A", false}, {"AA", false}, {"AAA", false}, {"AA=", false}, {"A===", false},
		{"====", false}, {"AA=A", false}, {"AAAA=", false}, {"AAAAA===", false}, {"AA==AAAA", false},
		{"A-_A", false}, {"\\xC3A==", false},
		{"AA==", true}, {"AAA=", true}, {"AAAA", true}, {" A\\r\\nA\\t= =\\n", true},
	};

	begin();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *message = refused(kubeconfig(arena_printf(&arena, SERVER
			", certificate-authority-data: \"%s\"", rows[i].text), "token: t"));

		ck_assert_msg((strstr(message, "no PEM certificate") != NULL) == rows[i].good, "%s: %s",
			rows[i].text, message);
	}
	end();
}
END_TEST

START_TEST(no_message_quotes_a_secret)
{
	static const char *const users[] = {
		"token: 'sesam open'", "token: sesam, username: sesam2", "password: sesam",
		"client-key-data: sesam", "token: [sesam]", "as: x, token: sesam",
	};

	begin();
	for (size_t i = 0; i < ARRAY_LEN(users); i++)
		ck_assert_ptr_null(strstr(refused(kubeconfig(SERVER, users[i])), "sesam"));
	write_file("token", "sesam open");
	ck_assert_ptr_null(strstr(refused(kubeconfig(SERVER, "tokenFile: token")), "sesam"));
	end();
}
END_TEST

START_TEST(missing_kubeconfig_is_named)
{
	ck_assert_int_eq(kube_credentials_load("/nowhere/admin.conf", &arena, &creds, &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_str_eq(err.msg, "/nowhere/admin.conf: No such file or directory");
	arena_free(&arena);
}
END_TEST

/* ---------------------------------------------------------------- in a pod */

static void enter_pod(const char *host, const char *port)
{
	begin();
	setenv("ROOST_SERVICE_ACCOUNT", dir, 1);
	setenv("KUBERNETES_SERVICE_HOST", host, 1);
	setenv("KUBERNETES_SERVICE_PORT", port, 1);
	write_file("ca.crt", CERTIFICATE);
	write_file("token", "abc");
	write_file("namespace", "kube-system");
}

START_TEST(pod_has_a_service_account)
{
	enter_pod("10.96.0.1", "443");
	ck_assert_int_eq(kube_credentials_load(NULL, &arena, &creds, &err), 0);
	ck_assert_str_eq(creds.url, "https://10.96.0.1:443");
	ck_assert_str_eq(creds.ca.file, in_dir("ca.crt"));
	ck_assert_str_eq(creds.token.file, in_dir("token"));
	ck_assert_str_eq(creds.namespace, "kube-system");
	ck_assert_uint_eq(creds.n_warnings, 0);
	end();
}
END_TEST

START_TEST(pod_of_an_ipv6_cluster_gets_brackets)
{
	enter_pod("fd00:10:96::1", "443");
	ck_assert_int_eq(kube_credentials_load(NULL, &arena, &creds, &err), 0);
	ck_assert_str_eq(creds.url, "https://[fd00:10:96::1]:443");
	end();
}
END_TEST

START_TEST(pod_without_its_service_account_is_told_which_file)
{
	enter_pod("10.96.0.1", "443");
	ck_assert_int_eq(unlink(in_dir("token")), 0);
	ck_assert_int_eq(kube_credentials_load(NULL, &arena, &creds, &err), -1);
	ck_assert_str_eq(err.msg, arena_printf(&arena, "service account: %s/token: No such file or directory", dir));
	ck_assert_int_eq(unlink(in_dir("ca.crt")), 0);
	ck_assert_int_eq(kube_credentials_load(NULL, &arena, &creds, &err), -1);
	ck_assert_str_eq(err.msg, arena_printf(&arena, "service account: %s/ca.crt: No such file or directory", dir));
	end();
}
END_TEST

START_TEST(no_pod_is_said)
{
	enter_pod("10.96.0.1", "");
	ck_assert_int_eq(kube_credentials_load(NULL, &arena, &creds, &err), -1);
	ck_assert_str_eq(err.msg, "this is no pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not "
				  "set; elsewhere kubernetes.kubeconfig must name a file");
	setenv("KUBERNETES_SERVICE_PORT", "many", 1);
	ck_assert_int_eq(kube_credentials_load(NULL, &arena, &creds, &err), -1);
	ck_assert_str_eq(err.msg, "KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT: expected a URL such as "
				  "https://192.168.1.11:6443");
	end();
}
END_TEST

UNIT(credentials, kubeadm_config_is_read, relative_file_is_relative_to_the_kubeconfig,
	token_file_wins_over_the_token, empty_and_null_values_are_no_values,
	server_loses_its_slash_and_keeps_its_path, http_is_for_this_machine_and_warned_of,
	insecure_is_warned_of, anonymous_user_is_warned_of,
	tls_server_name_is_the_host_of_the_url_and_tcp_goes_to_the_server,
	socks5_proxy_looks_up_the_name_itself, basic_auth_is_read,
	bad_cluster_or_user_is_named_with_its_place, bad_context_is_named_with_its_place,
	large_files_are_refused, base64_is_exact, no_message_quotes_a_secret,
	missing_kubeconfig_is_named, pod_has_a_service_account, pod_of_an_ipv6_cluster_gets_brackets,
	pod_without_its_service_account_is_told_which_file, no_pod_is_said)
