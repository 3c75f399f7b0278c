//! TLS, HTTP/2, compression, and pages from elsewhere.

use std::path::PathBuf;

use http_body_util::{BodyExt, Empty};
use hyper::{Version, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use milo_signaling::CertificateFiles;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use super::*;

/// A folder with a certificate for localhost and its key.
struct Paper(PathBuf);

impl Paper {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("milo-paper-{}", crate::store::Key::new()));
        std::fs::create_dir_all(&folder).unwrap();
        let paper = Self(folder);
        paper.renew();
        paper
    }

    /// Another one in its place.
    fn renew(&self) {
        let new = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        std::fs::write(self.0.join("key.pem"), new.signing_key.serialize_pem()).unwrap();
        std::fs::write(self.0.join("chain.pem"), new.cert.pem()).unwrap();
    }

    fn files(&self) -> CertificateFiles {
        CertificateFiles { chain: self.0.join("chain.pem"), key: self.0.join("key.pem") }
    }

    fn settings(&self) -> config::Http {
        let CertificateFiles { chain, key } = self.files();
        config::Http { tls_cert: Some(chain), tls_key: Some(key), ..config::Http::default() }
    }

    /// A connection whose client believes the certificate that lies here now, and speaks what `protocols` say.
    async fn connect(&self, address: SocketAddr, protocols: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.0.join("chain.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let mut client =
            builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(client)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }
}

impl Drop for Paper {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[tokio::test]
async fn with_a_certificate_it_is_tls_and_http2_for_whoever_wants_it() {
    let paper = Paper::new();
    let house = House::with(healthy(), &paper.settings()).await;
    let stream = paper.connect(house.address, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        http2::handshake::<_, _, Empty<axum::body::Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let ask = |sender: &mut http2::SendRequest<_>, path| {
        let address = format!("https://localhost{path}");
        sender.send_request(hyper::Request::get(address).body(Empty::new()).unwrap())
    };
    // Two at once on one connection, and this machine is known by the name in the request's target.
    let (health, page) = (ask(&mut sender, "/api/v1/calls"), ask(&mut sender, "/"));
    let (health, page) = (health.await.unwrap(), page.await.unwrap());
    assert_eq!((health.status().as_u16(), health.version()), (200, Version::HTTP_2));
    assert_eq!(page.status().as_u16(), 200);
    let listed = health.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&listed).unwrap()["calls"], json!([]));

    let mut older = paper.connect(house.address, &[]).await.unwrap();
    older.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    older.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let plain = house.raw("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let length = plain.split_once("\r\n\r\n").map(|(_, body)| body.len().to_string()).unwrap();
    assert!(plain.starts_with("HTTP/1.1 400") && plain.contains("ask with https"), "{plain}");
    assert!(plain.contains(&format!("Content-Length: {length}\r\n")), "{plain}");

    // What the server says of itself before all else (RFC 9113 sections 3.4 and 6.5.2).
    let mut bare = paper.connect(house.address, &[b"h2"]).await.unwrap();
    bare.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut frame = [0; 9];
    bare.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3..5], [4, 0], "SETTINGS: {frame:?}");
    let mut settings = vec![0; usize::from(u16::from_be_bytes([frame[1], frame[2]]))];
    bare.read_exact(&mut settings).await.unwrap();
    let setting =
        |one: &[u8]| (u16::from_be_bytes([one[0], one[1]]), u32::from_be_bytes([one[2], one[3], one[4], one[5]]));
    let settings: Vec<_> = settings.chunks_exact(6).map(setting).collect();
    for (what, setting) in [("requests at once", (3, 64)), ("bytes of a head", (6, 16_384))] {
        assert!(settings.contains(&setting), "{what}: {settings:?}");
    }
}

