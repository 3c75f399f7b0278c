//! Whose certificates are believed when we connect by TLS, and what we show (RFC 3261 section 26.3.1, RFC 5922). What is read from files
//! is read again for the next connection after they have changed.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError},
    time::SystemTime,
};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
        sign::{CertifiedKey, SingleCertAndKey},
    },
};
use tracing::{info, warn};

use super::{
    host::Host,
    tls::{CertificateFiles, PROVIDER, certificates, written},
};
use crate::SignalingError;

/// Whose certificates are believed when we connect. Cheap to clone.
#[derive(Clone)]
pub struct Trust(Arc<Judge>);

struct Judge {
    authorities: Authorities,
    /// What a peer that asks for a certificate is shown.
    shown: Option<CertificateFiles>,
    /// Locked for as long as a pointer takes to be read or put there: whoever connects does so from a task of its own.
    current: Mutex<Current>,
}

/// Who signs what is believed.
#[derive(Clone)]
enum Authorities {
    System,
    File(PathBuf),
    Anybody,
}

/// What the files held, and when each was written.
struct Current {
    config: Arc<ClientConfig>,
    written: Vec<Option<SystemTime>>,
}

impl Trust {
    /// The authorities that the system trusts.
    ///
    /// # Errors
    /// [`SignalingError::Certificate`]: the system has none.
    pub fn system() -> Result<Self, SignalingError> {
        static SYSTEM: OnceLock<Trust> = OnceLock::new();
        if let Some(known) = SYSTEM.get() {
            return Ok(known.clone());
        }
        let read = Self::read(Authorities::System, None)?;
        Ok(SYSTEM.get_or_init(|| read).clone())
    }

    /// The authorities of a PEM file, and no others.
    ///
    /// # Errors
    /// [`SignalingError::Certificate`].
    pub fn authorities(path: &Path) -> Result<Self, SignalingError> {
        Self::read(Authorities::File(path.to_owned()), None)
    }

    /// The same; and a peer that asks for a certificate is shown this one.
    ///
    /// # Errors
    /// [`SignalingError::Certificate`].
    pub fn showing(&self, files: &CertificateFiles) -> Result<Self, SignalingError> {
        // Anew, so that no session of somebody else's is taken up again.
        Self::read(self.0.authorities.clone(), Some(files.clone()))
    }

    /// Whatever a peer shows: what is said is hidden from those who listen, and not from one who stands between.
    pub fn anybody() -> Self {
        static ANYBODY: LazyLock<Trust> = LazyLock::new(|| {
            let current = Mutex::new(Current { config: Arc::new(believing()), written: Vec::new() });
            Trust(Arc::new(Judge { authorities: Authorities::Anybody, shown: None, current }))
        });
        ANYBODY.clone()
    }

    fn read(authorities: Authorities, shown: Option<CertificateFiles>) -> Result<Self, SignalingError> {
        // Should they be written meanwhile, they are read once more.
        let written = files(&authorities, shown.as_ref()).map(written).collect();
        let config = Arc::new(read(&authorities, shown.as_ref())?);
        let current = Mutex::new(Current { config, written });
        Ok(Self(Arc::new(Judge { authorities, shown, current })))
    }

    /// TLS over a stream that is connected already, for what is not SIP: the peer must bear this name, or address.
    ///
    /// # Errors
    /// It is no name, or the handshake failed.
    pub async fn connect<S>(
        &self,
        name: &str,
        stream: S,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<S>>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(self.config().await).connect(name, stream).await
    }

    /// What the next connection is made with.
    async fn config(&self) -> Arc<ClientConfig> {
        let Judge { authorities, shown, .. } = &*self.0;
        if files(authorities, shown.as_ref()).next().is_some() {
            let judge = Arc::clone(&self.0);
            // One that panicked has said so, and what was read before still holds.
            drop(tokio::task::spawn_blocking(move || judge.look()).await);
        }
        Arc::clone(&self.0.current().config)
    }
}

impl Judge {
    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files anew if one of them has been written. What is wrong with them is said in the log, once, and what was read
    /// before stays.
    fn look(&self) {
        let written: Vec<_> = files(&self.authorities, self.shown.as_ref()).map(written).collect();
        if self.current().written == written {
            return;
        }
        let read = read(&self.authorities, self.shown.as_ref());
        let mut current = self.current();
        current.written = written;
        let path = files(&self.authorities, self.shown.as_ref()).next().unwrap_or(Path::new("")).display();
        match read {
            Ok(config) => {
                current.config = Arc::new(config);
                info!(%path, "the certificates for connections by TLS have been read anew");
            }
            Err(error) => warn!(%error, "the certificates for connections by TLS stay as they were"),
        }
    }
}

fn files<'f>(authorities: &'f Authorities, shown: Option<&'f CertificateFiles>) -> impl Iterator<Item = &'f Path> {
    let file = match authorities {
        Authorities::File(path) => Some(path),
        Authorities::System | Authorities::Anybody => None,
    };
    let shown = shown.into_iter().flat_map(|files| [&files.chain, &files.key]);
    file.into_iter().chain(shown).map(PathBuf::as_path)
}

fn read(authorities: &Authorities, shown: Option<&CertificateFiles>) -> Result<ClientConfig, SignalingError> {
    let wrong = |path: &Path, reason: String| SignalingError::Certificate { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    let mut config = match authorities {
        Authorities::System => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let reason = "the system has no certificates of authorities: install ca-certificates, or name a file";
                return Err(wrong(Path::new("/etc/ssl/certs"), reason.to_owned()));
            }
            client(roots)
        }
        Authorities::File(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| wrong(path, format!("no authority: {error}")))?;
            }
            client(roots)
        }
        Authorities::Anybody => believing(),
    };
    if let Some(files) = shown {
        let key = PrivateKeyDer::from_pem_file(&files.key);
        let key = key.map_err(|error| wrong(&files.key, format!("no key: {error}")))?;
        let ours = CertifiedKey::from_der(certificates(&files.chain)?, key, &PROVIDER);
        let ours = ours.map_err(|error| wrong(&files.chain, error.to_string()))?;
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(ours));
    }
    Ok(config)
}

fn believing() -> ClientConfig {
    let mut config = client(RootCertStore::empty());
    config.dangerous().set_certificate_verifier(Arc::new(Believing));
    config
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

/// Whom a connection of ours must reach: the name that its certificate must bear, and who must have signed it.
#[derive(Clone, Debug)]
pub(crate) struct TlsPeer {
    pub(crate) name: ServerName<'static>,
    trust: Trust,
}

impl TlsPeer {
    /// None for a host that no certificate can name.
    pub(crate) fn new(host: &Host, trust: Trust) -> Option<Self> {
        let name = match host.ip() {
            Some(ip) => ServerName::IpAddress(ip.into()),
            None => ServerName::try_from(host.as_str().to_owned()).ok()?,
        };
        Some(Self { name, trust })
    }

    /// What a connection to it is made with.
    pub(crate) async fn config(&self) -> Arc<ClientConfig> {
        self.trust.config().await
    }
}

impl PartialEq for TlsPeer {
    /// A connection to one serves the other: the same name, judged the same way.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.trust.0, &other.trust.0)
    }
}

fn client(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_safe_default_protocol_versions()
        .expect("ring knows the cipher suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Believes every certificate; only that the peer holds its key is checked.
#[derive(Debug)]
struct Believing;

impl ServerCertVerifier for Believing {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &PROVIDER.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &PROVIDER.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}
