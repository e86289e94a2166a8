# shellcheck shell=bash disable=SC2034,SC2154 # sourced by run, whose variables it shares
url=$(dev/kubernetes/ingress | tail -1)
