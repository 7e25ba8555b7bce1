#!/usr/bin/env bash
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

# The DevStack plugin of the LightOS driver. DevStack sources it in each phase;
# its lib/cinder calls the functions below for each backend of type lightos.

LIGHTOS_PLUGIN_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
LIGHTOS_DRIVER=cinder/volume/drivers/lightos

# DevStack's Cinder runs from its checkout, in which an installed package is
# not seen. A link makes the driver part of it, and Python prefers the package
# to the module lightos.py beside it.
function link_lightos_driver {
    local link=$CINDER_DIR/$LIGHTOS_DRIVER
    if [[ -d $link && ! -L $link ]]; then
        die $LINENO "$link is not of this plugin: this Cinder has the driver."
    fi
    ln -sfn "$LIGHTOS_PLUGIN_DIR/$LIGHTOS_DRIVER" "$link"
}

# configure_cinder_backend_lightos NAME: write the section of the backend.
function configure_cinder_backend_lightos {
    local be_name=$1
    if [[ -z $LIGHTOS_API_ADDRESS ]]; then
        die $LINENO "Set LIGHTOS_API_ADDRESS in local.conf."
    fi
    link_lightos_driver
    iniset "$CINDER_CONF" "$be_name" volume_backend_name "$be_name"
    iniset "$CINDER_CONF" "$be_name" volume_driver \
        cinder.volume.drivers.lightos.LightOSVolumeDriver
    iniset "$CINDER_CONF" "$be_name" lightos_api_address "$LIGHTOS_API_ADDRESS"
    iniset "$CINDER_CONF" "$be_name" lightos_api_port "$LIGHTOS_API_PORT"
    iniset "$CINDER_CONF" "$be_name" lightos_default_num_replicas \
        "$LIGHTOS_DEFAULT_NUM_REPLICAS"
    if [[ -n $LIGHTOS_JWT_FILE ]]; then
        iniset "$CINDER_CONF" "$be_name" lightos_jwt_file "$LIGHTOS_JWT_FILE"
    fi
    if [[ -n $LIGHTOS_CA_FILE ]]; then
        iniset "$CINDER_CONF" "$be_name" driver_ssl_cert_verify True
        iniset "$CINDER_CONF" "$be_name" driver_ssl_cert_path \
            "$LIGHTOS_CA_FILE"
    fi
}

# init_cinder_backend_lightos NAME: make this host ready to attach.
function init_cinder_backend_lightos {
    sudo modprobe nvme-tcp
}

# cleanup_cinder_backend_lightos NAME: bring back the driver of the release.
function cleanup_cinder_backend_lightos {
    if [[ -L $CINDER_DIR/$LIGHTOS_DRIVER ]]; then
        rm "$CINDER_DIR/$LIGHTOS_DRIVER"
    fi
}

if [[ $1 == stack && $2 == pre-install ]]; then
    install_package nvme-cli
fi
