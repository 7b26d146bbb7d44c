#!/bin/sh
# Plays `python -m pip download`. It is called by a link, and serves the wheels that lie beside it.
here=$(dirname "$0")
echo "$*" >>"$here/calls"
if [ -f "$here/slow" ]; then
    echo $$ >"$here/pid"
    exec sleep 60
fi
if [ -f "$here/refuse" ]; then
    cat "$here/refuse" >&2
    exit 1
fi
while [ $# -gt 1 ]; do
    if [ "$1" = --dest ]; then
        dest=$2
    fi
    shift
done
cp "$here/$(echo "$1" | sed 's/==/-/').whl" "$dest/"
