#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/format.sh [FILE...]: formats the C++ sources as .clang-format says. Needs clang-format 14 (Debian 12: clang-format-14):
# other versions format differently.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v clang-format-14 >/dev/null || { echo "format.sh: install clang-format-14" >&2; exit 1; }
[ $# -gt 0 ] || mapfile -t files < <(git ls-files '*.cc' '*.h')
clang-format-14 -i --style=file "${@:-${files[@]}}"
