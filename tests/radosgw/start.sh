#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tests/radosgw/start.sh DIR PORT: a real S3 server for tests: Ceph's radosgw over one monitor and one in-memory OSD, on loopback.
# Everything lives below DIR; DIR/env gets AWS_* settings, DIR/pids the processes; stop.sh DIR ends them. Run as root.
set -euo pipefail
[ $# = 2 ] || { sed -n '3,4s/^# \?//p' "$0" >&2; exit 2; }
mkdir -p "$1"; directory=$(cd "$1" && pwd); port=$2
for program in ceph-mon ceph-osd radosgw radosgw-admin ceph monmaptool; do
  command -v "$program" >/dev/null || { echo "start.sh: $program is missing: tools/install-packages.sh test" >&2; exit 1; }
done
cd "$directory"
unset CEPH_ARGS
free_port() { /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
monitor_port=$(free_port)
fsid=$(cat /proc/sys/kernel/random/uuid); osd_uuid=$(cat /proc/sys/kernel/random/uuid)
mkdir -p mon osd rgw run log
# Debian 13's ceph-osd looks for its object classes below its working directory.
classes=$(dirname "$(ls /usr/lib/*/rados-classes/libcls_version.so /usr/lib/rados-classes/libcls_version.so 2>/dev/null | head -n 1)")
cat >ceph.conf <<CONF
[global]
fsid = $fsid
mon initial members = a
mon host = v1:127.0.0.1:$monitor_port
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr2 = false
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
osd crush chooseleaf type = 0
osd crush update on start = false
osd class update on start = false
osd objectstore = memstore
osd class dir = $classes
memstore device bytes = 4294967296
osd data = $directory/osd
osd max object name len = 2048
mon data = $directory/mon
mon data avail crit = 1
mon data avail warn = 2
run dir = $directory/run
pid file = $directory/run/\$name.pid
admin socket = $directory/run/\$name.asok
log file = $directory/log/\$name.log
keyring = $directory/keyring
setuser match path =
rgw data = $directory/rgw
rgw enable usage log = false
rgw enable gc threads = false
rgw enable lc threads = false
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
rgw s3 auth use sts = true
rgw sts key = abcdefghijklmnop
CONF
touch keyring
conf=(--conf "$directory/ceph.conf")
: >pids
started() {  # PID NAME: keeps the pid with its start time, so that stop.sh never ends a stranger
  printf '%s %s %s\n' "$1" "$(awk '{print $22}' "/proc/$1/stat")" "$2" >>"$directory/pids"
}
fail() { echo "start.sh: $1; logs are in $directory/log" >&2; tail -n 5 "$directory"/log/*.log >&2 2>/dev/null || true; exit 1; }
# A client that is faster than the monitor's first map is refused ("problem getting command descriptions"): it asks again.
monitor() {
  for _ in 1 2 3 4 5; do
    timeout 90 ceph "${conf[@]}" --connect-timeout 80 "$@" && return 0
    sleep 1
  done
  return 1
}

monmaptool --create --fsid "$fsid" --addv a "[v1:127.0.0.1:$monitor_port]" monmap >log/monmaptool.log 2>&1 || fail "monmaptool failed"
ceph-mon "${conf[@]}" --mkfs -i a --monmap monmap --keyring keyring >log/mkfs-mon.log 2>&1 || fail "ceph-mon --mkfs failed"
setsid ceph-mon "${conf[@]}" -f -i a >log/mon.out 2>&1 </dev/null & started $! ceph-mon
monitor osd new "$osd_uuid" 0 >log/osd-new.log 2>&1 || fail "the monitor does not answer"
ceph-osd "${conf[@]}" -i 0 --mkfs --osd-uuid "$osd_uuid" >log/mkfs-osd.log 2>&1 || fail "ceph-osd --mkfs failed"
monitor osd crush add osd.0 1.0 host=local root=default >log/crush.log 2>&1 || fail "osd crush add failed"
setsid ceph-osd "${conf[@]}" -f -i 0 >log/osd.out 2>&1 </dev/null & started $! ceph-osd
for _ in $(seq 60); do
  timeout 10 ceph "${conf[@]}" osd stat 2>/dev/null | grep -q '1 up' && break
  sleep 0.3
done
timeout 60 radosgw-admin "${conf[@]}" -n client.rgw.a user create --uid=leat --display-name=Leat --access-key=LEATRADOSKEY \
  --secret-key=CANARY-leat-rados-secret --caps='user-policy=*' >log/user.log 2>&1 || fail "radosgw-admin user create failed"
setsid radosgw "${conf[@]}" -n client.rgw.a -f >log/rgw.out 2>&1 </dev/null & started $! radosgw
for _ in $(seq 150); do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    cat >env <<ENV
export AWS_ACCESS_KEY_ID=LEATRADOSKEY
export AWS_SECRET_ACCESS_KEY=CANARY-leat-rados-secret
export AWS_ENDPOINT_URL_S3=http://127.0.0.1:$port
ENV
    echo "radosgw listening on http://127.0.0.1:$port"
    exit 0
  fi
  sleep 0.2
done
fail "radosgw does not listen"
