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
"""What differs between the releases of Cinder that are tested."""

# Eventlet and Cinder have no types for their users.
# mypy: disable-error-code="attr-defined,import-untyped,import-not-found"

import importlib.util
from typing import NamedTuple

# By its value Cinder decides between eventlet and native threads, from 29 on.
NATIVE_THREADS = 'OS_CINDER_DISABLE_EVENTLET_PATCHING'


class Release(NamedTuple):
    """A release of Cinder.

    :param cinder: its major version
    :param series: the release of OpenStack that it belongs to
    :param pythons: the versions that its package names, of those that this
        driver takes
    """
    cinder: int
    series: str
    pythons: tuple[str, ...]


RELEASES = (
    Release(24, '2024.1', ('3.10', '3.11')),
    Release(25, '2024.2', ('3.10', '3.11')),
    Release(26, '2025.1', ('3.10', '3.11')),
    Release(27, '2025.2', ('3.10', '3.11', '3.12')),
    Release(28, '2026.1', ('3.10', '3.11', '3.12', '3.13')),
    Release(29, '2026.2', ('3.11', '3.12', '3.13')),
)


def has_native_threads() -> bool:
    """Whether the Cinder that is installed here runs in native threads."""
    return importlib.util.find_spec('cinder.monkey_patch') is not None


def patch() -> None:
    """Have what is imported from now on use eventlet, as Cinder itself has.

    It does not where native threads are asked for.
    """
    if has_native_threads():
        from cinder import monkey_patch
        monkey_patch.patch()
        return
    import eventlet
    eventlet.monkey_patch()
    # See https://github.com/eventlet/eventlet/issues/592
    import __original_module_threading as original
    import threading
    original.current_thread.__globals__['_active'] = threading._active


def is_native() -> bool:
    """Whether this process is one of native threads."""
    if not has_native_threads():
        return False
    from cinder import monkey_patch
    return not monkey_patch.is_patched()
