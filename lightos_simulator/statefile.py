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
"""A cluster's state in a file, across restarts."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import json
import os
import pathlib
import tempfile
from typing import Any

from lightos_simulator import model
from lightos_simulator import records

_FORMAT = 1
_KINDS: Mapping[str, type] = {'policies': records.Policy,
                              'snapshots': records.Snapshot,
                              'volumes': records.Volume}


class StateError(Exception):
    """The file cannot be used."""


def dump(cluster: model.Cluster) -> dict[str, Any]:
    """Everything about a cluster that outlives its process."""
    world = cluster.world
    state: dict[str, Any] = {
        'uuid': world.uuid, 'etag': world.etag, 'nsid': world.nsid,
        'event_number': world.event_number,
        'events': [dataclasses.asdict(event) for event in world.events],
        'nodes': [dict(vars(node)) for node in world.nodes],
        'projects': [dict(vars(project))
                     for project in world.projects.values()]}
    for kind in _KINDS:
        state[kind] = [_dump_record(record)
                       for record in getattr(world, kind)]
    return state


def _dump_record(record: records.Record) -> dict[str, Any]:
    fields = dict(vars(record), rendered=None)
    if record.work is not None:
        fields['work'] = vars(record.work)
    return fields


def restore(cluster: model.Cluster, state: Mapping[str, Any]) -> None:
    """Put what :func:`dump` gave into a new cluster.

    :raises StateError: it is not that
    """
    world = cluster.world
    try:
        world.nodes[:] = [records.Node(**fields) for fields in state['nodes']]
        world.projects = {
            fields['name']: records.Project(**fields)
            for fields in state['projects']}
        for kind, record_type in _KINDS.items():
            cluster.resume(_load_record(record_type, fields)
                           for fields in state[kind])
        world.events.extend(
            records.Event(**{name: _tuples(value)
                             for name, value in fields.items()})
            for fields in state['events'])
        world.etag = state['etag']
        world.nsid = state['nsid']
        world.event_number = state['event_number']
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StateError('the state is not complete: %r' % error) from None


def _load_record(record_type: type, fields: Mapping[str, Any]) -> Any:
    values = {name: _tuples(value) for name, value in fields.items()}
    if values['work'] is not None:
        work = dict(values['work'])
        work['changes'] = {name: _tuples(value) for name, value
                           in work['changes'].items()}
        values['work'] = records.Work(**work)
    return record_type(**values)


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(one) for one in value)
    return value


def read(path: pathlib.Path) -> dict[str, Any] | None:
    """Read a state file.

    :return: its content; None if there is no file
    :raises StateError: it cannot be used
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError('cannot read %s: %s' % (path, error.strerror)
                         ) from None
    except ValueError as error:
        raise StateError('%s is not a state file: %s' % (path, error)
                         ) from None
    if not isinstance(content, dict) or content.get('format') != _FORMAT:
        raise StateError('%s is not a state file of this simulator' % path)
    return content


def write(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Replace a state file, whole or not at all.

    The file holds private keys: nobody else may read it.

    :raises StateError: it cannot be written
    """
    text = json.dumps({'format': _FORMAT, **content})
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, 'w', encoding='utf-8') as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise StateError('cannot write %s: %s' % (path, error.strerror)
                         ) from None
