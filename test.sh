#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, builds, and runs every test. Logs are kept under build/test-logs.
#
#   ./test.sh              everything: what CI runs
#   ./test.sh quick        layers and unit tests of the release build only
set -uo pipefail
cd "$(dirname "$0")"
case ${1:-all} in
  -h|--help) sed -n '3,7s/^# \?//p' "$0"; exit 0 ;;
  all|quick) scope=${1:-all} ;;
  *) echo "test.sh: no scope '$1': quick, or nothing for all" >&2; exit 2 ;;
esac
began=$SECONDS
groups="build run"
[ "$scope" = all ] && groups="build run demo test"
# shellcheck disable=SC2086
tools/install-packages.sh $groups || exit 1

logs=$PWD/build/test-logs
rm -rf "$logs"; mkdir -p "$logs"
passed=0; failed=0; skipped=0; failures=""

# step NAME COMMAND...: runs it with its output in a log of its own; prints one line; counts what its runner counted.
step() {
  local name=$1; shift
  local log=$logs/$name.log start=$SECONDS counted
  if "$@" >"$log" 2>&1 </dev/null; then local result=ok; else local result=FAILED; fi
  counted=$(tools/count_tests.py "$log" "$result") || counted="0 1 0"
  read -r p f s <<<"$counted"
  passed=$((passed + p)); failed=$((failed + f)); skipped=$((skipped + s))
  printf '%-24s %-7s %5d passed %3d failed %3d skipped %4d s\n' "$name" "$result" "$p" "$f" "$s" $((SECONDS - start))
  if [ "$result" = FAILED ] || [ "$f" -gt 0 ]; then failures+=" $name"; grep -aE '^\[  FAILED|^FAIL|^ERROR|error: |^[A-Za-z]+Error: ' "$log" | head -n 15; fi
}
build() {
  echo "building: $1"
  cmake --preset "$1" >"$logs/build-$1.log" 2>&1 && cmake --build "build/$1" "${@:2}" >>"$logs/build-$1.log" 2>&1 || {
    grep -E -A6 'error|Error' "$logs/build-$1.log" | head -n 30; echo "0 passed, 1 failed"
    echo "building $1 failed: see $logs/build-$1.log" >&2; exit 1; }
  echo "built $1 at $((SECONDS - began)) s"
}

step house sh -c 'tools/check_layers.py --self-test && tools/check_layers.py && tools/check_style.py'
build release --target all bench_tools
step unit ctest --test-dir build/release -R '^unit/' --output-on-failure --timeout 300 -j2
if [ "$scope" = all ]; then
  export LEAT=$PWD/build/release/src/cli/leat S3LAB=$PWD/build/release/tools/s3lab/s3lab
  unset AWS_PROFILE AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3 AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
  for suite in tests/interop/*_test.py tests/mount/*_test.py tests/model/*_test.py tests/crash/*_test.py tests/jobs/*_test.py; do
    [ -e "$suite" ] || continue
    step "$(basename "$suite" .py)" timeout -k 10 900 /usr/bin/python3 "$suite"
  done
  build asan --target unit_tests
  step asan-canary tests/sanitizer_canary.sh build/asan
  export ASAN_OPTIONS=detect_leaks=1 LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
  step asan-unit ctest --test-dir build/asan -R '^unit/' --output-on-failure --timeout 300 -j2
fi

echo
echo "logs: $logs; $((SECONDS - began)) s in all${failures:+; failed:$failures}"
echo "$passed passed, $failed failed, $skipped skipped"
[ -z "$failures" ] && [ "$passed" -gt 0 ]
