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
"""Compare Cinder and the simulated cluster after random sequences.

    model_run.py --sequences 2000          seeds 1 to 2000
    model_run.py --seed 17 --verbose       one sequence, with all its requests
    model_run.py --seed 17 --only 0,3,4    some of its steps

The environment has to be one that overlay.py has linked. The exit status is 1
if Cinder and the cluster disagreed.
"""

import argparse
import collections
import concurrent.futures
import gc
import logging
import multiprocessing
import os
import pathlib
import sys
import time
import traceback
import warnings

TREE = pathlib.Path(__file__).resolve().parent.parent
# The tree's own directory cinder must not hide the installed one.
sys.path[:0] = [str(TREE)]
os.environ.setdefault('OS_CINDER_DISABLE_EVENTLET_PATCHING', 'true')
# It would end a process that plays many sequences after a minute.
os.environ['OS_TEST_TIMEOUT'] = '0'
warnings.simplefilter('ignore')

from cinder.tests.functional.lightos import model_cinder  # noqa: E402
from cinder.tests.functional.lightos import model_machine  # noqa: E402

# How many of the failing sequences are shortened: each takes seconds.
MOST_SHORTENED = 5
_environment = model_cinder.Environment()


def prepare() -> None:
    """Set up Cinder's side in this process, once for all sequences."""
    _environment.setUp()
    warnings.simplefilter('ignore')
    logging.disable(logging.CRITICAL)
    # What is there now stays; looking for garbage among it takes a tenth of
    # the time of a run.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50000, 10, 10)


def play(seed: int) -> tuple[int, collections.Counter[tuple[str, bool]], str]:
    """Run a sequence.

    :returns: its seed, how its operations ended and what is wrong
    """
    sequence = model_machine.Sequence(_environment, seed)
    wrong = ''
    try:
        sequence.run()
    except model_machine.Disagreement as exc:
        wrong = str(exc)
    except BaseException:
        wrong = traceback.format_exc()
    return seed, sequence.outcomes, wrong


def shorten(seed: int) -> tuple[list[int], str]:
    """Find the steps of a failing sequence that make it fail."""
    return model_machine.shortest(_environment, seed)


def run_many(seeds: range, processes: int) -> int:
    """Run sequences and return how many failed."""
    began = time.monotonic()
    outcomes: collections.Counter[tuple[str, bool]] = collections.Counter()
    failed: dict[int, str] = {}
    with concurrent.futures.ProcessPoolExecutor(
            processes, multiprocessing.get_context('fork'),
            initializer=prepare) as pool:
        for seed, ended, wrong in pool.map(play, seeds, chunksize=5):
            outcomes += ended
            if (seed - seeds[0] + 1) % 50 == 0:
                print(f'{seed - seeds[0] + 1} sequences, {len(failed)} '
                      f'disagreements, {time.monotonic() - began:.0f} s',
                      flush=True)
            if wrong:
                failed[seed] = wrong
                print(f'seed {seed}: {wrong}', flush=True)
        some = list(failed)[:MOST_SHORTENED]
        for seed, (kept, wrong) in zip(some, pool.map(shorten, some)):
            print(f'seed {seed} fails like this: {wrong}\n  tools/'
                  f'model_run.py --seed {seed} --verbose --only '
                  f'{",".join(map(str, kept))}')
    for name in sorted({name for name, _done in outcomes}):
        print(f'{name}: {outcomes[name, True]} done, '
              f'{outcomes[name, False]} not')
    print(f'{len(seeds)} sequences, {outcomes.total()} operations, '
          f'{len(failed)} disagreements, {time.monotonic() - began:.0f} s')
    return len(failed)


def run_one(seed: int, only: list[int] | None, verbose: bool) -> int:
    """Run one sequence and return whether it failed."""
    prepare()
    try:
        model_machine.Sequence(_environment, seed, only,
                               print if verbose else None).run()
    except model_machine.Disagreement as exc:
        print(f'seed {seed}: {exc}')
        return 1
    finally:
        _environment.doCleanups()
    print(f'seed {seed}: Cinder and the cluster agree')
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description='Compare Cinder and the simulated cluster after random '
                    'sequences of operations.')
    parser.add_argument('--sequences', type=int, metavar='N',
                        help='how many; without it, one')
    parser.add_argument('--seed', type=int, default=1, metavar='S',
                        help='of the first sequence (default: 1)')
    parser.add_argument('--processes', type=int, default=os.cpu_count() or 1,
                        metavar='P', help='how many at a time (default: as '
                                          'many as there are processors)')
    parser.add_argument('--only', metavar='STEPS',
                        help='of one sequence, only the steps of these '
                             'numbers, separated by commas')
    parser.add_argument('--verbose', action='store_true',
                        help='of one sequence, show steps and requests')
    given = parser.parse_args()
    if given.sequences is None:
        only = [int(each) for each in given.only.split(',')] \
            if given.only else None
        return run_one(given.seed, only, given.verbose)
    return int(bool(run_many(range(given.seed, given.seed + given.sequences),
                             given.processes)))


if __name__ == '__main__':
    sys.exit(main())
