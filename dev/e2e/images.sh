# shellcheck shell=bash disable=SC2034,SC2154 # sourced by run, whose variables it shares
# Fluxo's own images, built without a registry, and given to the node; and the programs of this folder, built as the
# tests are, so that nothing is compiled twice.
cargo build --locked --workspace --bins --tests
tools=${CARGO_TARGET_DIR:-target}/debug
images=$(mktemp -d)
dev/images/build "$images"
dev/e2e/busybox docker.io/library/busybox:1.37.0 "$images/busybox.tar"   # what `helm test` wants
for image in "$images"/*.tar; do "${ctr[@]}" images import "$image"; done
rm -rf "$images"
