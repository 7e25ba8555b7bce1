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
"""What a node answered to a call, as far as HTTP and JSON tell."""

import http
import json
import re
from typing import Any, NamedTuple, Optional

import requests
import urllib3

# The fields of an error reply.
_ERROR = frozenset(('code', 'message', 'error'))
# Half of a pair that stands for one character: JSON may have it alone.
_SURROGATE = re.compile(r'\\u[dD][89a-fA-F]')
# Bytes of a reply that a debug line shows.
_SHOWN = 4096


class Result(NamedTuple):
    """What became of one try at one node.

    :param status: None when there is no answer
    :param trouble: what is wrong with the answer, or why there is none
    :param sent: whether the node may have received the call
    :param blame: whether the node is not to be trusted with the next call
    :param untrusted: whether its certificate could not be verified
    :param shown: the reply as a debug line shows it
    """

    status: Optional[int]
    data: Any = None
    trouble: Optional[str] = None
    sent: bool = True
    blame: bool = True
    untrusted: bool = False
    shown: str = ''


class ErrorReply(dict[str, Any]):
    """The body of an answer with an error status.

    :param genuine: whether it is of the LightOS API, and not of something
        in between
    :param retry_after: seconds of the ``Retry-After`` header
    """

    genuine: bool
    retry_after: Optional[float] = None


def read(response: requests.Response, text: str) -> Result:
    """Read the body of an answer, and what it tells of the node.

    :param text: with bytes that are no UTF-8 as surrogates
    """
    status = response.status_code
    shown = repr(text[:_SHOWN])
    data: Any
    try:
        data = _parse(text) if text else {}
    except (ValueError, RecursionError):
        data = text
    trouble = None
    if 200 <= status < 300:
        if not isinstance(data, dict):
            trouble = 'HTTP %d with a body that is no JSON object' % status
    else:
        genuine = isinstance(data, dict) and not _ERROR.isdisjoint(data)
        if not genuine and (status >= 500 or
                            status == http.HTTPStatus.NOT_FOUND):
            trouble = 'HTTP %d that is not from the LightOS API' % status
        data = ErrorReply(data if isinstance(data, dict)
                          else {'message': text[:200]})
        data.genuine = genuine
        data.retry_after = _retry_after(response)
    return Result(status, data, trouble, shown=shown)


def _parse(text: str) -> Any:
    """Read JSON that can mean one thing only.

    :raises: ValueError when it is none
    """
    data = json.loads(text, object_pairs_hook=_no_twins,
                      parse_constant=_no_number)
    if _SURROGATE.search(text):
        # Neither a log nor a database can hold one alone.
        json.dumps(data, ensure_ascii=False).encode()
    else:
        text.encode()
    return data


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError('a field is there twice')
    return fields


def _no_number(text: str) -> Any:
    raise ValueError(text + ' is no number')


def _retry_after(response: requests.Response) -> Optional[float]:
    text = response.headers.get('Retry-After')
    if text is None:
        return None
    try:
        return float(urllib3.Retry().parse_retry_after(text))
    except (urllib3.exceptions.InvalidHeader, ArithmeticError, ValueError):
        return None
