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
"""One Cinder operation on the cluster: its deadline, its calls, its errors.

What an answer of the cluster means is decided here and nowhere else.
"""

import enum
import http
from typing import Any, Callable, NamedTuple, Optional, Protocol, TypeVar

from cinder.i18n import _
from cinder.volume.drivers.lightos import commands
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import waiting

T = TypeVar('T')

# gRPC status numbers in the ``code`` of an error reply (LightOS API): they
# tell apart what the HTTP status does not.
_FAILED_PRECONDITION = 9
_ABORTED = 10

# Seconds without which another look at the cluster is not worth a try.
_LAST_LOOK = 0.5

_PASSING = (http.HTTPStatus.REQUEST_TIMEOUT,
            http.HTTPStatus.TOO_MANY_REQUESTS,
            http.HTTPStatus.INTERNAL_SERVER_ERROR,
            http.HTTPStatus.BAD_GATEWAY,
            http.HTTPStatus.SERVICE_UNAVAILABLE,
            http.HTTPStatus.GATEWAY_TIMEOUT)


class Cluster(Protocol):
    """What an operation needs of the connection."""

    def send_cmd(self, cmd: str, timeout: float,
                 **kwargs: Any) -> tuple[int, Any]:
        ...


class Outcome(enum.Enum):
    """How a call ended."""

    DONE = enum.auto()       # accepted; whether it is seen is another matter
    MISSING = enum.auto()    # the object is not there
    EXISTS = enum.auto()     # an object of that name is there already
    STALE = enum.auto()      # decided on an old state: read and decide anew
    PASSING = enum.auto()    # not done now; may be asked again
    UNKNOWN = enum.auto()    # perhaps done: look before asking again
    REFUSED = enum.auto()    # not done, for good


class Answer(NamedTuple):
    """The answer to a call, and what it means.

    :param data: the reply, when the outcome is DONE
    :param text: the answer as the operator shall read it
    :param message: the cluster's own words
    :param status: the HTTP status, None when no node answered
    :param retry_after: seconds that the cluster asked to be left alone for
    """

    outcome: Outcome
    text: str
    data: Any = None
    message: str = ''
    status: Optional[int] = None
    retry_after: Optional[float] = None


class Operation:
    """Something that Cinder asked for, until it is done or has failed.

    :param cluster: where the calls go
    :param action: what was asked, with the Cinder object's id: it begins
        the text of every error
    :param deadline: when it must have ended
    """

    def __init__(self, cluster: Cluster, action: str,
                 deadline: waiting.Deadline) -> None:
        self._cluster = cluster
        self.action = action
        self.deadline = deadline
        self._trouble = ''

    def within(self, deadline: waiting.Deadline) -> 'Operation':
        """The same operation with another, earlier deadline."""
        return Operation(self._cluster, self.action, deadline)

    def pauses(self) -> waiting.Pauses:
        return waiting.Pauses(self.deadline, reserve=_LAST_LOOK)

    def send(self, cmd: str, **kwargs: Any) -> Answer:
        """Make one call.

        It does not raise for what the cluster answers, nor when no node
        does: the outcome says what is known then.
        """
        try:
            status, data = self._cluster.send_cmd(
                cmd=cmd, timeout=self.deadline.remaining, **kwargs)
        except exception.LightOSNoAnswer as exc:
            answer = Answer(
                Outcome.UNKNOWN if exc.sent else Outcome.PASSING, str(exc))
        else:
            answer = _judge(cmd, status, data)
        answer = answer._replace(
            text='%s of %s: %s' % (cmd, _object(kwargs), answer.text))
        if (commands.changes_something(cmd) and
                answer.outcome is not Outcome.DONE):
            self._trouble = answer.text
        return answer

    def read(self, cmd: str, parse: Callable[[Any], T],
             **kwargs: Any) -> Optional[T]:
        """Make a call that changes nothing until it is answered.

        :param parse: what makes a typed value of the reply
        :returns: that value, or None when the cluster has no such object
        :raises: LightOSRefused, LightOSNotSeen
        """
        pauses = self.pauses()
        while True:
            answer = self.send(cmd, **kwargs)
            if answer.outcome is Outcome.DONE:
                try:
                    return parse(answer.data)
                except exception.LightOSBadReply as exc:
                    answer = answer._replace(
                        text='%s: %s' % (answer.text, exc))
            elif answer.outcome is Outcome.MISSING:
                return None
            elif answer.outcome is Outcome.REFUSED:
                raise self.refused(answer)
            self.pause(pauses, answer.text, answer.retry_after)

    def pause(self, pauses: waiting.Pauses, seen: str,
              at_least: Optional[float] = None) -> None:
        """Let time pass before the next look.

        :param seen: what was seen instead of what was asked for
        :param at_least: seconds that the cluster asked to be left alone for
        :raises: LightOSNotSeen when there is no time left
        """
        self.check_time(seen)
        pauses.pause(at_least)

    def check_time(self, seen: str) -> None:
        """Go on only if there is time left to see something come of it.

        :param seen: what was seen instead of what was asked for
        :raises: LightOSNotSeen
        """
        if self.deadline.remaining >= _LAST_LOOK:
            return
        if self._trouble not in ('', seen):
            seen = _('%(seen)s. The cluster had answered to %(trouble)s') % {
                'seen': seen, 'trouble': self._trouble}
        raise exception.LightOSNotSeen(
            reason=_('could not %(action)s within %(seconds).0f seconds; '
                     'last seen: %(seen)s')
            % {'action': self.action, 'seconds': self.deadline.seconds,
               'seen': seen})

    def refused(self, answer: Answer) -> exception.LightOSRefused:
        """The error for an answer that is final."""
        return exception.LightOSRefused(
            _('could not %(action)s: %(text)s')
            % {'action': self.action, 'text': answer.text},
            status=answer.status)

    def failed(self, what: str) -> exception.LightOSError:
        """The error for what the cluster shows and never will mend."""
        return exception.LightOSError(
            reason=_('could not %(action)s: %(what)s')
            % {'action': self.action, 'what': what})


