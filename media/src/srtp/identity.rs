//! Who we are in a DTLS handshake, and how the SDP names the other (RFC 8122).

use std::{fmt, sync::Arc};

use ring::digest;
use rtc_dtls::{
    config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig},
    crypto::Certificate,
    crypto_provider::{RTCCryptoProvider, default_provider},
    extension::extension_use_srtp::SrtpProtectionProfile,
};

use super::{Role, dtls::FLIGHT};
use crate::MediaError;

/// Our certificate and its key, made when Milo starts and forgotten when it ends.
pub struct Identity {
    certificate: Certificate,
    fingerprint: Fingerprint,
    provider: Arc<dyn RTCCryptoProvider>,
}

impl Identity {
    /// A new key on P-256 and a certificate that it signs itself.
    ///
    /// # Errors
    /// [`MediaError::Identity`] when the system has no random numbers.
    pub fn generate() -> Result<Arc<Self>, MediaError> {
        let failed = |reason: &dyn fmt::Display| MediaError::Identity { reason: reason.to_string() };
        let provider = default_provider().map_err(|error| failed(&error))?;
        let certificate = Certificate::generate_self_signed(vec!["milo".to_owned()], provider.crypto())
            .map_err(|error| failed(&error))?;
        let leaf = certificate.certificate.first().ok_or_else(|| failed(&"it is empty"))?;
        let fingerprint = Fingerprint { hash: Hash::Sha256, digest: Hash::Sha256.of(leaf) };
        Ok(Arc::new(Self { certificate, fingerprint, provider }))
    }

    /// What stands in our SDP.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    pub(super) fn config(&self, role: Role) -> Result<Arc<HandshakeConfig>, String> {
        let config = ConfigBuilder::default()
            .with_crypto_provider(self.provider.clone())
            .with_certificates(vec![self.certificate.clone()])
            .with_srtp_protection_profiles(vec![
                SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
                SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
                SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_32,
            ])
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .with_extended_master_secret(ExtendedMasterSecretType::Request)
            .with_flight_interval(FLIGHT)
            // No authority signs such certificates: what counts is the fingerprint, looked at below.
            .with_insecure_skip_verify(true)
            .with_server_name("milo".to_owned());
        config.build(role == Role::Active, None).map(Arc::new).map_err(|error| error.to_string())
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.fingerprint)
    }
}

/// The hash of a certificate, `a=fingerprint` (RFC 8122 section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    hash: Hash,
    digest: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
    Sha1,
}

impl Hash {
    const ALL: [(Self, &'static str, &'static digest::Algorithm); 4] = [
        (Self::Sha256, "sha-256", &digest::SHA256),
        (Self::Sha384, "sha-384", &digest::SHA384),
        (Self::Sha512, "sha-512", &digest::SHA512),
        (Self::Sha1, "sha-1", &digest::SHA1_FOR_LEGACY_USE_ONLY),
    ];

    fn row(self) -> (&'static str, &'static digest::Algorithm) {
        let [(_, name, algorithm), ..] = Self::ALL;
        Self::ALL.iter().find(|row| row.0 == self).map_or((name, algorithm), |row| (row.1, row.2))
    }

    fn of(self, certificate: &[u8]) -> Vec<u8> {
        digest::digest(self.row().1, certificate).as_ref().to_vec()
    }
}

impl Fingerprint {
    /// Reads `sha-256 4A:AD:…`; `None` for another hash than SHA-1, 256, 384 and 512, and for a wrong length.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, digits) = text.trim().split_once(' ')?;
        let (hash, _, algorithm) = Hash::ALL.into_iter().find(|row| row.1.eq_ignore_ascii_case(name))?;
        let digest: Option<Vec<u8>> = digits
            .trim()
            .split(':')
            .map(|pair| (pair.len() == 2).then(|| u8::from_str_radix(pair, 16).ok()).flatten())
            .collect();
        digest.filter(|digest| digest.len() == algorithm.output_len()).map(|digest| Self { hash, digest })
    }

    pub(super) fn is_of(&self, certificate: &[u8]) -> bool {
        self.hash.of(certificate) == self.digest
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.hash.row().0)?;
        for (at, byte) in self.digest.iter().enumerate() {
            write!(f, "{}{byte:02X}", if at == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_and_written() {
        let identity = Identity::generate().unwrap();
        let text = identity.fingerprint().to_string();
        assert!(text.starts_with("sha-256 ") && text.len() == 8 + 32 * 3 - 1, "{text}");
        assert_eq!(Fingerprint::parse(&text.to_lowercase()).as_ref(), Some(identity.fingerprint()));
        for wrong in ["", "sha-256", "sha-256 AB:CD", "md5 00:11", &text[..text.len() - 1], &text.replace(':', "")] {
            assert_eq!(Fingerprint::parse(wrong), None, "{wrong}");
        }
    }
}
