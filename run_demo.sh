#!/bin/bash
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
#
# Run the LightOS driver in a Cinder of its own: run_demo.sh --help

set -euo pipefail

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} \
            python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
                2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "run_demo.sh needs Python 3.11 or newer on the PATH, or its path in" \
         "the variable PYTHON." >&2
    return 1
}

if [[ $(uname -s) != Linux ]]; then
    echo "run_demo.sh needs Linux: the nodes of the simulated cluster have" \
         "loopback addresses of their own." >&2
    exit 1
fi
python=$(find_python)
if ! missing=$("$python" -c 'import ensurepip, sqlite3, ssl, venv' 2>&1); then
    echo "run_demo.sh needs a complete Python. $python says:" \
         "${missing##*$'\n'}. On Debian: apt-get install python3-venv" >&2
    exit 1
fi
PYTHONPATH="$tree/tools" exec "$python" -P -m demo "$@"
