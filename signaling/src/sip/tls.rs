//! TLS: our certificate, read from its files and read again when they change (RFC 3261 section 26.3.1). How the certificates of those
//! that we connect to are judged stands in [`super::trust`].

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use tokio::sync::watch;
use tokio_rustls::rustls::{
    self, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tracing::{info, warn};

use crate::SignalingError;

/// How often the files of our certificate are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

pub(super) static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));

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
        self.read(&[]).map(drop)
    }

    /// `protocols`: what ALPN offers (RFC 7301), the best first.
    fn read(&self, protocols: &[&[u8]]) -> Result<ServerConfig, SignalingError> {
        let wrong = |path: &Path, reason: String| SignalingError::Certificate { path: path.to_owned(), reason };
        let chain = certificates(&self.chain)?;
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|error| wrong(&self.key, format!("no key: {error}")))?;
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| wrong(&self.chain, error.to_string()))?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }

    fn written(&self) -> Written {
        [&self.chain, &self.key].map(|path| written(path))
    }
}

/// Our certificate as new connections show it.
#[derive(Debug)]
pub struct Certificate {
    files: CertificateFiles,
    /// Whose it is, for the log: "SIP listeners".
    whose: &'static str,
    protocols: &'static [&'static [u8]],
    current: watch::Sender<Arc<ServerConfig>>,
}

impl Certificate {
    /// `whose` certificate it is stands in the log; `protocols` are offered by ALPN (RFC 7301), the best first.
    ///
    /// # Errors
    /// [`SignalingError::Certificate`].
    pub fn open(
        files: CertificateFiles,
        whose: &'static str,
        protocols: &'static [&'static [u8]],
    ) -> Result<Self, SignalingError> {
        let (current, _) = watch::channel(Arc::new(files.read(protocols)?));
        Ok(Self { files, whose, protocols, current })
    }

    /// What a new connection is to be accepted with.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow())
    }

    /// Reads the files anew. What is wrong with them is said in the log, and the old certificate stays.
    pub fn reload(&self) {
        let (path, whose) = (self.files.chain.display(), self.whose);
        match self.files.read(self.protocols) {
            Ok(config) => {
                self.current.send_replace(Arc::new(config));
                info!(%path, "the certificate of the {whose} has been read anew");
            }
            Err(error) => warn!(%error, "the certificate of the {whose} stays as it was"),
        }
    }

    /// Reads the files anew whenever one of them has been written, for ever.
    pub async fn follow(self: Arc<Self>) {
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

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SignalingError> {
    let wrong = |reason: String| SignalingError::Certificate { path: path.to_owned(), reason };
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let read = read.map_err(|error| wrong(error.to_string()))?;
    if read.is_empty() { Err(wrong("it holds no certificate".to_owned())) } else { Ok(read) }
}

/// When a file was last written; None for one that cannot be seen.
pub(super) fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|file| file.modified()).ok()
}
