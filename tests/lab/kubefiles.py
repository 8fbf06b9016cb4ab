# SPDX-License-Identifier: GPL-2.0-or-later
"""What a client of the API server needs beside it: certificates by openssl, and a kubeconfig."""

import base64
import os
import ssl

from roostlab.base import run, write_file


class Pki:
    """A CA of its own in a folder, and what it signs."""

    def __init__(self, folder, name="kubernetes"):
        self.folder, self.name = folder, name
        os.makedirs(folder, exist_ok=True)
        _openssl("req", "-x509", *_new_key(self.path("ca.key")), "-subj", f"/CN={name}", "-days", "10",
                 "-out", self.ca)

    def path(self, name):
        return os.path.join(self.folder, name)

    @property
    def ca(self):
        return self.path("ca.crt")

    def issue(self, name, subject, addresses=(), expired=False):
        """(certificate, key), signed by the CA."""
        certificate, key = self.path(f"{name}.crt"), self.path(f"{name}.key")
        extensions = "basicConstraints=critical,CA:FALSE\n"
        if addresses:
            extensions += "subjectAltName=" + ",".join(f"IP:{address}" for address in addresses) + "\n"
        write_file(self.path("extensions"), extensions)
        _openssl("req", *_new_key(key), "-subj", subject, "-out", self.path("request"))
        # A certificate of no days at all has just expired.
        _openssl("x509", "-req", "-in", self.path("request"), "-CA", self.ca, "-CAkey", self.path("ca.key"),
                 "-CAcreateserial", "-extfile", self.path("extensions"), "-days", "-1" if expired else "5",
                 "-out", certificate)
        return certificate, key

    def server_context(self, addresses, expired=False, clients=ssl.CERT_OPTIONAL):
        """For ApiServer(tls=...); clients: ssl.CERT_REQUIRED refuses whoever has no certificate."""
        certificate, key = self.issue("server", "/CN=kube-apiserver", addresses, expired)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(self.ca)
        context.verify_mode = clients
        context.set_alpn_protocols(["http/1.1"])
        return context


def _new_key(path):
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path)


def _openssl(*argv):
    run(["openssl", *argv])


def data_of(path):
    """A file as `...-data` of a kubeconfig has it."""
    with open(path, "rb") as stream:
        return base64.b64encode(stream.read()).decode()


def kubeconfig(url, user=None, **cluster):
    """A kubeconfig as kubeadm writes it.  user, cluster: {key: value}; keys may be given
    with _ for -."""
    def lines(values):
        return "".join(f"    {key.replace('_', '-')}: {_scalar(value)}\n" for key, value in values.items())
    return ("apiVersion: v1\nkind: Config\npreferences: {}\n"
            "clusters:\n- name: lab\n  cluster:\n" + lines({"server": url, **cluster})
            + "contexts:\n- name: roost@lab\n  context:\n    cluster: lab\n    user: roost\n"
            "current-context: roost@lab\n"
            "users:\n- name: roost\n  user:" + ("\n" + lines(user) if user else " {}\n"))


def _scalar(value):
    return str(value).lower() if isinstance(value, bool) else value
