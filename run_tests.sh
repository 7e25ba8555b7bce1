#!/usr/bin/env bash
#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

# Run the checks and tests of this tree. "./run_tests.sh --help" says how.

set -uo pipefail
cd "$(dirname "$0")" || exit 1

# Name of the stage, then the tox environment that does it and what that is
# given. A line "SUITE: N passed, N failed, N skipped" in the output counts;
# where there is none each command that tox runs counts as one.
STAGES=(
    'style          pep8'
    'unit           py3 -- unit'
    'shipped        py3 -- shipped'
    'compliance     py3 -- compliance'
    'simulator      py3 -- simulator'
    'properties     py3 -- properties'
    'requests       py3 -- requests'
    'packaging      py3 -- packaging devstack'
    'demo           py3 -- demo'
    'features       py3 -- features'
    'audit          py3 -- audit'
)
FULL_STAGES=(
    'faults         py3 -- faults'
    'outages        py3 -- outages'
    'operations     py3 -- operations'
    'administration py3 -- administration'
    'controllers    py3 -- controllers'
    'bytes          py3 -- bytes'
    'images         py3 -- images'
    'nvme           py3 -- nvme'
    'coverage       cover'
    'docs           docs'
    'releasenotes   releasenotes'
    'cinder-24      cinder-24'
    'release        py3 -- release'
    'cinder-tree    cinder-tree'
    'model          py3 -- model'
)

TOX=.tox/run_tests/bin/tox
LOGS=.tox/logs

usage() {
    cat <<EOF
Usage: ./run_tests.sh [--full] [STAGE ...] [-- ARGUMENT ...]
       ./run_tests.sh --cinder N
       ./run_tests.sh --matrix [--json FILE] [N[/PYTHON] ...]

Without a STAGE all of these are run:
 $(printf ' %s' "${STAGES[@]%% *}")
--full       these as well:
 $(printf ' %s' "${FULL_STAGES[@]%% *}")
--cinder N   with major version N (24 to 29) of Cinder the unit tests, its check
             of the interface, the demonstration and the package
--matrix     the same with each Cinder from 24 to 29 and each Python that it
             takes, or with those that are named: 24 or 24/3.10

An ARGUMENT goes to "stestr run", a regular expression of names of tests for
instance: ./run_tests.sh unit -- test_access

PYTHON is the interpreter to use, by default the first of python3, python3.13,
python3.12 and python3.11 that Cinder 29 supports. The logs are in $LOGS.
The exit status is 0 if nothing failed. With CI=true a stage that could not be
run counts as failed.
EOF
}

die() {
    echo "run_tests.sh: $*" >&2
    exit 2
}

find_python() {
    local candidate candidates=(python3 python3.13 python3.12 python3.11)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import sys
sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    die "this needs Python 3.11, 3.12 or 3.13 and found none as" \
        "${candidates[*]}. Set PYTHON to one."
}

make_tox() {
    local python
    "$TOX" --version >/dev/null 2>&1 && return
    python=$(find_python) || exit
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python cannot make virtual environments." \
            "On Debian and Ubuntu: apt-get install python3-venv"
    if ! { "$python" -m venv --clear .tox/run_tests &&
        .tox/run_tests/bin/python -m pip install 'tox>=4.11'; } \
        >"$LOGS/tox.log" 2>&1; then
        die "tox could not be installed, see $LOGS/tox.log"
    fi
}

# stage_command NAME: print what tox is given for the stage.
stage_command() {
    local stage name command
    for stage in "${STAGES[@]}" "${FULL_STAGES[@]}"; do
        read -r name command <<<"$stage"
        if [ "$name" = "$1" ]; then
            echo "$command"
            return
        fi
    done
    [[ $1 = cinder-2[4-9] ]] && echo "$1"
}

# count LOG STATUS: print how many passed, failed and were skipped.
count() {
    awk -v status="$2" '
        /^[a-z]+: [0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ {
            passed += $2; failed += $4; skipped += $6; suites++
        }
        / commands\[[0-9]+\]> / { commands++ }
        /^[^ ]+: exit -?[0-9]+ \(/ { broken++ }
        END {
            if (!suites) { passed = commands - broken; failed = broken }
            if (passed < 0) passed = 0
            if (status != 0 && failed == 0) failed = 1
            print passed + 0, failed + 0, skipped + 0
        }' "$1"
}

# run_stage NAME COMMAND...: print a line and add to the sums.
run_stage() {
    local name=$1 log=$LOGS/$1.log started=$SECONDS status=0
    local result=ok note='' passed failed skipped
    printf '%-14s ' "$name"
    "$TOX" run -e "${@:2}" >"$log" 2>&1 || status=$?
    read -r passed failed skipped <<<"$(count "$log" "$status")"
    note=$(sed -n 's/.*could not find python interpreter.* specs* //p' "$log" |
        head -n 1)
    if [ -n "$note" ]; then
        result=skipped note=" (there is no $note)" failed=0 skipped=1
    elif [ "$failed" -gt 0 ]; then
        result=FAILED note=" ($log)"
    elif [ "$passed" -eq 0 ]; then
        note=$(sed -n 's/^[a-z]*: not run: //p' "$log" | head -n 1)
        result=skipped note=" (not run: ${note:-nothing}, $log)"
    fi
    if [ "$result" = skipped ] && [ "${CI:-}" = true ]; then
        result=FAILED failed=1 skipped=0
    fi
    printf '%-7s %4d s  %d passed, %d failed, %d skipped%s\n' "$result" \
        $((SECONDS - started)) "$passed" "$failed" "$skipped" "$note"
    sed -n 's/^[a-z]*: failed: /  /p' "$log"
    PASSED=$((PASSED + passed))
    FAILED=$((FAILED + failed))
    SKIPPED=$((SKIPPED + skipped))
}

selected=()
full=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    case $1 in
    -h | --help)
        usage
        exit
        ;;
    --full) full=yes ;;
    --matrix)
        mkdir -p "$LOGS"
        make_tox
        exec .tox/run_tests/bin/python tools/matrix.py "${@:2}"
        ;;
    --cinder)
        [[ ${2:-} =~ ^2[4-9]$ ]] ||
            die "--cinder takes a major version of Cinder, 24 to 29"
        selected+=("cinder-$2")
        shift
        ;;
    *)
        [ -n "$(stage_command "$1")" ] ||
            die "there is no stage $1, see ./run_tests.sh --help"
        selected+=("$1")
        ;;
    esac
    shift
done
if [ ${#selected[@]} -eq 0 ]; then
    selected=("${STAGES[@]%% *}")
    [ -z "$full" ] || selected+=("${FULL_STAGES[@]%% *}")
fi

mkdir -p "$LOGS"
make_tox
PASSED=0 FAILED=0 SKIPPED=0
for stage in "${selected[@]}"; do
    read -ra command <<<"$(stage_command "$stage")"
    if [ $# -gt 1 ]; then
        [[ ${command[*]} = *' -- '* ]] || command+=(--)
        command+=("${@:2}")
    fi
    run_stage "$stage" "${command[@]}"
done
echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
[ "$FAILED" -eq 0 ]
