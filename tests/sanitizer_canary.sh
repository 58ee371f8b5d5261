#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# sanitizer_canary.sh BUILD: proves that the sanitizer build does catch a use after free and an overflow: the canary program,
# compiled with the same flags, must die with a report.
set -u
canary=$1/tests/sanitizer_canary
for fault in use-after-free signed-overflow; do
  output=$("$canary" "$fault" 2>&1) && { echo "FAIL: $fault was not caught"; echo "0 passed, 1 failed"; exit 1; }
  case $output in *AddressSanitizer*|*"runtime error"*) ;; *) echo "FAIL: $fault died without a report: $output"; exit 1 ;; esac
done
echo "2 passed, 0 failed"
