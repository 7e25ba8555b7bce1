# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""Network namespaces: one for each node, joined to this host by a cable.

A cable is a pair of virtual Ethernet interfaces. What a node listens on is
made inside its namespace; it stays there wherever it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import ctypes
import os
import subprocess

# linux/sched.h
_NEW_NETWORK = 0x40000000


class NamespaceError(Exception):
    """The system refuses; the text says what."""


class Node:
    """The namespace of a node and its cable.

    :param index: the node's place in the cluster
    :param address: its own, IPv4
    :param host_address: that of this host, as the node sees it
    """

    def __init__(self, index: int, address: str, host_address: str) -> None:
        self.address = address
        self.name = 'lightos%d' % index
        self._host_address = host_address

    def create(self) -> None:
        """Make it, and what an earlier run has left anew."""
        self.remove()
        here, there = self.name, 'node'
        _ip('netns', 'add', self.name)
        _ip('link', 'add', here, 'type', 'veth', 'peer', 'name', there,
            'netns', self.name)
        _ip('address', 'add', self._host_address, 'peer', self.address,
            'dev', here)
        _ip('link', 'set', here, 'up')
        _ip('-n', self.name, 'address', 'add', self.address, 'peer',
            self._host_address, 'dev', there)
        _ip('-n', self.name, 'link', 'set', 'lo', 'up')
        self.set_link(True)

    def set_link(self, up: bool) -> None:
        """Plug the cable in or out, at the node's end."""
        _ip('-n', self.name, 'link', 'set', 'node', 'up' if up else 'down')

    def remove(self) -> None:
        """Take it away, if it is there. The cable goes with it."""
        with contextlib.suppress(NamespaceError):
            _ip('netns', 'delete', self.name)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Let this thread be in the namespace."""
        with open('/proc/thread-self/ns/net', 'rb') as outside, \
                open('/run/netns/' + self.name, 'rb') as place:
            _enter(place.fileno())
            try:
                yield
            finally:
                _enter(outside.fileno())


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _NEW_NETWORK):
        raise NamespaceError('setns: ' + os.strerror(ctypes.get_errno()))


def _ip(*words: str) -> None:
    try:
        done = subprocess.run(['ip', *words], capture_output=True, text=True)
    except FileNotFoundError:
        raise NamespaceError('there is no program ip') from None
    if done.returncode:
        raise NamespaceError('ip %s: %s' % (' '.join(words),
                                            done.stderr.strip()))
