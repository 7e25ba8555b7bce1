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
"""What Cinder says beside what the cluster holds."""

from typing import Mapping, NamedTuple, Optional

GIB = 1024 ** 3


class Facts(NamedTuple):
    """What can be said of a volume or snapshot on either side.

    :param size: in bytes
    :param hosts: names of those that are attached, or that the ACL lets in
    """
    size: int
    replicas: int
    compressed: bool
    hosts: frozenset[str] = frozenset()


class Found(NamedTuple):
    """A volume or snapshot on one side."""
    name: str
    state: str
    facts: Facts


class Row(NamedTuple):
    """One object on both sides; None where it is not.

    :param name: the one in Cinder, or on the cluster if Cinder has it not
    """
    name: str
    cinder: Optional[Facts]
    cluster: Optional[Facts]

    @property
    def same(self) -> bool:
        return self.cinder == self.cluster


def compare(cinder: Mapping[str, Facts], cluster: Mapping[str, Facts],
            names: Mapping[str, str]) -> list[Row]:
    """Lay both sides beside each other.

    :param cinder: what Cinder says, by the name on the cluster
    :param cluster: what the cluster holds, by the same
    :param names: the name in Cinder for each name on the cluster
    :returns: a row for each object that either side knows, Cinder's first
    """
    return [Row(names.get(key, key), cinder.get(key), cluster.get(key))
            for key in [*cinder, *(key for key in cluster
                                   if key not in cinder)]]


def _cells(facts: Optional[Facts]) -> list[str]:
    if facts is None:
        return ['missing', '', '', '']
    return [f'{facts.size / GIB:g}', str(facts.replicas),
            'yes' if facts.compressed else 'no',
            ', '.join(sorted(facts.hosts)) or '-']


def table(rows: list[Row]) -> str:
    """Return the rows as text for a terminal."""
    facts = ['GiB', 'replicas', 'compressed', 'hosts']
    lines = [['name', *facts, *facts, '']]
    lines += [[row.name, *_cells(row.cinder), *_cells(row.cluster),
               'same' if row.same else 'DIFFERENT'] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines)]
    # Three gaps of two columns are between the four cells of a side.
    cinder, cluster = sum(widths[1:5]) + 6, sum(widths[5:9]) + 6
    text = [f'{"":{widths[0]}} | {"Cinder says":{cinder}} | '
            f'{"the cluster holds":{cluster}} |']
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths)]
        text.append(f'{cells[0]} | {"  ".join(cells[1:5])} | '
                    f'{"  ".join(cells[5:9])} | {cells[9]}'.rstrip())
    return '\n'.join(text)
