#!/bin/sh
# Makes ./configure out of a fresh checkout.
set -e
cd "$(dirname "$0")"
exec autoreconf --install --force
