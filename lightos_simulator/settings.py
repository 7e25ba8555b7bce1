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
"""How this cluster differs from another: assumptions and work times."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import math


def _switch(default: bool, meaning: str) -> bool:
    field: bool = dataclasses.field(default=default,
                                    metadata={'help': meaning})
    return field


@dataclasses.dataclass(frozen=True)
class Assumptions:
    """Behaviour that the API definition leaves open, each on or off."""
    refuse_unknown: bool = _switch(
        True, 'a field or parameter outside the contract is refused with 400 '
              '(off: it is ignored, as gateways in the field do)')
    omit_zero: bool = _switch(
        True, 'fields at their zero value are left out of replies')
    ip_acl: bool = _switch(
        True, 'the cluster knows IPAcl (off: an older cluster, which ignores '
              'it and has none in its replies)')
    ip_acl_refused: bool = _switch(
        False, 'with ip-acl=off, a request with IPAcl is refused with 400')
    ip_acl_limit: bool = _switch(True, 'IPAcl takes at most 16 addresses')
    compression_words: bool = _switch(
        False, "a volume's compression reads enabled/disabled "
               '(off: true/false)')
    cut_label_keys: bool = _switch(
        True, 'a label key keeps only what follows its last "-" or "."')
    same_size_refused: bool = _switch(
        True, 'an update to the current size is refused with 400')
    if_match_400: bool = _switch(
        False, 'a mismatch of If-Match is 400 with code 9 (off: 412)')
    updating_conflicts: bool = _switch(
        False, 'a request on an Updating object is 409 with code 10 '
               '(off: 503)')
    updating_hidden: bool = _switch(
        False, 'an update goes on behind state Available, and another '
               'request meanwhile is 409 with code 10')
    delete_while_busy: bool = _switch(
        False, 'an object in Creating, Updating or Rollback can be deleted '
               '(off: 503 or 409)')
    deleting_name_fails: bool = _switch(
        False, 'a snapshot with the name of a Deleting one is accepted and '
               'ends Failed (off: 409)')
    one_snapshot_at_a_time: bool = _switch(
        True, 'a snapshot of a volume is refused with 500 while another one '
              'is being made')
    failed_snapshot_deletable: bool = _switch(
        False, 'a Failed snapshot can be deleted (off: 400)')
    snapshots_hold_volume: bool = _switch(
        False, 'a volume with snapshots cannot be deleted (400 with code 9)')
    rollback_restores_metadata: bool = _switch(
        True, 'a rollback brings size, ACLs and labels back, too')
    projects_read_policies: bool = _switch(
        False, "a project's token may read the policies visible to it")
    max_replicas_unknown: bool = _switch(
        False, 'supportedMaxReplicas is 0, as it is for a while at start')

    @classmethod
    def names(cls) -> dict[str, str]:
        """The names for the command line, and what each means."""
        return {field.name.replace('_', '-'): field.metadata['help']
                for field in dataclasses.fields(cls)}

    def with_switch(self, name: str, on: bool) -> Assumptions:
        """The same with one switch set.

        :raises ValueError: there is no such switch
        """
        if name not in self.names():
            raise ValueError('no such assumption: %s' % name)
        return dataclasses.replace(self, **{name.replace('-', '_'): on})


WORKING_OPERATIONS = (
    'CreateVolume', 'UpdateVolume', 'DeleteVolume', 'RollbackVolume',
    'CreateSnapshot', 'DeleteSnapshot',
    'CreatePolicy', 'UpdatePolicy', 'DeletePolicy')


class WorkTimes:
    """How long the cluster works on an operation after it has answered."""

    def __init__(self) -> None:
        self._default = 0.0
        self._seconds: dict[str, float] = {}

    def set(self, seconds: Mapping[str, float]) -> None:
        """Set times by the operation's name, ``default`` for the others.

        :param seconds: seconds by name; nothing is set if one is bad
        :raises ValueError: a name or a number is bad
        """
        for name, value in seconds.items():
            if name != 'default' and name not in WORKING_OPERATIONS:
                raise ValueError('no such operation: %s' % name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError('a work time is 0 seconds or more')
        for name, value in seconds.items():
            if name == 'default':
                self._default = value
            else:
                self._seconds[name] = value

    def of(self, operation: str) -> float:
        """The seconds that an operation takes."""
        return self._seconds.get(operation, self._default)

    def as_dict(self) -> dict[str, float]:
        """What :meth:`set` would take to make this again."""
        return {'default': self._default, **self._seconds}