/// The clock of this test jumps to whatever is waited for.
#[tokio::test(start_paused = true)]
async fn whoever_makes_no_handshake_is_let_go() {
    let paper = Paper::new();
    let certificate = certificate(&paper.settings()).unwrap();
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(serve(listener, certificate, Router::new(), std::future::pending()));
    // Nothing, and half the head of a record (RFC 8446 section 5.1).
    for first in [&b""[..], &b"\x16\x03\x01"[..]] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(first).await.unwrap();
        let began = tokio::time::Instant::now();
        stream.read_to_end(&mut Vec::new()).await.ok();
        assert!(began.elapsed() < Duration::from_secs(60), "{first:?}: {:?}", began.elapsed());
    }
    serving.abort();
}

#[tokio::test]
async fn a_new_certificate_is_shown_once_it_is_whole() {
    let paper = Paper::new();
    let certificate = certificate(&paper.settings()).unwrap().unwrap();
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let showing = serve(listener, Some(Arc::clone(&certificate)), Router::new(), std::future::pending());
    let showing = tokio::spawn(showing);
    std::fs::write(paper.0.join("chain.pem"), "half of one").unwrap();
    certificate.reload();
    paper.renew();
    assert!(paper.connect(address, &[]).await.is_err(), "the one of before is still shown");
    certificate.reload();
    paper.connect(address, &[]).await.expect("the new one is shown");
    showing.abort();
}

#[tokio::test]
async fn what_gets_smaller_is_compressed_for_whoever_reads_that() {
    let house = House::new(healthy()).await;
    let ask = async |path: &str, headers: &str| {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        let ask = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        (String::from_utf8_lossy(&answer).to_ascii_lowercase(), answer.len())
    };
    let (plain, whole) = ask("/redoc/redoc.standalone.js", "").await;
    let (head, packed) = ask("/redoc/redoc.standalone.js", "Accept-Encoding: gzip\r\n").await;
    assert!(!plain.contains("content-encoding") && plain.contains("vary: "), "{plain}");
    assert!(head.contains("content-encoding: gzip") && packed * 2 < whole, "{packed} of {whole}");
    // What comes piece by piece ends, too.
    let (export, _) = ask("/api/v1/calls/export?format=csv", "Accept-Encoding: gzip\r\n").await;
    assert!(export.starts_with("http/1.1 200") && export.ends_with("0\r\n\r\n"), "{export}");
    assert!(!ask("/healthz", "Accept-Encoding: gzip\r\n").await.0.contains("content-encoding"), "it is too short");
}

#[tokio::test]
async fn pages_from_elsewhere_are_let_in_where_the_configuration_names_them() {
    let settings = |origins: &[&str]| config::Http {
        cors_origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
        api_key: Some(Secret::new("0123456789abcdef")),
        ..config::Http::default()
    };
    let preflight = "OPTIONS /api/v1/calls HTTP/1.1\r\nHost: x\r\nOrigin: https://app.example\r\nConnection: close\r\n\
                     Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n";
    let house = House::with(healthy(), &settings(&["https://app.example"])).await;
    let answer = house.raw(preflight).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("allow-origin: https://app.example"), "{answer}");
    assert!(
        answer.contains("allow-headers: authorization")
            && answer.contains("idempotency-key")
            && answer.contains("allow-methods: "),
        "{answer}"
    );
    assert!(answer.contains("access-control-max-age: 3600"), "asked once an hour: {answer}");
    let (status, head, _) = house.get("/api/v1/calls", "Origin: https://app.example\r\n").await;
    assert!(status == 401 && head.contains("allow-origin: https://app.example"), "it may read why: {head}");
    assert!(head.contains("expose-headers: retry-after"), "{head}");
    let (_, head, _) = house.get("/api/v1/calls", "Origin: https://evil.example\r\n").await;
    assert!(!head.contains("allow-origin"), "{head}");
    assert!(head.contains("vary: origin"), "no cache gives one page's answer to another: {head}");
    let closed = House::with(healthy(), &settings(&[])).await;
    assert!(!closed.raw(preflight).await.to_ascii_lowercase().contains("allow-origin"));
    let open = House::with(healthy(), &settings(&["*"])).await;
    assert!(open.raw(preflight).await.to_ascii_lowercase().contains("allow-origin: *"));
}
