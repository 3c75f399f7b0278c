//! TLS: our certificate, read from its files and read again when they change; and how the certificates of those that we
//! connect to are judged (RFC 3261 section 26.3.1, RFC 5922).

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, OnceLock},
    time::{Duration, SystemTime},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
        client::{
            Resumption,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
        sign::{CertifiedKey, SingleCertAndKey},
    },
};
use tracing::{info, warn};

use super::host::Host;
use crate::SignalingError;

/// How often the files of our certificate are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));

/// The PEM files of our certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and those between it and its root, ours first.
    pub chain: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// When the two files were last written; None for one that cannot be seen.
type Written = [Option<SystemTime>; 2];

impl CertificateFiles {
    /// Whether they hold a certificate and its key.
    ///
    /// # Errors
    /// [`SignalingError::Certificate`] names the one that does not.
    pub fn check(&self) -> Result<(), SignalingError> {
        self.read().map(drop)
    }

    fn read(&self) -> Result<ServerConfig, SignalingError> {
        let wrong = |path: &Path, reason: String| SignalingError::Certificate { path: path.to_owned(), reason };
        let chain = certificates(&self.chain)?;
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|error| wrong(&self.key, format!("no key: {error}")))?;
        ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| wrong(&self.chain, error.to_string()))
    }

    fn written(&self) -> Written {
        [&self.chain, &self.key].map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
    }
}

/// Our certificate as new connections show it.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: CertificateFiles,
    current: watch::Sender<Arc<ServerConfig>>,
}

impl Certificate {
    /// # Errors
    /// [`SignalingError::Certificate`].
    pub(crate) fn open(files: CertificateFiles) -> Result<Self, SignalingError> {
        let (current, _) = watch::channel(Arc::new(files.read()?));
        Ok(Self { files, current })
    }

    /// What a new connection is to be accepted with.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow())
    }

    /// Reads the files anew. What is wrong with them is said in the log, and the old certificate stays.
    pub(crate) fn reload(&self) {
        let path = self.files.chain.display();
        match self.files.read() {
            Ok(config) => {
                self.current.send_replace(Arc::new(config));
                info!(%path, "the certificate of the SIP listeners has been read anew");
            }
            Err(error) => warn!(%error, "the certificate of the SIP listeners stays as it was"),
        }
    }

    /// Reads the files anew whenever one of them has been written, for ever.
    pub(crate) async fn follow(self: Arc<Self>) {
        let look = |certificate: Arc<Self>, before: Option<Written>| {
            tokio::task::spawn_blocking(move || {
                let written = certificate.files.written();
                if before.is_some_and(|before| before != written) {
                    certificate.reload();
                }
                written
            })
        };
        let mut before = None;
        loop {
            before = look(Arc::clone(&self), before).await.ok().or(before);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Whose certificates are believed when we connect. Cheap to clone.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

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
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            let reason = "the system has no certificates of authorities: install ca-certificates, or name a file";
            return Err(SignalingError::Certificate { path: "/etc/ssl/certs".into(), reason: reason.to_owned() });
        }
        Ok(SYSTEM.get_or_init(|| Self(Arc::new(client(roots)))).clone())
    }

    /// The authorities of a PEM file, and no others.
    ///
    /// # Errors
    /// [`SignalingError::Certificate`].
    pub fn authorities(path: &Path) -> Result<Self, SignalingError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| SignalingError::Certificate {
                path: path.to_owned(),
                reason: format!("no authority: {error}"),
            })?;
        }
        Ok(Self(Arc::new(client(roots))))
    }

    /// The same; and a peer that asks for a certificate is shown this one.
    ///
    /// # Errors
    /// [`SignalingError::Certificate`].
    pub fn showing(&self, files: &CertificateFiles) -> Result<Self, SignalingError> {
        let wrong = |path: &Path, reason: String| SignalingError::Certificate { path: path.to_owned(), reason };
        let key =
            PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong(&files.key, format!("no key: {error}")))?;
        let chain = certificates(&files.chain)?;
        let ours =
            CertifiedKey::from_der(chain, key, &PROVIDER).map_err(|error| wrong(&files.chain, error.to_string()))?;
        let mut config = ClientConfig::clone(&self.0);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(ours));
        // No session of somebody else's is taken up again.
        config.resumption = Resumption::default();
        Ok(Self(Arc::new(config)))
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
        TlsConnector::from(Arc::clone(&self.0)).connect(name, stream).await
    }

    /// Whatever a peer shows: what is said is hidden from those who listen, and not from one who stands between.
    pub fn anybody() -> Self {
        static ANYBODY: LazyLock<Trust> = LazyLock::new(|| {
            let mut config = client(RootCertStore::empty());
            config.dangerous().set_certificate_verifier(Arc::new(Believing));
            Trust(Arc::new(config))
        });
        ANYBODY.clone()
    }
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

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.trust.0)
    }
}

impl PartialEq for TlsPeer {
    /// A connection to one serves the other: the same name, judged the same way.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.trust.0, &other.trust.0)
    }
}

/// Why a connection, or its TLS handshake, came to nothing, in words that say what to do where we know.
pub(crate) fn refusal(error: &io::Error) -> String {
    use rustls::{CertificateError as Fault, Error};
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(fault)) => match fault {
            // Of another authority of the same name the signature is wrong.
            Fault::UnknownIssuer | Fault::BadSignature => {
                "its certificate is signed by no authority that is believed (tls_ca)".to_owned()
            }
            Fault::NotValidForName | Fault::NotValidForNameContext { .. } => {
                "its certificate bears another name than the one that is called".to_owned()
            }
            Fault::Expired | Fault::ExpiredContext { .. } => "its certificate has expired".to_owned(),
            other => format!("its certificate is not accepted: {other}"),
        },
        Some(Error::AlertReceived(alert)) => format!("it refuses the TLS handshake: {alert:?}"),
        Some(other) => format!("no TLS with it: {other}"),
        None => error.to_string(),
    }
}

fn client(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_safe_default_protocol_versions()
        .expect("ring knows the cipher suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SignalingError> {
    let wrong = |reason: String| SignalingError::Certificate { path: path.to_owned(), reason };
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let read = read.map_err(|error| wrong(error.to_string()))?;
    if read.is_empty() { Err(wrong("it holds no certificate".to_owned())) } else { Ok(read) }
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
