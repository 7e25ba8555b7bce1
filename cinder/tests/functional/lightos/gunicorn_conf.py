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
"""How gunicorn serves Glance and Keystone.

It prints {"port": N} when it does, and WSGI_APPLICATION names which it is.
"""

import json
import os
import sys

wsgi_app = os.environ['WSGI_APPLICATION']
bind = '127.0.0.1:0'
worker_class = 'gthread'
workers = 1
threads = 8
# Seconds. Images are large and the machine may be slow.
timeout = 600
control_socket_disable = True


def when_ready(server):
    port = server.LISTENERS[0].getsockname()[1]
    sys.stdout.write(json.dumps({'port': port}) + '\n')
    sys.stdout.flush()
