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

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

extensions = [
    'openstackdocstheme',
    'ext.config_table',
]

master_doc = 'index'
project = 'Lightbits LightOS volume driver'
copyright = '2026, OpenStack contributors'

html_css_files = ['tests.css']
html_static_path = ['_static']
html_theme = 'openstackdocs'
openstackdocs_auto_name = False
openstackdocs_auto_version = False
# A block without a language is what a program printed, not Python.
highlight_language = 'none'
pygments_style = 'native'
