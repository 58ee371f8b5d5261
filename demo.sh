#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The main job, from a fresh clone: installs what is missing, builds, makes 12,000 JPEG images, puts them into S3, and runs a
# sweep of 6 training jobs over the mounted bucket, then 2 of them again in File mode, and compares.
#
#   ./demo.sh                              S3 is s3lab, our test endpoint on loopback, with 30 ms to the first byte
#   LEAT_DEMO_S3=s3://bucket/prefix ./demo.sh   your bucket, with your AWS_* settings; the images are uploaded once,
#                                          below bucket/prefix/shapes-N/
#   LEAT_DEMO_DIR=DIR                      where images and results are kept (default: build/demo)
#   LEAT_DEMO_IMAGES=N, LEAT_DEMO_EPOCHS=N a smaller or a longer run (12000, 2)
set -euo pipefail
cd "$(dirname "$0")"
case ${1:-} in
  "") ;;
  -h|--help) sed -n '3,10s/^# \?//p' "$0"; exit 0 ;;
  *) echo "demo.sh: takes no argument '$1'; ./demo.sh --help lists its settings" >&2; exit 2 ;;
esac
began=$SECONDS
directory=${LEAT_DEMO_DIR:-$PWD/build/demo}
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

groups="build run demo"
[ -z "${LEAT_DEMO_S3:-}" ] || groups+=" s3"
# shellcheck disable=SC2086
tools/install-packages.sh $groups

echo "Building Leat (build/release) ..."
log=$directory/build.log
{ cmake --preset release && cmake --build build/release --target leat s3lab; } >"$log" 2>&1 || {
  grep -E -A6 'error|Error' "$log" | head -n 20 >&2; echo "demo.sh: the build failed; all of it: $log" >&2; exit 1; }
export LEAT_PYTHON=/usr/bin/python3  # where Debian installs torch
leat=$PWD/build/release/src/cli/leat
echo "Built after $((SECONDS - began)) s."

# A job's namespace and a mount need root or user namespaces; without /dev/fuse nothing can be mounted.
[ -e /dev/fuse ] || { echo "demo.sh: /dev/fuse is missing: load it with 'modprobe fuse', or give the container --device /dev/fuse" >&2; exit 1; }

lab=""; state=$directory/state
finish() {
  local status=$?
  trap - EXIT INT TERM
  "$leat" unmount --all --state-dir "$state" >/dev/null 2>&1 || true
  [ -z "$lab" ] || { kill "$lab" 2>/dev/null || true; wait "$lab" 2>/dev/null || true; }
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

images=${LEAT_DEMO_IMAGES:-12000}
echo "Making $images images below $directory/shapes ..."
/usr/bin/python3 examples/image-classification/generate_dataset.py "$directory/shapes" --count "$images"

if [ -n "${LEAT_DEMO_S3:-}" ]; then
  # A prefix for each size: images of a larger run before must not be trained on, and nothing of yours is deleted.
  repository=${LEAT_DEMO_S3%/}/shapes-$images/
  echo "Uploading to $repository ..."
  /usr/bin/aws ${AWS_ENDPOINT_URL_S3:+--endpoint-url "$AWS_ENDPOINT_URL_S3"} s3 sync --only-show-errors --exclude .complete "$directory/shapes" "$repository"
else
  repository=s3://shapes/
  # Whatever the caller's AWS settings are, the demo talks to loopback with keys of its own.
  unset AWS_PROFILE AWS_ENDPOINT_URL AWS_SESSION_TOKEN AWS_CA_BUNDLE
  export AWS_ACCESS_KEY_ID=LEATDEMO AWS_SECRET_ACCESS_KEY=leat-demo-secret AWS_REGION=us-east-1
  rm -f "$directory/s3lab.port"
  build/release/tools/s3lab/s3lab --port 0 --port-file "$directory/s3lab.port" --access-key "$AWS_ACCESS_KEY_ID" \
    --secret-key "$AWS_SECRET_ACCESS_KEY" --latency-ms 30 --import-tree "shapes=$directory/shapes" >"$directory/s3lab.log" 2>&1 &
  lab=$!
  for _ in $(seq 100); do [ -s "$directory/s3lab.port" ] && break; sleep 0.1; done
  [ -s "$directory/s3lab.port" ] || { cat "$directory/s3lab.log" >&2; echo "demo.sh: s3lab did not start" >&2; exit 1; }
  export AWS_ENDPOINT_URL_S3=http://127.0.0.1:$(cat "$directory/s3lab.port")
  echo "S3 is s3lab, Leat's test endpoint on loopback: not Amazon, but 30 ms to the first byte of every request."
fi

# A cold start every time: the first job must fetch from S3.
"$leat" unmount --all --state-dir "$state" >/dev/null 2>&1 || true
rm -rf "$state" "$directory/output"
/usr/bin/python3 examples/image-classification/demo.py --leat "$leat" --state-dir "$state" --repository "$repository" \
  --output "$directory/output" --epochs "${LEAT_DEMO_EPOCHS:-2}"
echo "The whole demo took $((SECONDS - began)) s; results are below $directory/output."
