"""Certificates of the tests' own: an authority, what it signs, and what it says about them afterwards (OCSP)."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


class Certificate:
    """A certificate and its key, in files; `above` are those that follow it in its chain."""

    def __init__(self, folder, stem, certificate, key, above=()):
        self.certificate, self.private = certificate, key
        self.cert, self.key = folder / f"{stem}.pem", folder / f"{stem}.key"
        self.cert.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (certificate, *above)))
        self.key.write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    @property
    def der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def serial(self):
        return self.certificate.serial_number

    def toml(self):
        """As `tls = …` of a site."""
        return f'{{ cert = "{self.cert}", key = "{self.key}" }}'


class Authority(Certificate):
    """Signs certificates."""

    def __init__(self, folder, name="authority"):
        self.folder, self.issued = folder, 0
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - DAY).not_valid_after(now + 365 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256()))
        super().__init__(folder, name, certificate, key)

    def issue(self, *names, kind="ecdsa", days=30, responder=None, must_staple=False):
        """A certificate for these host names and addresses, good for servers and for clients. With the URL of a
        `responder` it says who answers OCSP, and the authority's certificate follows it in its file."""
        self.issued += 1
        key = rsa.generate_private_key(65_537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        now = datetime.datetime.now(datetime.UTC)
        more = []
        if responder:
            url = x509.UniformResourceIdentifier(responder)
            more.append(x509.AuthorityInformationAccess(
                [x509.AccessDescription(AuthorityInformationAccessOID.OCSP, url)]))
        if must_staple:
            more.append(x509.TLSFeature([x509.TLSFeatureType.status_request]))
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self.certificate.subject)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * DAY).not_valid_after(now + days * DAY)
            .add_extension(x509.SubjectAlternativeName([general(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                           critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.private.public_key()),
                           critical=False))
        for extension in more:
            builder = builder.add_extension(extension, critical=False)
        return Certificate(self.folder, f"{self.certificate.subject.rfc4514_string()[3:]}-{self.issued}",
                           builder.sign(self.private, hashes.SHA256()), key, [self.certificate] if responder else [])

    def vouch(self, certificate):
        """A file with an OCSP response (DER): the certificate is good."""
        request = ocsp.OCSPRequestBuilder().add_certificate(certificate.certificate, self.certificate, hashes.SHA1())
        path = certificate.cert.with_suffix(".ocsp")
        path.write_bytes(self.answer(request.build().public_bytes(serialization.Encoding.DER)))
        return path

    def answer(self, request):
        """The OCSP response (DER) to a request (DER): whatever it asks about is good."""
        asked, now = ocsp.load_der_ocsp_request(request), datetime.datetime.now(datetime.UTC)
        response = (
            ocsp.OCSPResponseBuilder()
            .add_response_by_hash(asked.issuer_name_hash, asked.issuer_key_hash, asked.serial_number,
                                  asked.hash_algorithm, ocsp.OCSPCertStatus.GOOD, now - DAY, now + DAY, None, None)
            .responder_id(ocsp.OCSPResponderEncoding.NAME, self.certificate).sign(self.private, hashes.SHA256()))
        return response.public_bytes(serialization.Encoding.DER)


def general(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
