#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench/install-peers.sh [s3fs] [rclone] [juicefs] [geesefs] [mountpoint]: installs what bench/run compares Leat with.
# Without names: s3fs, rclone and juicefs. s3fs, rclone and redis-server come as Debian packages; the others are built from
# source into build/peers/bin, where bench/peers.py looks first. What cannot be installed here is one line; the exit code is 0 all
# the same. JuiceFS and GeeseFS need Go 1.25, Mountpoint needs cargo; GEESEFS_SOURCE, MOUNTPOINT_SOURCE: other repositories.
set -uo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
bin=$top/build/peers/bin
source=$top/build/peers/source
log=$top/build/peers/install.log
juicefs_version=v1.4.1
geesefs_version=v0.43.8

case " $* " in *" -h "* | *" --help "*) sed -n '3,6s/^# \?//p' "$0"; exit 0 ;; esac
for name in "$@"; do
  case $name in
    s3fs | rclone | juicefs | geesefs | mountpoint) ;;
    *) echo "install-peers: no peer '$name': s3fs, rclone, juicefs, geesefs or mountpoint" >&2; exit 2 ;;
  esac
done
mkdir -p "$bin" "$source"
: >"$log"
go=$(command -v go || ls /usr/local/go/bin/go /usr/lib/go-1.2[5-9]/bin/go 2>/dev/null | tail -n 1)

say() { echo "install-peers: $*"; }
quietly() { echo "+ $*" >>"$log"; nice -n 15 "$@" >>"$log" 2>&1; }
last_words() { grep -v '^+' "$log" | tail -n 1 | cut -c1-160; }

packages() {  # PACKAGE...: those that are missing, with sudo unless root
  local missing="" package sudo=""
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=" $package"
  done
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null || { echo "not Debian or Ubuntu; install$missing" >>"$log"; return 1; }
  [ "$(id -u)" = 0 ] || sudo=sudo
  say "installing Debian packages:$missing"
  quietly $sudo apt-get update -qq
  # shellcheck disable=SC2086  # the list is words on purpose
  quietly $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
}

have_go() {
  local minor
  [ -n "$go" ] || { echo "no Go here: install Go 1.25 or newer" >>"$log"; return 1; }
  minor=$("$go" env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
  [ "${minor:-0}" -ge 25 ] || { echo "$("$go" env GOVERSION) is too old: install Go 1.25 or newer" >>"$log"; return 1; }
}

checkout() {  # NAME URL REVISION: one commit; one that is there already is used as it is
  [ -d "$source/$1/.git" ] || quietly git clone -q --depth 1 --branch "$3" "$2" "$source/$1"
}

install_s3fs() { packages s3fs; }
install_rclone() { packages rclone; }

install_juicefs() {
  packages redis-server && have_go || return 1
  [ ! -x "$bin/juicefs" ] || return 0
  local module=github.com/juicedata/juicefs directory
  quietly "$go" mod download "$module@$juicefs_version" || return 1
  directory=$("$go" env GOMODCACHE)/$module@$juicefs_version
  # `go install MODULE@VERSION` refuses a module with replacements, so it is built where the module cache holds it. The tags are
  # those of `make juicefs.lite`: only Redis for metadata, no object storage but S3's kin.
  local tags=nogateway,nowebdav,nocos,nobos,nohdfs,noibmcos,noobs,nooss,noqingstor,nosftp,noswift,noazure,nogs,noufile,nob2,nonfs
  tags+=,nodragonfly,nosqlite,nomysql,nopg,notikv,nobadger,noetcd,nocifs,nostorj,noqiniu,notos,noks3
  quietly "$go" -C "$directory" build -mod=readonly -tags "$tags" -ldflags "-s -w" -o "$bin/juicefs" .
}

install_geesefs() {
  have_go || return 1
  [ ! -x "$bin/geesefs" ] || return 0
  # Not `go install`: the module replaces a dependency by a folder of its own repository, which the module's archive leaves out.
  checkout geesefs "${GEESEFS_SOURCE:-https://github.com/yandex-cloud/geesefs}" "$geesefs_version" || return 1
  CGO_ENABLED=0 quietly "$go" -C "$source/geesefs" build -ldflags "-s -w -X main.Version=$geesefs_version" -o "$bin/geesefs" .
}

install_mountpoint() {
  command -v cargo >/dev/null || { echo "no cargo here: install Rust" >>"$log"; return 1; }
  [ ! -x "$bin/mount-s3" ] || return 0
  packages libfuse-dev clang cmake pkg-config git || return 1
  checkout mountpoint "${MOUNTPOINT_SOURCE:-https://github.com/awslabs/mountpoint-s3}" "${MOUNTPOINT_REVISION:-main}" || return 1
  # The program alone is taken from the checkout; its libraries come from crates.io, which spares the C libraries' submodules.
  local program=$source/mountpoint/mountpoint-s3 library
  for library in mountpoint-s3-fs mountpoint-s3-client; do
    local version
    version=$(sed -n "s/^$library = .*version = \"\([0-9.]*\)\".*/\1/p" "$source/mountpoint/Cargo.toml")
    [ -n "$version" ] || continue
    sed -i "s/^$library = { workspace = true }/$library = \"$version\"/" "$program/Cargo.toml"
  done
  sed -i '/^\[dev-dependencies\]/,/^$/d' "$program/Cargo.toml"
  grep -q '^\[workspace\]' "$program/Cargo.toml" ||
    printf '\n[workspace]\n\n[profile.release]\nlto = true\ncodegen-units = 1\n' >>"$program/Cargo.toml"  # its own profile
  quietly cargo build --manifest-path "$program/Cargo.toml" --release --bin mount-s3 &&
    cp "$program/target/release/mount-s3" "$bin/"
}

for name in "${@:-s3fs rclone juicefs}"; do
  for peer in $name; do
    if "install_$peer"; then
      say "$peer: installed"
    else
      say "$peer: not installed: $(last_words) (all of it: ${log#"$top"/})"
    fi
  done
done
exec python3 "$top/bench/peers.py"
