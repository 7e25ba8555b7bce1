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

# Make a package of the driver for the Cinder of Debian or Ubuntu:
#
#     tools/debian_package.sh DIRECTORY
#
# Their Cinder is in /usr/lib/python3/dist-packages. pip installs elsewhere,
# where the driver would not be found: it has to be in Cinder's directory.

set -euo pipefail

tree=$(cd "$(dirname "$0")/.." && pwd)
directory=${1:?where the package is to go}
driver=cinder/volume/drivers/lightos
version=$(sed -n "s/^    VERSION = '\(.*\)'$/\1/p" "$tree/$driver/driver.py")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

install -d "$root/DEBIAN" "$root/usr/bin" \
    "$root/usr/lib/python3/dist-packages/$driver"
install -m 644 "$tree/$driver"/*.py \
    "$root/usr/lib/python3/dist-packages/$driver"
cat >"$root/usr/bin/lightos-audit" <<'END'
#!/usr/bin/python3
import sys

from cinder.volume.drivers.lightos import audit

sys.exit(audit.main())
END
chmod 755 "$root/usr/bin/lightos-audit"
cat >"$root/DEBIAN/control" <<END
Package: cinder-lightos
Version: $version
Architecture: all
Maintainer: whoever built it <root@localhost>
Depends: python3-cinder (>= 2:24)
Section: net
Priority: optional
Description: Lightbits LightOS volume driver for Cinder
 It takes the place of the driver of that name in Cinder's release as long as
 it is installed.
END
cat >"$root/DEBIAN/postinst" <<'END'
#!/bin/sh
set -e
if [ "$1" = configure ]; then py3compile -p cinder-lightos; fi
END
cat >"$root/DEBIAN/prerm" <<'END'
#!/bin/sh
set -e
py3clean -p cinder-lightos
END
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm"
dpkg-deb --root-owner-group --build "$root" "$directory"
