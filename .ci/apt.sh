# apt_install PACKAGE: install it by apt as root or by sudo without a password; fail where neither is allowed.
apt_install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    if [ "$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else return 1; fi
    echo "Installing $1 ..."
    # The lists of a fresh container are empty; those of an old one may name versions that are gone.
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    $as_root timeout 180 apt-get install -y -qq --no-install-recommends "$1" >/dev/null 2>&1 && return 0
    $as_root timeout 120 apt-get update -qq >/dev/null 2>&1
    $as_root timeout 180 apt-get install -y -qq --no-install-recommends "$1" >/dev/null 2>&1
}
