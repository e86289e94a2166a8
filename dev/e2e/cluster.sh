# shellcheck shell=bash disable=SC2034,SC2154 # sourced by run, whose variables it shares
# A real Kubernetes of one node, and the image that `helm test` wants, from packages.
dev/kubernetes/tools helm
dev/kubernetes/up node >/dev/null
ctr=(ctr --address "$home/node/containerd.sock" -n k8s.io)

busybox=$(mktemp -d)
(cd "$busybox" && apt-get -o APT::Sandbox::User=root download -q busybox-static && dpkg -x busybox-static_*.deb root) >&2
mkdir -p "$busybox/image/bin"
cp "$(find "$busybox/root" -type f -path '*bin/busybox')" "$busybox/image/bin/busybox"
for applet in sh wget grep sleep; do ln -s busybox "$busybox/image/bin/$applet"; done
dev/kubernetes/image docker.io/library/busybox:1.37.0 "$busybox/image.tar" "$busybox/image" /bin/sh
"${ctr[@]}" images import "$busybox/image.tar"
rm -rf "$busybox"
