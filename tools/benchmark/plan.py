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
"""What is measured, how often, and what the driver aims at."""

from typing import NamedTuple

DRIVERS = ('ours', 'release')
THREADING = ('native', 'eventlet')

# Seconds that a node may take to answer while one of them is in trouble, so
# that a hung node does not cost the default of 30 for each call.
TROUBLE_TIMEOUT = 3


class Operation(NamedTuple):
    """What the fewest round trips and the cluster's work for it are.

    :param requests: the fewest that the driver's promises allow
    :param works: how many pieces of work must have ended one after the other
        before it may succeed; a volume or snapshot that is Deleting counts
        as deleted
    """

    requests: int
    works: int


OPERATIONS = {
    'create': Operation(2, 1),
    'from snapshot': Operation(2, 1),
    'clone': Operation(5, 2),
    'extend': Operation(3, 1),
    'snapshot create': Operation(2, 1),
    'attach': Operation(3, 1),
    'detach': Operation(3, 1),
    'delete': Operation(3, 0),
    'snapshot delete': Operation(3, 0),
    'stats': Operation(2, 0),
}


class Sweep(NamedTuple):
    """Every operation, one at a time.

    :param work: seconds that the cluster works on each
    :param latency: seconds that the network adds to each round trip
    """

    work: float
    latency: float
    repeats: int


class Batch(NamedTuple):
    """Volumes created at once.

    :param counts: how many
    """

    work: float
    counts: tuple[int, ...]
    repeats: int


class Plan(NamedTuple):
    """A whole run.

    :param rounds: how many volumes each of ``callers`` threads creates, one
        after the other, while a node is in trouble
    :param volumes: how many volumes there are, for what grows with them
    """

    sweeps: tuple[Sweep, ...]
    batches: tuple[Batch, ...]
    threading: tuple[str, ...]
    callers: int
    rounds: int
    trouble_repeats: int
    volumes: tuple[int, ...]
    growth_repeats: int


FULL = Plan(
    sweeps=(Sweep(0, 0, 20), Sweep(0.05, 0, 5), Sweep(0.5, 0, 5),
            Sweep(5, 0, 3), Sweep(0, 0.01, 5), Sweep(0.5, 0.01, 3)),
    batches=(Batch(0.5, (1, 16, 64, 256), 3), Batch(5, (1, 256), 3)),
    threading=THREADING,
    callers=16, rounds=3, trouble_repeats=3,
    volumes=(10, 1000, 10000, 50000), growth_repeats=5)

QUICK = Plan(
    sweeps=(Sweep(0, 0, 5), Sweep(0.5, 0, 1)),
    batches=(Batch(0.5, (1, 64), 1),),
    threading=('native',),
    callers=8, rounds=2, trouble_repeats=1,
    volumes=(10, 1000), growth_repeats=2)
