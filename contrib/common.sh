# SPDX-License-Identifier: GPL-2.0-or-later
# What quickstart, check and install share: packages, logs, cleaning up.  To be
# sourced by bash; the caller has set `top` (the tree) and runs with set -eu.
# shellcheck shell=bash disable=SC2034,SC2154

PROG=${0##*/}
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec </dev/null

BUILD_PACKAGES="build-essential autoconf automake pkg-config scdoc libyaml-dev libjansson-dev
	libevent-dev libcurl4-openssl-dev libnl-3-dev libnl-route-3-dev libnftables-dev libsmartcols-dev check"
LAB_PACKAGES="bird2 python3 iproute2 iputils-ping procps util-linux"

start_time=$SECONDS
cleanups=()
job=

die() {
	printf '%s: %s\n' "$PROG" "$*" >&2
	exit 1
}

# ---------------------------------------------------------------- the end

# at_exit COMMAND: run when the script ends, however it ends; the last one first.
at_exit() {
	cleanups+=("$1")
}

end() {
	local status=$? i
	trap '' INT TERM HUP
	set +e
	if [ -n "$job" ]; then
		kill "$job" 2>/dev/null
		wait "$job" 2>/dev/null
	fi
	for ((i = ${#cleanups[@]} - 1; i >= 0; i--)); do
		${cleanups[i]}
	done
	exit "$status"
}
trap end EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# ---------------------------------------------------------------- running things

elapsed() {
	local s=$((SECONDS - start_time))
	printf '%d:%02d' $((s / 60)) $((s % 60))
}

# run_logged LOG SECONDS COMMAND...: the output goes to the end of LOG.  In the
# background with a wait, so that a signal to us is dealt with at once.
run_logged() {
	local log=$1 limit=$2 status=0
	shift 2
	printf '\n$ %s\n' "$*" >>"$log"
	timeout --kill-after=20 "$limit" "$@" >>"$log" 2>&1 &
	job=$!
	wait "$job" || status=$?
	job=
	if [ "$status" = 124 ]; then
		printf '%s: not done after %s s\n' "$1" "$limit" >>"$log"
	fi
	return "$status"
}

show_tail() {
	printf -- '---- the end of %s:\n' "$1"
	tail -n "${2:-30}" "$1"
	printf -- '----\n'
}

# ---------------------------------------------------------------- packages

missing_packages() {
	local package
	for package; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
			printf '%s ' "$package"
	done
}

# Debian starts a daemon as soon as its package is there.  Here nobody asked for a
# bird or an frr on this machine itself, so the packages are told not to; unless
# the machine has a policy of its own, which is then left alone.
POLICY=/usr/sbin/policy-rc.d
POLICY_MARK='# put here by Roost while it installs packages'

forbid_services() {
	if [ -e $POLICY ] && ! grep -qs "^$POLICY_MARK" $POLICY; then
		return
	fi
	at_exit allow_services
	printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" >$POLICY.new
	chmod 755 $POLICY.new
	mv $POLICY.new $POLICY
}

allow_services() {
	rm -f $POLICY.new
	if grep -qs "^$POLICY_MARK" $POLICY; then
		rm -f $POLICY
	fi
}

# install_packages LOG PACKAGE...
install_packages() {
	local log=$1
	shift
	forbid_services
	# The first: a no-op, unless somebody interrupted a dpkg.
	if ! run_logged "$log" 600 dpkg --configure -a ||
		! run_logged "$log" 600 apt-get update ||
		! run_logged "$log" 1800 apt-get install -y --no-install-recommends "$@"; then
		show_tail "$log"
		die "apt-get could not install: $*"
	fi
	allow_services
}

# ---------------------------------------------------------------- the tree

# as_owner: what to put before a command so that it runs as the one who owns the
# tree; building as root would leave files of root's in somebody's checkout.
as_owner=()
if [ "$(id -u)" = 0 ] && owner=$(stat -c %U "$top") && [ "$owner" != root ] &&
	id "$owner" >/dev/null 2>&1; then
	as_owner=(runuser -u "$owner" --)
fi

# Where this tree is built: in the tree itself if somebody configured it there
# (make then allows no other place), else in build/.
build_folder() {
	if [ -e "$top/config.status" ]; then
		printf '%s\n' "$top"
	else
		printf '%s\n' "$top/build"
	fi
}

# The files git knows and the new ones it does not ignore; from a tarball all but
# what configure and make left there.
list_files() {
	if [ -e "$top/.git" ]; then
		git -c safe.directory='*' -C "$top" ls-files -z --cached --others --exclude-standard
	else
		(cd "$top" && find . \( -path ./build -o -name autom4te.cache -o -name .deps -o \
			-name __pycache__ \) -prune -o -type f ! -name '*.[oa]' ! -name '*.log' \
			! -name '*.trs' ! -name config.status ! -name config.h ! -name stamp-h1 -print0)
	fi
}

# copy_tree FOLDER
copy_tree() {
	list_files | sort -zu | while IFS= read -r -d '' file; do
		[ ! -e "$top/$file" ] || printf '%s\0' "$file"
	done | tar -C "$top" --null -T - -cf - | tar -C "$1" -xf -
}

# build_tree LOG: configure what is not configured, make what is not made.
build_tree() {
	local log=$1 build
	build=$(build_folder)
	if [ ! -e "$top/configure" ] || [ ! -e "$top/Makefile.in" ]; then
		run_logged "$log" 300 "${as_owner[@]}" "$top/autogen.sh" || return 1
	fi
	if [ ! -e "$build/config.status" ]; then
		run_logged "$log" 300 "${as_owner[@]}" env -C "$build" ../configure || return 1
	fi
	run_logged "$log" 900 "${as_owner[@]}" make -C "$build" -j"$(nproc)"
}
