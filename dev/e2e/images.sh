# shellcheck shell=bash disable=SC2034,SC2154 # sourced by run, whose variables it shares
# Fluxo's own images, built without a registry, and given to the node.
images=$(mktemp -d)
dev/images/build "$images"
for image in "$images"/*.tar; do "${ctr[@]}" images import "$image"; done
rm -rf "$images"
