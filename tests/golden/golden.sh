#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# golden -- each CASE/roost.yaml is rendered for each of its nodes with the
# templates of this tree.  The generated files must be, byte for byte, those in
# CASE/NODE/, and the real `bird -p` must accept the whole (skipped, loudly, where
# there is no BIRD).  masquerade.nft is there only for who has NAT rules; that nftables
# accepts them is for the lab tests, because it takes root.  `make update-golden`
# rewrites CASE/NODE/; look at the diff.
set -eu

here=${srcdir:-.}/tests/golden
templates=${srcdir:-.}/bird-templates
out=tests/golden/out
generated='node.conf sessions.conf masquerade.nft'
failed=0 trees=0

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
bird=$(command -v bird || true)

fail() {
	echo "FAIL: $*"
	failed=$((failed + 1))
}

compare() { # CASE/NODE: generated files against the expected ones
	for file in $generated; do
		if ! [ -e "$out/$1/$file" ]; then
			[ -z "${UPDATE_GOLDEN:-}" ] || rm -f "$here/$1/$file"
			! [ -e "$here/$1/$file" ] || fail "$1/$file is not rendered"
		elif [ -n "${UPDATE_GOLDEN:-}" ]; then
			mkdir -p "$here/$1"
			cp "$out/$1/$file" "$here/$1/$file"
		elif ! diff -u "$here/$1/$file" "$out/$1/$file"; then
			fail "$1/$file is not as expected (if it should be so: make update-golden)"
		fi
	done
	for file in "$templates"/*.conf; do
		name=${file##*/}
		[ "$name" = bird.conf ] || cmp "$file" "$out/$1/$name" || fail "$1/$name"
	done
}

check_node() { # CASE NODE
	# A folder's name is cut: an archive cannot hold names of 253 bytes.
	tree=$1/$(printf %.60s "$2")
	mkdir -p "$out/$tree/bird.d"
	if ! ./tests/golden/render_tree "$here/$1/roost.yaml" "$2" "$templates" \
		"$here/$1/bird.d" "$out/$tree"; then
		fail "$tree does not render"
		return
	fi
	trees=$((trees + 1))
	compare "$tree"
	[ -z "$bird" ] || "$bird" -p -c "$out/$tree/bird.conf" || fail "BIRD refuses $tree"
}

rm -rf "$out"
for file in "$here"/*/roost.yaml; do
	dir=${file%/roost.yaml}
	case=${dir##*/}
	nodes=$(./tests/golden/render_tree "$file") || { fail "$case"; continue; }
	for node in $nodes; do
		check_node "$case" "$node"
	done
done

[ "$trees" -gt 0 ] || fail "no case found in $here"
if [ "$failed" -gt 0 ]; then
	echo "$failed failed; what was rendered is in $PWD/$out"
	exit 1
fi
rm -rf "$out"
if [ -z "$bird" ]; then
	echo "SKIP: $trees trees are as expected, but there is no bird here to check them with"
	exit 77
fi
echo "$trees trees are as expected, and $("$bird" --version 2>&1) accepts them"
