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

# Check the release notes and build their pages into releasenotes/build/html.

set -euo pipefail

tree=$(cd "$(dirname "$0")/.." && pwd)
repository=$tree
# reno walks the whole history and fails where it is cut off. Without it all
# notes are shown as those of the version in work.
if ! git -C "$tree" rev-parse --verify --quiet HEAD >/dev/null 2>&1 ||
    [ "$(git -C "$tree" rev-parse --is-shallow-repository)" != false ]; then
    echo "The history is not complete: notes are not told apart by version."
    repository=$(mktemp -d)
    trap 'rm -rf "$repository"' EXIT
    mkdir "$repository/releasenotes"
    cp -r "$tree/releasenotes/notes" "$tree/releasenotes/source" \
        "$repository/releasenotes"
    git -C "$repository" init --quiet
    git -C "$repository" add releasenotes
    git -C "$repository" -c user.name=releasenotes \
        -c user.email=releasenotes@localhost commit --quiet --message notes
fi
cd "$repository"
reno lint
sphinx-build -W --keep-going -E -a -b html \
    -d "$tree/releasenotes/build/doctrees" \
    releasenotes/source "$tree/releasenotes/build/html"
