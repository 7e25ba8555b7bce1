#!/usr/bin/env python3
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
"""Kill controllers and disturb the cluster for as long as wanted.

    chaos_run.py --seed 1 --minutes 20 --coordination redis --threads eventlet

prints what became of it as JSON; the exit status is 0 if all is as the table
of expected ends has it. Needs Debian's packages mariadb-server and
rabbitmq-server, and redis-server or etcd-server.
"""

import argparse
import json
import pathlib
import random
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent)]
from cinder.tests.functional.lightos import chaos  # noqa: E402
from cinder.tests.functional.lightos import controllers  # noqa: E402

# Operations in a minute, by all clients together.
RATE = 60
# Seconds between faults of Cinder: some operations meet none.
PAUSE = (10, 45)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--seed', type=int,
                        default=random.randrange(1000000))
    parser.add_argument('--minutes', type=float, default=20)
    parser.add_argument('--operations', type=int,
                        help=f'default: {RATE} for each minute')
    parser.add_argument('--coordination', choices=('redis', 'etcd'),
                        default='redis')
    parser.add_argument('--threads', choices=('eventlet', 'native'),
                        default='eventlet')
    parser.add_argument('--logs', type=pathlib.Path,
                        help='directory to keep the logs in')
    parser.add_argument('--journal', type=pathlib.Path,
                        help='file for all operations and faults, as JSON')
    args = parser.parse_args()
    subject = controllers.Controllers(args.coordination, args.threads)
    try:
        result = chaos.Run(
            subject, args.seed, args.minutes,
            args.operations or round(RATE * args.minutes), PAUSE).result(
                args.coordination, args.threads)
    finally:
        if args.logs:
            subject.save_logs(args.logs)
        subject.end()
    if args.journal:
        noted = [vars(each) for each in (*result.operations,
                                         *result.happened)]
        args.journal.write_text(json.dumps(
            sorted(noted, key=lambda each: float(each['begun'])), indent=1))
    print(json.dumps(result.as_dict(), indent=1))
    return 0 if result.clean else 1


if __name__ == '__main__':
    sys.exit(main())
