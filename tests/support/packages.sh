# Installs what a script of this project needs, on Debian and Ubuntu; on other systems names what is missing and stops.
# Sourced by tests/run.sh and examples/demo.sh (POSIX sh):  need_packages g++ cmake ...   need_catch2

say() { printf '%s\n' "$*"; }
stop() { printf '%s\n' "$*" >&2; exit 2; }

# The command that shows a package is there; packages without a command are asked of dpkg.
command_of() {
  case $1 in
    ninja-build) say ninja ;;
    pkg-config | g++ | clang | cmake | make | python3 | git) say "$1" ;;
    *) say "" ;;
  esac
}

have_package() {
  probe=$(command_of "$1")
  if [ -n "$probe" ]; then
    command -v "$probe" >/dev/null 2>&1
  elif [ "$1" = python3-venv ]; then
    python3 -c 'import ensurepip, venv' >/dev/null 2>&1
  else
    dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'
  fi
}

system_name() { (. /etc/os-release 2>/dev/null && printf '%s %s' "${ID:-unknown}" "${VERSION_ID:-}") || printf unknown; }

# Runs a command as root: directly, or through sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null 2>&1; then sudo "$@"
  else stop "This needs root and there is no sudo: $*"
  fi
}

apt_updated=no
apt_update() {
  [ "$apt_updated" = yes ] && return 0
  say "+ apt-get update"
  as_root apt-get update -qq || stop "apt-get update failed"
  apt_updated=yes
}

apt_install() {
  apt_update
  say "+ apt-get install --no-install-recommends $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
    stop "apt-get install $* failed"
}

# need_packages NAME...: installs those that are absent.
need_packages() {
  missing=""
  for package in "$@"; do have_package "$package" || missing="$missing $package"; done
  [ -z "$missing" ] && return 0
  case $(system_name) in
    "debian 12" | "debian 13" | "ubuntu 24.04") ;;
    *) stop "Missing:$missing. Install them with your system's package manager and run this again (only Debian 12, Debian 13 and Ubuntu 24.04 are set up automatically; this is $(system_name))." ;;
  esac
  say "Missing:$missing. Installing through apt."
  # Word splitting gives one argument for each package.
  # shellcheck disable=SC2086
  apt_install $missing
}

have_catch2() {
  for config in /usr/lib/cmake/Catch2 /usr/lib/*/cmake/Catch2 /usr/share/cmake/Catch2 /usr/local/lib/cmake/Catch2 \
    /usr/local/share/cmake/Catch2 /opt/homebrew/lib/cmake/Catch2 "${CMAKE_PREFIX_PATH:-/nowhere}"/lib/cmake/Catch2; do
    [ -f "$config/Catch2Config.cmake" ] || continue
    grep -q '"3\.' "$config/Catch2ConfigVersion.cmake" && return 0
  done
  return 1
}

candidate_major() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([0-9]*\)\..*/\1/p'; }

# need_catch2: Catch2 of major version 3. Debian 12 has version 2; its backports have version 3.
need_catch2() {
  have_catch2 && return 0
  case $(system_name) in
    "debian 12")
      apt_update
      if ! apt-cache policy libcatch2-dev 2>/dev/null | grep -q bookworm-backports; then
        mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
          awk '$2 == "bookworm" {print $1; exit}')
        [ -n "$mirror" ] || mirror=http://deb.debian.org/debian/
        say "Catch2 3 comes from bookworm-backports; adding $mirror to /etc/apt/sources.list.d/nbit-backports.sources"
        printf 'Types: deb\nURIs: %s\nSuites: bookworm-backports\nComponents: main\nSigned-By: %s\n' "$mirror" \
          /usr/share/keyrings/debian-archive-keyring.gpg |
          as_root tee /etc/apt/sources.list.d/nbit-backports.sources >/dev/null
        apt_updated=no
        apt_update
      fi
      say "+ apt-get install -t bookworm-backports --no-install-recommends libcatch2-dev"
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -t bookworm-backports --no-install-recommends \
        libcatch2-dev >/dev/null || stop "installing libcatch2-dev from bookworm-backports failed"
      ;;
    "debian 13" | "ubuntu 24.04")
      apt_update
      for package in libcatch2-dev catch2; do
        [ "$(candidate_major "$package")" = 3 ] && apt_install "$package" && return 0
      done
      stop "no Catch2 3 in the package lists (on Ubuntu it is in 'universe')"
      ;;
    *) stop "Missing: Catch2 3 (https://github.com/catchorg/Catch2). Install it so that CMake's find_package(Catch2 3) finds it and run this again." ;;
  esac
}

# need_cross_compilers: what tests/cross uses. A system without one of them tests the other machines.
need_cross_compilers() {
  case $(system_name) in
    "debian 12" | "debian 13" | "ubuntu 24.04") ;;
    *) return 0 ;;
  esac
  wanted="qemu-user g++-aarch64-linux-gnu g++-riscv64-linux-gnu g++-s390x-linux-gnu"
  if ! command -v clang++-16 >/dev/null 2>&1 && ! command -v clang++-19 >/dev/null 2>&1; then
    apt_update
    for package in clang-16 clang-19; do
      apt-cache policy $package 2>/dev/null | grep -q 'Candidate: [0-9]' && wanted="$wanted $package" && break
    done
  fi
  # shellcheck disable=SC2086
  need_packages $wanted
}
