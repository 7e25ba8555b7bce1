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
"""What the management API answers when it refuses."""

from __future__ import annotations

# gRPC status numbers, which a LightOS error reply carries as "code".
INVALID_ARGUMENT = 3
NOT_FOUND = 5
ALREADY_EXISTS = 6
PERMISSION_DENIED = 7
RESOURCE_EXHAUSTED = 8
FAILED_PRECONDITION = 9
ABORTED = 10
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14
UNAUTHENTICATED = 16


class ApiError(Exception):
    """A refusal.

    :param status: the HTTP status of the reply
    :param code: the gRPC status number of the reply
    :param message: what is wrong, for people
    """

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def invalid(message: str) -> ApiError:
    """The request can never succeed as it is (400, code 3)."""
    return ApiError(400, INVALID_ARGUMENT, message)


def precondition(message: str) -> ApiError:
    """The state of the object does not allow it (400, code 9)."""
    return ApiError(400, FAILED_PRECONDITION, message)


def unauthenticated(message: str) -> ApiError:
    """No token, or one that is not good (401)."""
    return ApiError(401, UNAUTHENTICATED, message)


def denied(message: str) -> ApiError:
    """A good token without the right (403)."""
    return ApiError(403, PERMISSION_DENIED, message)


def not_found(message: str) -> ApiError:
    """There is no such object (404)."""
    return ApiError(404, NOT_FOUND, message)


def exists(message: str) -> ApiError:
    """An object of that name exists (409, code 6)."""
    return ApiError(409, ALREADY_EXISTS, message)


def in_progress(message: str) -> ApiError:
    """Another operation is in progress on the object (409, code 10)."""
    return ApiError(409, ABORTED, message)


def mismatch(message: str) -> ApiError:
    """The ETag is not the one that If-Match names (412)."""
    return ApiError(412, FAILED_PRECONDITION, message)


def internal(message: str) -> ApiError:
    """Passing trouble inside the cluster (500)."""
    return ApiError(500, INTERNAL, message)


def unimplemented(message: str) -> ApiError:
    """The path is known, the method on it is not (501)."""
    return ApiError(501, UNIMPLEMENTED, message)


def unavailable(message: str) -> ApiError:
    """A passing state does not allow it now (503)."""
    return ApiError(503, UNAVAILABLE, message)
