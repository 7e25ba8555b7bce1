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

# Check the types of the driver in the installed Cinder. mypy does not look
# into site-packages for what it is to check, so Cinder (which has the driver
# linked into it) is shown to it under another directory.

set -euo pipefail

tree=$(cd "$(dirname "$0")/.." && pwd)
site=$(python -c 'import cinder; print(cinder.__path__[0])')
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
ln -s "$site" "$directory/cinder"
cd "$directory"
mypy --config-file "$tree/setup.cfg" -p cinder.volume.drivers.lightos
