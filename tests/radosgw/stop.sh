#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tests/radosgw/stop.sh DIR: ends the processes that start.sh DIR started, and only those (pid and start time must agree).
set -u
[ $# = 1 ] || { sed -n '3s/^# \?//p' "$0" >&2; exit 2; }
[ -f "$1/pids" ] || exit 0
ours() { [ "$(awk '{print $22}' "/proc/$1/stat" 2>/dev/null)" = "$2" ]; }
for signal in TERM KILL; do
  while read -r pid start _; do ours "$pid" "$start" && kill -s "$signal" "$pid" 2>/dev/null; done <"$1/pids"
  for _ in $(seq 30); do
    left=0
    while read -r pid start _; do ours "$pid" "$start" && left=1; done <"$1/pids"
    [ "$left" = 0 ] && { rm -f "$1/pids"; exit 0; }
    sleep 0.1
  done
done
exit 1