def _judge(cmd: str, status: int, data: Any) -> Answer:
    """Decide what an answer means."""
    writes = commands.changes_something(cmd)
    code, message = _error(data)
    text = 'HTTP %d' % status
    if code is not None:
        text += ' (code %d)' % code
    if message:
        text += ': ' + message

    def answer(outcome: Outcome) -> Answer:
        return Answer(outcome, text, data, message, status,
                      getattr(data, 'retry_after', None))

    if 200 <= status < 300:
        if isinstance(data, dict):
            return answer(Outcome.DONE)._replace(text='HTTP %d' % status)
        return answer(Outcome.UNKNOWN if writes else Outcome.PASSING)
    if status == http.HTTPStatus.NOT_FOUND:
        # What a proxy does not find may well be there.
        if getattr(data, 'genuine', True):
            return answer(Outcome.MISSING)
        return answer(Outcome.UNKNOWN if writes else Outcome.PASSING)
    if (status == http.HTTPStatus.PRECONDITION_FAILED or
            status == http.HTTPStatus.BAD_REQUEST and
            code == _FAILED_PRECONDITION):
        return answer(Outcome.STALE)
    if status == http.HTTPStatus.CONFLICT:
        creates = cmd.startswith('create_') and code != _ABORTED
        return answer(Outcome.EXISTS if creates else Outcome.PASSING)
    if status in _PASSING or 300 <= status < 400:
        # A 503 without a code does not come from the cluster but from
        # something in between, which may have passed the call on.
        begun = not (status == http.HTTPStatus.TOO_MANY_REQUESTS or
                     status == http.HTTPStatus.SERVICE_UNAVAILABLE and
                     code is not None)
        return answer(Outcome.UNKNOWN if writes and begun
                      else Outcome.PASSING)
    return answer(Outcome.REFUSED)


def _error(data: Any) -> tuple[Optional[int], str]:
    """The code and the message of an error reply, as far as it is one."""
    if not isinstance(data, dict):
        return None, _readable(data, 200)
    code = data.get('code')
    return (code if isinstance(code, int) else None,
            _readable(data.get('message') or data.get('error'), 500))


def _readable(text: Any, length: int) -> str:
    """Foreign words as they can stand in one line of a log."""
    if not isinstance(text, str):
        return ''
    return ''.join(character if character.isprintable() else ' '
                   for character in text[:length])


def _object(kwargs: dict[str, Any]) -> str:
    """Name the object of a call as an operator finds it on the cluster."""
    name = next(filter(None, map(kwargs.get, (
        'volume_uuid', 'snapshot_uuid', 'volume_name', 'snapshot_name',
        'name'))), None)
    if name is None:
        return _('the cluster')
    if kwargs.get('project_name') is None:
        return str(name)
    return _('%(name)s in project %(project)s') % {
        'name': name, 'project': kwargs.get('project_name')}
