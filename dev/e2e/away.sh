# shellcheck shell=bash disable=SC2034,SC2154 # sourced by run, whose variables it shares
dev/mysql/down 3306
