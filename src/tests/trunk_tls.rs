//! Trunks over TLS, each with authorities of its own, by certificates that were made for the scenario.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    calling_out::{calling, event, placed},
    destinations::{FAR, OUT},
    house::{folder, get, stop, tls_port, with_plans_and},
    trunk_servers::becomes,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer},
        server::WebPkiClientVerifier,
    },
};

/// An authority, in a file.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) file: PathBuf,
    der: CertificateDer<'static>,
}

/// A certificate and its key, in files.
pub(crate) struct Made {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    der: CertificateDer<'static>,
    private: PrivateKeyDer<'static>,
}

impl Authority {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let made = params.self_signed(&key).expect("an authority");
        let file = folder.join(format!("{name}.pem"));
        fs::write(&file, made.pem()).expect("a file");
        Self { issuer: Issuer::new(params, key), file, der: made.der().clone() }
    }

    /// A certificate for this name.
    pub(crate) fn signs(&self, folder: &Path, name: &str) -> Made {
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let pair = KeyPair::generate().expect("a key");
        let made = params.signed_by(&pair, &self.issuer).expect("a certificate");
        let (chain, key) = (folder.join(format!("{name}-cert.pem")), folder.join(format!("{name}.key")));
        fs::write(&chain, made.pem()).expect("a file");
        fs::write(&key, pair.serialize_pem()).expect("a file");
        let private = PrivateKeyDer::try_from(pair.serialize_der()).expect("a key");
        Made { chain, key, der: made.der().clone(), private }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_trunk_believes_its_own_authority_and_no_other() {
    let files = folder("trunk-tls-files");
    let (right, other) = (Authority::new(&files, "right"), Authority::new(&files, "other"));
    let carrier = right.signs(&files, "127.0.0.1");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (chain, key) = (text(&carrier.chain), text(&carrier.key));
    let secured =
        [("MILO__SIP__TLS", "127.0.0.1:0"), ("MILO__SIP__TLS_CERT", chain.as_str()), ("MILO__SIP__TLS_KEY", &key)];
    let far = with_plans_and("tls-carrier", FAR, &secured).await;
    let port = tls_port(&far);
    let gateway = format!("sip:127.0.0.1:{port};transport=tls");
    let (right, wrong) = (text(&right.file), text(&other.file));
    let trunks = [
        format!("{{ name = 'right', gateway = '{gateway}', tls_ca = '{right}', options_s = 1 }}"),
        format!("{{ name = 'wrong', gateway = '{gateway}', tls_ca = '{wrong}' }}"),
        format!("{{ name = 'asked', gateway = '{gateway}', tls_ca = '{wrong}', options_s = 1 }}"),
        format!(
            "{{ name = 'registering', register = true, registrar = '{gateway}', username = 'u', password = 'p', \
             tls_ca = '{wrong}' }}"
        ),
        format!("{{ name = 'misnamed', gateway = 'sip:localhost:{port};transport=tls', tls_ca = '{right}' }}"),
        format!("{{ name = 'believing', gateway = '{gateway}', tls_verify = false }}"),
    ];
    let near = calling("tls-trunks", OUT, &format!("[{}]", trunks.join(", "))).await;
    for (trunk, outcome, says) in [
        ("right", "answered", None),
        ("wrong", "refused", Some("signed by no authority")),
        ("misnamed", "refused", Some("another name")),
        ("believing", "answered", None),
    ] {
        let row = placed(&near, &json!({ "to": "034", "trunk": trunk })).await;
        assert_eq!(row["outcome"], outcome, "{trunk}: {row}");
        assert_eq!(event(&row, "dialled")["status"], if says.is_some() { 503 } else { 200 }, "{trunk}: {row}");
        let all = get(&near, "/api/v1/trunks")["trunks"].clone();
        let shown = all.as_array().and_then(|all| all.iter().find(|one| one["name"] == trunk)).cloned();
        let shown = shown.unwrap_or_default();
        match says {
            Some(says) => assert!(shown["last_error"].as_str().is_some_and(|why| why.contains(says)), "{shown}"),
            None => assert_eq!(shown["last_error"], Value::Null, "{shown}"),
        }
        assert_eq!(shown["warning"].is_string(), trunk == "believing", "{shown}");
    }
    becomes(&near, 0, "reachable", |trunk| trunk["reachable"] == true).await;
    let says = |why: &Value| why.as_str().is_some_and(|why| why.contains("signed by no authority"));
    becomes(&near, 2, "down for its certificate", |trunk| says(&trunk["unreachable"])).await;
    becomes(&near, 3, "unregistered for its certificate", |trunk| {
        trunk["state"] == "failed" && says(&trunk["last_error"])
    })
    .await;
    stop(near).await;
    stop(far).await;
    fs::remove_dir_all(files).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_asks_for_a_certificate_is_shown_the_one_that_is_meant_for_it() {
    let files = folder("shown-certificate");
    let authority = Authority::new(&files, "authority");
    let (carrier, ours) = (authority.signs(&files, "127.0.0.1"), authority.signs(&files, "milo.example"));
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).expect("an authority");
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_client_cert_verifier(verifier.expect("a verifier"))
        .with_single_cert(vec![carrier.der.clone()], carrier.private.clone_key())
        .expect("a certificate");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let gateway = format!("sip:127.0.0.1:{};transport=tls", listener.local_addr().expect("an address").port());
    let (ca, chain, key) = (authority.file.display(), ours.chain.display(), ours.key.display());
    let trunk = format!(
        "[{{ name = 'asking', gateway = '{gateway}', tls_ca = '{ca}', tls_cert = '{chain}', tls_key = '{key}', \
         options_s = 1 }}]"
    );
    let near = calling("shows-certificate", OUT, &trunk).await;
    let seen = tokio::time::timeout(std::time::Duration::from_secs(30), async {
        let (stream, _) = listener.accept().await.expect("a connection");
        let secured = TlsAcceptor::from(Arc::new(config)).accept(stream).await.expect("a certificate is shown");
        secured.get_ref().1.peer_certificates().map(<[_]>::to_vec)
    });
    assert_eq!(seen.await.expect("it connects"), Some(vec![ours.der.clone()]));
    stop(near).await;
    fs::remove_dir_all(files).ok();
}
