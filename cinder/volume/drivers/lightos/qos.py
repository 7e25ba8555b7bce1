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
"""QoS policies: found or made for what volume types ask."""

from typing import Any, Callable, Mapping, NamedTuple, Optional, TypeVar

from oslo_log import log as logging
from oslo_utils import uuidutils

from cinder.i18n import _
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import specs
from cinder.volume.drivers.lightos import waiting

LOG = logging.getLogger(__name__)

Outcome = operation.Outcome
T = TypeVar('T')

# Seconds for which a policy that was found is used without another look: if
# an operator gives it other limits meanwhile, volumes get those.
_KNOWN_FOR = 60


class _Known(NamedTuple):
    """A policy that had certain limits when it was last seen."""

    uuid: str
    seen_at: float


class Policies:
    """The QoS policies of a cluster, as far as volumes were put under them.

    All volumes that ask for the same limits share one policy. The driver
    never changes nor deletes one: others may use it.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[replies.Limits, str], _Known] = {}

    def under(self, op: operation.Operation, wanted: specs.VolumeSpecs,
              act: Callable[[Optional[str]], T]) -> T:
        """Do something with the policy that a volume type asks for.

        :param act: is given the policy's UUID or name, or None for none
        :returns: what ``act`` returned
        :raises: LightOSRefused with the reason if it is the policy that
            does not do; LightOSNotSeen, LightOSError
        """
        limits, project = wanted.qos_limits, wanted.project
        policy = wanted.qos_policy
        if limits is not None:
            policy = self._with_limits(op, limits, project)
        try:
            return act(policy)
        except exception.LightOSRefused as exc:
            if policy is None or exc.status != 400:
                raise
            if (limits is not None and
                    self._known.pop((limits, project), None) is not None):
                again = self._with_limits(op, limits, project)
                if again != policy:
                    # It was deleted since it was last seen.
                    return act(again)
            raise exc.explained(why_not(op, policy, project)) from exc

    def _with_limits(self, op: operation.Operation, limits: replies.Limits,
                     project: str) -> str:
        """The UUID of a policy of these limits, made if there is none."""
        known = self._known.get((limits, project))
        if known and waiting.monotonic() - known.seen_at < _KNOWN_FOR:
            return known.uuid
        pauses = op.pauses()
        at_least, made = None, False
        while True:
            policy = self._choose(op, limits, project)
            if policy is not None and policy.state == 'Active':
                self._known[limits, project] = _Known(policy.uuid,
                                                      waiting.monotonic())
                return policy.uuid
            if policy is None:
                answer = op.send(
                    'create_policy', name=name_for(limits),
                    description='Made by Cinder, shared by volumes',
                    rate_limits=_message(limits))
                if answer.outcome in (Outcome.REFUSED, Outcome.MISSING):
                    raise _may_not(op.refused(answer), limits)
                seen, at_least = answer.text, answer.retry_after
                if answer.outcome is Outcome.DONE and not made:
                    # The first look at it is not delayed.
                    made = True
                    continue
            else:
                seen = _('QoS policy %(name)s is %(state)s') % {
                    'name': policy.name, 'state': policy.state}
            op.pause(pauses, seen, at_least)

    @staticmethod
    def _choose(op: operation.Operation, limits: replies.Limits,
                project: str) -> Optional[replies.Policy]:
        """The policy to use, in whatever state; None if there is none.

        The driver's own counts first, so that controllers agree.

        :raises: LightOSError if the name of the driver's own is taken
        """
        try:
            policies = _list(op)
        except exception.LightOSRefused as exc:
            raise _may_not(exc, limits) from exc
        name = name_for(limits)
        for policy in policies:
            if policy.name != name:
                continue
            if policy.state in ('Creating', 'Updating', 'Unknown') or (
                    policy.state == 'Active' and policy.limits == limits and
                    policy.visible_to(project)):
                return policy
            raise op.failed(
                _('the QoS policy %(name)s (%(uuid)s) is %(state)s, limits '
                  '%(limits)s and can be used in %(projects)s; Cinder needs '
                  'that name for a policy that limits %(wanted)s in all '
                  'projects. Give it back its limits, or delete or rename '
                  'it')
                % {'name': name, 'uuid': policy.uuid, 'state': policy.state,
                   'limits': _text(policy.limits),
                   'projects': _projects(policy), 'wanted': _text(limits)})
        alike = [policy for policy in policies
                 if policy.state == 'Active' and policy.limits == limits and
                 policy.visible_to(project)]
        return min(alike, key=lambda policy: (policy.projects is not None,
                                              policy.uuid), default=None)


def contradicts(op: operation.Operation, volume: replies.Volume,
                asked: specs.Asked) -> str:
    """In what the policy of a volume is another than a type asks for.

    :returns: empty if in nothing, or if the type asks for none
    :raises: LightOSRefused, LightOSNotSeen
    """
    if asked.qos_policy and not is_under(volume, asked.qos_policy):
        return _('it is under the QoS policy %(has)s and the type asks for '
                 '%(asked)s') % {
                     'has': volume.qos_policy_name or volume.qos_policy_uuid,
                     'asked': asked.qos_policy}
    if asked.qos_limits is not None:
        try:
            policy = (_find(op, volume.qos_policy_uuid)
                      if volume.qos_policy_uuid else None)
        except exception.LightOSRefused as exc:
            raise _may_not(exc, asked.qos_limits) from exc
        limits = policy and policy.limits
        if limits != asked.qos_limits:
            return _('its QoS policy limits %(has)s and the type asks for '
                     '%(asked)s') % {'has': _text(limits),
                                     'asked': _text(asked.qos_limits)}
    return ''


def is_under(volume: replies.Volume, policy: str) -> bool:
    """Whether a volume is under a policy.

    :param policy: its UUID, in either case, or its name
    """
    return (policy == volume.qos_policy_name or
            policy.lower() == (volume.qos_policy_uuid or '').lower())


def why_not(op: operation.Operation, policy: str, project: str) -> str:
    """Explain why the cluster does not put a volume under a policy.

    :param policy: its UUID or name
    :returns: empty if that cannot be told
    """
    try:
        found = _find(op, policy)
    except Exception as exc:
        # The error to be explained must not be lost.
        LOG.debug('Why a QoS policy was refused is not known: %s', exc)
        return ''
    if found is None:
        return _('The cluster has no QoS policy %s') % policy
    if not found.visible_to(project):
        return _('The QoS policy %(policy)s can be used in %(projects)s and '
                 'not in project %(project)s') % {
                     'policy': policy, 'projects': _projects(found),
                     'project': project}
    if found.state != 'Active':
        return _('The QoS policy %(policy)s is %(state)s') % {
            'policy': policy, 'state': found.state}
    return ''


def name_for(limits: replies.Limits) -> str:
    """The name of the policy that the driver makes for limits."""
    return 'cinder-%s-r%d-w%d' % limits


def _find(op: operation.Operation,
          policy: str) -> Optional[replies.Policy]:
    if uuidutils.is_uuid_like(policy):
        found = _list(op, uuid=policy.lower())
    else:
        found = _list(op, name=policy)
    return next((each for each in found
                 if policy == each.name or
                 policy.lower() == each.uuid.lower()), None)


def _list(op: operation.Operation, uuid: Optional[str] = None,
          name: Optional[str] = None) -> tuple[replies.Policy, ...]:
    return op.read('list_policies', replies.parse_policies, policy_uuid=uuid,
                   policy_name=name) or ()


def _message(limits: replies.Limits) -> Mapping[str, Any]:
    """Limits as the API takes them.

    All projects may use them: one that names its projects would have to be
    changed for each further one, and the API has no ETag for that.
    """
    fields = replies.LIMIT_KINDS[limits.kind]
    return {'policyVisibility': 'Global',
            fields.message: {fields.read: limits.read,
                             fields.write: limits.write}}


def _may_not(refusal: exception.LightOSRefused,
             limits: replies.Limits) -> exception.LightOSRefused:
    if refusal.status != 403:
        return refusal
    return refusal.explained(
        _('Looking for and making QoS policies takes a token of the role '
          'cluster-admin. Give the backend one, or have a policy made that '
          'limits %(limits)s and name it in the extra spec %(spec)s of the '
          'volume type in place of QoS specs')
        % {'limits': _text(limits), 'spec': specs.QOS_POLICY_SPEC})


def _text(limits: Optional[replies.Limits]) -> str:
    if limits is None:
        return _('nothing that Cinder knows')
    return ', '.join('%s_%s=%s' % (direction, limits.kind, value)
                     for direction, value in (('read', limits.read),
                                              ('write', limits.write)))


def _projects(policy: replies.Policy) -> str:
    if policy.projects is None:
        return _('all projects')
    return _('the projects %s') % ', '.join(policy.projects)
