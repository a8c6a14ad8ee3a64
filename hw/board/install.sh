#!/bin/sh
# Installs the runtime on a board: ./install.sh [--prefix DIR] [--python PROGRAM]
# Needs Python 3.10 to 3.12, numpy 1.21 to 1.26, pynq 3.x and tqdm, as a PYNQ image has them; no network.
#
# DIR is a folder of this program's own, marked as such: .cpt-board, releases/N, current -> releases/N, bin/cpt.
# A new release is complete and has been started once before `current` leads to it; the old one stays until then.
set -eu
umask 022

fail() {
    echo "install: $1" >&2
    exit 2
}

quoted() {
    # as one word of a shell script
    printf "'%s'" "$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g")"
}

launcher() {
    # the script that starts the release at $1
    cat <<LAUNCHER
#!/bin/sh
# pynq on a board needs what these set: the path of XRT and of its own environment.
for settings in /etc/profile.d/pynq_venv.sh /etc/profile.d/xrt_setup.sh; do
    [ -r "\$settings" ] && . "\$settings" >/dev/null 2>&1
done
# An empty or relative entry would make Python run files of the current folder.
kept=
IFS=:
set -f
for entry in \${PYTHONPATH:-}; do
    case "\$entry" in /*) kept="\${kept:+\$kept:}\$entry" ;; esac
done
set +f
unset IFS PYTHONPATH
[ -z "\$kept" ] || export PYTHONPATH="\$kept"
exec $(quoted "$python") $(quoted "$1/lib/start.py") "\$@"
LAUNCHER
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
prefix=/opt/cpt
python=
while [ $# -gt 0 ]; do
    case "$1" in
        --prefix) prefix=${2:-}; shift ;;
        --python) python=${2:-}; shift ;;
        *) fail "option is $1; allowed: --prefix DIR, --python PROGRAM" ;;
    esac
    [ $# -gt 0 ] && shift
done
[ -n "$prefix" ] || fail "prefix is empty; allowed: a folder"
case "$prefix" in
    *'
'*) fail "prefix has a line break; allowed: a folder without" ;;
    /*) ;;
    *) prefix=$(pwd)/$prefix ;;
esac

if [ -z "$python" ]; then
    python=/usr/local/share/pynq-venv/bin/python3
    [ -x "$python" ] || python=$(command -v python3) || fail "python3 is missing; allowed: Python 3.10 to 3.12"
fi
command -v -- "$python" >/dev/null || fail "python is $python; allowed: a program that starts Python"
python=$(command -v -- "$python")
case "$python" in /*) ;; *) python=$(pwd)/$python ;; esac
"$python" "$here/requirements.py" || exit 2

mark=$prefix/.cpt-board
if [ -e "$prefix" ] && [ ! -f "$mark" ] && { [ ! -d "$prefix" ] || [ -n "$(ls -A "$prefix")" ]; }; then
    fail "$prefix holds what this installer did not put there; allowed: a new or an empty folder"
fi
{ mkdir -p "$prefix/bin" "$prefix/releases" && : > "$mark"; } 2>/dev/null ||
    fail "$prefix cannot be written; allowed: run as root, or --prefix DIR"
chmod 755 "$prefix" "$prefix/bin" "$prefix/releases"

number=1
while [ -e "$prefix/releases/$number" ]; do number=$((number + 1)); done
new=$prefix/releases/$number
trap 'rm -rf "$new" "$prefix/.current.$$" "$prefix/bin/.cpt.$$"' EXIT
mkdir "$new"
cp -R "$here/lib" "$new/lib"
if [ -d "$here/bitstream" ]; then cp -R "$here/bitstream" "$new/bitstream"; fi
cat > "$new/lib/start.py" <<'START'
"""Starts the command; Python then looks for modules beside this file, not in the current folder."""

import os
import sys

from cpt.main import main

sys.argv[0] = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "bin", "cpt")
sys.exit(main())
START
chmod -R u=rwX,go=rX "$new"
launcher "$new" > "$new/check"
sh "$new/check" bits >/dev/null || fail "$new does not start; its message stands above"
rm "$new/check"

ln -s "releases/$number" "$prefix/.current.$$"
mv -T "$prefix/.current.$$" "$prefix/current"
trap 'rm -rf "$prefix/bin/.cpt.$$"' EXIT
launcher "$prefix/current" > "$prefix/bin/.cpt.$$"
chmod 755 "$prefix/bin/.cpt.$$"
mv -f "$prefix/bin/.cpt.$$" "$prefix/bin/cpt"
for old in "$prefix"/releases/*; do
    [ "$old" = "$new" ] || rm -rf "$old"
done
echo "installed: $prefix/bin/cpt"
