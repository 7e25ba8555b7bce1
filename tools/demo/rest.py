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
"""JSON over HTTP, for every interface that the demonstration speaks."""

import pathlib
from typing import Any, Mapping, Optional, Union

import requests

from demo import errors

# Seconds that an answer may take. Cinder answers an attachment only when the
# driver is through with it.
ANSWER_TIME = 90


class Api:
    """One server.

    :param url: what every path is put behind
    :param headers: go with every request
    :param verify: a CA's file, or whether to verify certificates at all
    """

    def __init__(self, url: str, headers: Mapping[str, str],
                 verify: Union[bool, pathlib.Path] = True) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.headers.update(headers)
        # The proxies and CAs of the caller's environment are for elsewhere.
        self._session.trust_env = False
        self._session.verify = (str(verify) if isinstance(verify, pathlib.Path)
                                else verify)

    def call(self, method: str, path: str,
             body: Optional[Mapping[str, Any]] = None,
             query: Optional[Mapping[str, str]] = None) -> Any:
        """Send one request and return the content of the answer.

        :raises DemoError: if the answer is an error or there is none
        """
        try:
            answer = self._session.request(
                method, self._url + path, json=body, params=query,
                timeout=ANSWER_TIME)
            if answer.ok:
                return answer.json() if answer.content else None
        except requests.RequestException as error:
            raise errors.DemoError(
                f'{method} {self._url}{path}: {error}')
        raise errors.DemoError(
            f'{method} {self._url}{path}: {answer.status_code} '
            f'{answer.text[:500]}')
