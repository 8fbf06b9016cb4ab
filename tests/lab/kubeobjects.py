# SPDX-License-Identifier: GPL-2.0-or-later
"""Kubernetes objects for tests: Nodes as short as can be, or as a kubelet fills them."""

import functools
import json
import uuid

from apiserver import recorded

IMAGES = 50         # as many as a kubelet reports


def node(name, addresses=(), pod_cidrs=(), labels=None, created="2026-11-22T22:41:14Z", realistic=False,
         **meta):
    """A Node.  `created` is its age, which decides an overlap; realistic: some 15 KB."""
    data = {
        "metadata": {
            "name": name, "uid": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name} {created}")),
            "creationTimestamp": created,
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **(labels or {})},
            **meta},
        "spec": {"podCIDR": pod_cidrs[0], "podCIDRs": list(pod_cidrs)} if pod_cidrs else {},
        "status": {
            "addresses": [*({"type": "InternalIP", "address": address} for address in addresses),
                          {"type": "Hostname", "address": name}],
            "conditions": conditions(created)},
    }
    return filled(data) if realistic else data


def conditions(time):
    return [{"type": kind, "status": str(kind == "Ready"), "lastHeartbeatTime": time,
             "lastTransitionTime": "2026-11-22T22:41:42Z", "reason": f"Kubelet{kind}",
             "message": f"kubelet is posting {kind} status"}
            for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")]


@functools.cache
def kubelet_node():
    """What a real kubelet registered."""
    return json.loads(recorded("node-kubelet.json"))


@functools.cache
def images():
    return [{"names": [f"registry.example.org/team-{i % 7}/service-{i}@sha256:{i:064x}",
                       f"registry.example.org/team-{i % 7}/service-{i}:v1.{i}.{i * 3}"],
             "sizeBytes": 10000000 + i * 12345} for i in range(IMAGES)]


def filled(data):
    """With everything a kubelet adds.  What is the same for all is shared, not copied."""
    real = kubelet_node()
    return {**data,
            "metadata": {**data["metadata"], "annotations": real["metadata"]["annotations"],
                         "managedFields": real["metadata"]["managedFields"]},
            "status": {**real["status"], **data["status"], "images": images(),
                       "volumesInUse": volumes()}}


@functools.cache
def volumes():
    return [f"kubernetes.io/csi/rbd.csi.example.org^0001-0024-{i:08x}-4f62-a35e-0242ac110002" for i in range(30)]


def heartbeat(data, number):
    """The same Node, as its kubelet's next status update has it."""
    time = f"2026-11-23T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    return {**data, "status": {**data["status"], "conditions": conditions(time)}}


def relabelled(data, **labels):
    """labels: None removes one."""
    have = {**data["metadata"].get("labels", {}), **labels}
    return {**data, "metadata": {**data["metadata"],
                                 "labels": {k: v for k, v in have.items() if v is not None}}}


def with_pod_cidrs(data, *pod_cidrs):
    return {**data, "spec": {**data["spec"], "podCIDR": pod_cidrs[0], "podCIDRs": list(pod_cidrs)}}


def service(name, ingress=(), external=(), cluster_ips=(), policy="Cluster", namespace="default"):
    """A LoadBalancer Service."""
    return {
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": "2026-11-22T22:42:29Z"},
        "spec": {"type": "LoadBalancer", "externalIPs": list(external),
                 "clusterIP": (cluster_ips or ["None"])[0], "clusterIPs": list(cluster_ips) or ["None"],
                 "externalTrafficPolicy": policy,
                 "ports": [{"protocol": "TCP", "port": 80, "targetPort": 80}]},
        "status": {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"} for ip in ingress]}
                   if ingress else {}},
    }


def endpoint_slice(service_name, endpoints, name=None, family=4, namespace="default"):
    """endpoints: (address, node name, ready)"""
    return {
        "metadata": {"name": name or f"{service_name}-abcde", "namespace": namespace,
                     "creationTimestamp": "2026-11-22T22:42:29Z",
                     "labels": {"kubernetes.io/service-name": service_name}},
        "addressType": f"IPv{family}",
        "endpoints": [{"addresses": [address], "nodeName": node_name, "conditions": {
            "ready": ready, "serving": ready, "terminating": False}}
            for address, node_name, ready in endpoints],
        "ports": [{"name": "", "protocol": "TCP", "port": 80}],
    }
