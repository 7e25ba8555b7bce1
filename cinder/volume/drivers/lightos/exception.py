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
"""What can go wrong between Cinder and a LightOS cluster."""

from typing import Optional

from cinder import exception
from cinder.i18n import _


class LightOSError(exception.VolumeBackendAPIException):
    """The cluster did not do, or did not show, what Cinder asked for."""

    message = _('LightOS: %(reason)s')


class LightOSRefused(LightOSError):
    """The cluster answered, and its answer is final.

    :param reason: the text for the operator
    :param status: the HTTP status of the answer
    """

    def __init__(self, reason: str, status: Optional[int] = None) -> None:
        super().__init__(reason=reason)
        self.reason = reason
        self.status = status

    def explained(self, why: str) -> 'LightOSRefused':
        """The same refusal with what the driver can say to explain it."""
        if not why:
            return self
        return LightOSRefused('%s. %s' % (self.reason, why), self.status)


class LightOSNotSeen(LightOSError):
    """The deadline passed before the cluster showed what was asked for.

    :param reason: the text for the operator
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)
        self.reason = reason


class LightOSNotOurs(LightOSError):
    """An object of the wanted name exists and is not the one wanted."""


class LightOSBadConnector(exception.InvalidConnectorException,
                          exception.VolumeBackendAPIException):
    """A host cannot be attached as its connector describes it."""

    message = _('LightOS: the connector of host %(host)s has no %(missing)s. '
                '%(remedy)s')


class LightOSNoAnswer(exception.VolumeDriverException):
    """No node of the cluster answered a call.

    :param reason: the last trouble seen, for the operator
    :param sent: whether a node may have received the call: if so, nothing
        is known of what it did
    """

    message = _('LightOS: no node of the cluster answered: %(reason)s')

    def __init__(self, reason: str, sent: bool) -> None:
        super().__init__(reason=reason)
        self.sent = sent


class LightOSWrongCluster(exception.VolumeDriverException):
    """An endpoint belongs to another cluster than the one in use."""

    message = _('LightOS: the endpoint %(endpoint)s belongs to the cluster '
                '%(found)s, not to %(expected)s. Correct lightos_api_address '
                'so that it names the nodes of one cluster.')


class LightOSUntrusted(exception.VolumeDriverException):
    """The certificate of no configured endpoint could be verified."""

    message = _('LightOS: the certificate of no node in lightos_api_address '
                'could be verified, the last one: %(reason)s. Set '
                'driver_ssl_cert_path to the CA of the cluster, and '
                'lightos_api_address to what the certificates are made for.')


class LightOSBadReply(Exception):
    """A reply is not what the LightOS API promises (internal)."""
