# shellcheck shell=bash disable=SC2034,SC2154 # sourced by run, whose variables it shares
# What another run may have left, too.
topics=$(cat "$home/topic-operator.pid" 2>/dev/null || true)
if [ "$topics" ] && grep -qs topic-operator "/proc/$topics/cmdline"; then kill "$topics"; fi
rm -f "$home/topic-operator.pid"
dev/kubernetes/down node
dev/kafka/down 9092 --wipe
dev/mysql/down 3306 --wipe
