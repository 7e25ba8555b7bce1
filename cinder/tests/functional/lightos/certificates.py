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
"""Certificate authorities and what they issue."""

import datetime
import functools
import pathlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography import x509
from oslo_utils import timeutils
import trustme


class Authority:
    """A certificate authority.

    :param directory: for the files of its certificates
    :param name: of those files
    """

    def __init__(self, directory: pathlib.Path, name: str,
                 ca: trustme.CA) -> None:
        self._ca = ca
        self._directory = directory / name
        self._directory.mkdir()
        self.file = str(self._directory / 'ca.pem')
        ca.cert_pem.write_to_path(self.file)

    def issue(self, *names: str, **settings: Any) -> str:
        """Issue a certificate for addresses and host names.

        :param settings: of ``trustme.CA.issue_cert``
        :returns: path of a PEM file with the certificate and its key
        """
        path = self._directory / ('%d.pem' % len(
            list(self._directory.iterdir())))
        self._ca.issue_cert(
            *names, **settings).private_key_and_cert_chain_pem.write_to_path(
                str(path))
        return str(path)


def days(number: int) -> datetime.datetime:
    """The moment so many days from now."""
    return (timeutils.utcnow(with_timezone=True)
            + datetime.timedelta(days=number))


@functools.lru_cache(None)
def new_ca(number: int) -> trustme.CA:
    """A CA; that of one number is made only once."""
    return trustme.CA()


@functools.lru_cache(None)
def constrained_ca(domain: str) -> trustme.CA:
    """A CA that may only issue certificates for names of a DNS domain."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(
        x509.NameOID.COMMON_NAME, 'CA of ' + domain)])
    certificate = x509.CertificateBuilder(
        issuer_name=name, subject_name=name, public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=days(-1),
        not_valid_after=days(1)
    ).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    ).add_extension(
        x509.NameConstraints([x509.DNSName(domain)], None), critical=True
    ).add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        critical=False
    ).sign(key, hashes.SHA256())
    return trustme.CA.from_pem(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM,
                          serialization.PrivateFormat.TraditionalOpenSSL,
                          serialization.NoEncryption()))
