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
"""QoS policies as a state machine."""

from __future__ import annotations

from collections.abc import Mapping
import functools
from typing import Any

from lightos_simulator import errors
from lightos_simulator import records
from lightos_simulator import world


class Policies:
    """What can be done with QoS policies."""

    def __init__(self, cluster: world.World) -> None:
        self._world = cluster

    def find(self, uuid: str, name: str) -> records.Policy:
        """A policy by UUID or name.

        :raises ApiError: 404, or 400 if neither is given
        """
        return self._world.policies.find('policy', '', uuid, name)

    def choose(self, project: str, uuid: str, name: str) -> str:
        """The policy that a volume asks for.

        :return: its UUID; empty if none is asked for
        :raises ApiError: it cannot be had
        """
        if not (uuid or name):
            return ''
        if uuid and name:
            raise errors.invalid('qosPolicyUUID and qosPolicyName exclude '
                                 'each other')
        try:
            policy = self.find(uuid, name)
        except errors.ApiError:
            policy = None
        if policy is None or not policy.visible_to(project):
            raise errors.invalid('QoS policy %s is not there for project %s'
                                 % (uuid or name, project))
        if policy.state not in ('Active', 'Updating'):
            raise errors.precondition('QoS policy %s is %s'
                                      % (policy.name, policy.state))
        return policy.uuid

    def create(self, name: str, description: str, limits: Mapping[str, Any],
               fails: bool = False) -> records.Policy:
        """Begin a policy.

        :param limits: its QoSRateLimitPolicy message, checked
        :param fails: let it end Failed
        :raises ApiError: it is refused
        """
        if self._world.policies.is_taken('', name):
            raise errors.exists('policy %s exists' % name)
        self._check_scope(limits)
        policy = records.Policy(
            uuid=world.new_uuid(), name=name, project='',
            description=description, limits=limits)
        self._world.policies.add(policy)
        self._begin(policy, 'CreatePolicy', 'Creating', {}, fails)
        return policy

    def _check_scope(self, limits: Mapping[str, Any]) -> None:
        for project in limits['projectsNamesScope']:
            self._world.project(project)

    def update(self, policy: records.Policy, name: str, description: str,
               limits: Mapping[str, Any] | None, fails: bool = False) -> None:
        """Begin a change; what is empty or None stays as it is.

        :raises ApiError: it is refused
        """
        self._world.check_ready(policy)
        changes: dict[str, Any] = {}
        if name and name != policy.name:
            if self._world.policies.is_taken('', name):
                raise errors.exists('policy %s exists' % name)
            self._world.policies.reserve('', name)
            changes['name'] = name
        if description:
            changes['description'] = description
        if limits is not None:
            self._check_scope(limits)
            changes['limits'] = limits
        self._begin(policy, 'UpdatePolicy', 'Updating', changes, fails)

    def delete(self, policy: records.Policy, fails: bool = False) -> None:
        """Begin to delete a policy that no volume or project uses.

        :raises ApiError: it is refused
        """
        self._world.check_ready(policy, deletes=True)
        if any(volume.policy_uuid == policy.uuid
               for volume in self._world.volumes):
            raise errors.precondition('policy %s is in use' % policy.name)
        if any(project.policy_uuid == policy.uuid
               for project in self._world.projects.values()):
            raise errors.precondition('policy %s is the default of a project'
                                      % policy.name)
        self._begin(policy, 'DeletePolicy', 'Deprecated', {}, fails)

    def resume(self, policy: records.Policy) -> None:
        """Go on with the work of a policy that was kept in a file."""
        self._world.policies.add(policy)
        if policy.work is not None:
            if 'name' in policy.work.changes:
                self._world.policies.reserve('', policy.work.changes['name'])
            self._world.at(policy.work.due, functools.partial(
                self._finish, policy, policy.work))

    def _begin(self, policy: records.Policy, operation: str, state: str,
               changes: Mapping[str, Any], fails: bool) -> None:
        work = records.Work(
            operation, self._world.clock()
            + self._world.work_times.of(operation), fails, changes, 'Active')
        self._drop_work(policy)
        policy.work = work
        policy.state = state
        self._world.touch(policy)
        self._world.at(work.due, functools.partial(self._finish, policy, work))

    def _drop_work(self, policy: records.Policy) -> None:
        if policy.work is not None and 'name' in policy.work.changes:
            self._world.policies.release('', policy.work.changes['name'])
        policy.work = None

    def _finish(self, policy: records.Policy, work: records.Work) -> None:
        if policy.work is not work:
            return
        self._drop_work(policy)
        if work.fails:
            policy.state = 'Failed'
        elif work.operation == 'DeletePolicy':
            self._world.policies.remove(policy)
        else:
            for attribute, value in work.changes.items():
                if attribute == 'name':
                    self._world.policies.rename(policy, value)
                    self._rename_in_volumes(policy)
                else:
                    setattr(policy, attribute, value)
            policy.state = work.back_to
        self._world.touch(policy)

    def _rename_in_volumes(self, policy: records.Policy) -> None:
        for volume in self._world.volumes:
            if volume.policy_uuid == policy.uuid:
                self._world.touch(volume)
