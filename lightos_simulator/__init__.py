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
"""A LightOS cluster in one process, for tests and demonstrations.

It serves the management API of a Lightbits LightOS cluster (REST over HTTPS
on several nodes) from a model in memory, strict to the published contract
that ``contract.json`` holds. It needs nothing of Cinder.
"""
