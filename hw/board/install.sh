#!/bin/sh
# Installs the runtime on a board: ./install.sh [--prefix DIR] [--python PROGRAM]
# Needs Python 3.10 to 3.12, numpy 1.21 to 1.26, pynq 3.x and tqdm, as a PYNQ image has them; no network.
set -eu

fail() {
    echo "install: $1" >&2
    exit 2
}

here=$(cd "$(dirname "$0")" && pwd)
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

if [ -z "$python" ]; then
    python=/usr/local/share/pynq-venv/bin/python3
    [ -x "$python" ] || python=$(command -v python3) || fail "python3 is missing; allowed: Python 3.10 to 3.12"
fi
command -v "$python" >/dev/null || fail "python is $python; allowed: a program that starts Python"
"$python" "$here/requirements.py" || exit 2

mkdir -p "$prefix" 2>/dev/null || fail "$prefix cannot be written; allowed: run as root, or --prefix DIR"
rm -rf "$prefix/lib.new"
cp -R "$here/lib" "$prefix/lib.new"
rm -rf "$prefix/lib" "$prefix/bitstream"
mv "$prefix/lib.new" "$prefix/lib"
[ -d "$here/bitstream" ] && cp -R "$here/bitstream" "$prefix/bitstream"

mkdir -p "$prefix/bin"
cat > "$prefix/bin/cpt" <<LAUNCHER
#!/bin/sh
# pynq on a board needs what these set: the path of XRT and of its own environment.
for settings in /etc/profile.d/pynq_venv.sh /etc/profile.d/xrt_setup.sh; do
    [ -r "\$settings" ] && . "\$settings" >/dev/null 2>&1
done
PYTHONPATH="$prefix/lib\${PYTHONPATH:+:\$PYTHONPATH}" exec "$python" -m cpt.main "\$@"
LAUNCHER
chmod +x "$prefix/bin/cpt"

"$prefix/bin/cpt" bits >/dev/null || fail "$prefix/bin/cpt does not start; its message stands above"
echo "installed: $prefix/bin/cpt"
