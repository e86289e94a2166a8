# shellcheck shell=bash disable=SC2034,SC2154 # sourced by run, whose variables it shares
# A real Kubernetes of one node, from packages.
dev/kubernetes/tools helm
dev/kubernetes/up node >/dev/null
ctr=(ctr --address "$home/node/containerd.sock" -n k8s.io)
