#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/install-packages.sh GROUP...: installs what is missing of the named groups of Debian (or Ubuntu) packages:
#   build  compiler and libraries       run   what a mount and a job need       demo  what the demo's training script needs
#   test   what the tests need          s3    the AWS command line, for an upload to a bucket of yours
# Prints what it installs and why; asks for sudo only when not root; does nothing when all is there.
set -euo pipefail

build="g++ cmake ninja-build pkg-config libfuse3-dev libcurl4-openssl-dev libssl-dev librocksdb-dev libsqlite3-dev
  libexpat1-dev nlohmann-json3-dev libcli11-dev libspdlog-dev libfmt-dev libexpected-dev libisal-dev libpcre2-dev
  libarchive-dev libmicrohttpd-dev libeigen3-dev libgtest-dev libgmock-dev"
run="fuse3 bubblewrap ca-certificates"
demo="python3 python3-torch python3-numpy python3-pil libopenblas0"
test="python3 python3-pip python3-boto3 awscli radosgw ceph-mon ceph-osd ceph-common attr procps podman crun"
s3="awscli"

[ $# -gt 0 ] || { sed -n '3,6s/^# \?//p' "$0" >&2; exit 2; }
wanted=""
for group in "$@"; do
  case $group in
    build) wanted+=" $build" ;; run) wanted+=" $run" ;; demo) wanted+=" $demo" ;; test) wanted+=" $test" ;; s3) wanted+=" $s3" ;;
    *) echo "install-packages: no group '$group': build, run, demo, test or s3" >&2; exit 2 ;;
  esac
done

command -v apt-get >/dev/null || {
  echo "install-packages: this is not Debian or Ubuntu; install the equivalents of:$wanted" >&2; exit 1; }
missing=$(for package in $wanted; do
  dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
done | sort -u | tr '\n' ' ')
[ -n "${missing// /}" ] || exit 0

sudo=""
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "install-packages: run as root, or install sudo; missing: $missing" >&2; exit 1; }
  sudo="sudo"
  echo "Leat asks for sudo to install Debian packages."
fi
echo "Installing ($*): $missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq >"$log" 2>&1 || { tail -n 5 "$log" >&2; echo "install-packages: apt-get update failed" >&2; exit 1; }
# shellcheck disable=SC2086  # the list is words on purpose
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >"$log" 2>&1 || {
  tail -n 15 "$log" >&2; echo "install-packages: apt-get install failed" >&2; exit 1; }
