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
"""The ``config-table`` directive of Cinder's driver pages.

A page that uses it can be moved into Cinder's documentation unchanged:

    .. config-table::
       :config-target: NAME

       module

It lists every option in the lists of options that the module has.
"""

import importlib

from docutils import nodes
from docutils.parsers.rst import directives
from oslo_config import cfg
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective


def options_of(module: str) -> list[cfg.Opt]:
    """Return the options in the module's lists of them, by name.

    :raises ImportError: if there is no such module
    """
    found: dict[str, cfg.Opt] = {}
    for value in vars(importlib.import_module(module)).values():
        if isinstance(value, list):
            found.update((option.name, option) for option in value
                         if isinstance(option, cfg.Opt))
    return [found[name] for name in sorted(found)]


class ConfigTable(SphinxDirective):
    """A table of the options of modules, taken from the code."""

    has_content = True
    option_spec = {'config-target': directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        target = self.options['config-target']
        lines = [f'.. list-table:: Description of {target} configuration '
                 'options',
                 '   :header-rows: 1',
                 '   :class: config-ref-table',
                 '',
                 '   * - Configuration option = Default value',
                 '     - Description']
        for module in self.content:
            options = options_of(module)
            if not options:
                raise ExtensionError(f'{module} has no options')
            for option in options:
                default = option.sample_default or option.default
                lines += [f'   * - ``{option.name}`` = ``{default}``',
                          f'     - ({option.type}) {option.help}']
        return self.parse_text_to_nodes('\n'.join(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive('config-table', ConfigTable)
    return {'parallel_read_safe': True}
