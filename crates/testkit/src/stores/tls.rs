use std::io::{self, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::spawn;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::Certificates;
use crate::http::{Message, ask};

/// Speaks TLS for a server on loopback that does not.
pub struct Tls {
    address: String,
    certificates: Certificates,
    stopped: Arc<AtomicBool>,
    _folder: TempDir,
}

impl Tls {
    /// Starts in front of `upstream` (`127.0.0.1:PORT`). Its threads end when it is dropped.
    pub fn before(upstream: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let certificates = Certificates::make(folder.path());
        let config = Arc::new(config(&certificates));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let stopped = Arc::new(AtomicBool::new(false));
        let (accepting, upstream) = (Arc::clone(&stopped), upstream.to_owned());
        spawn(move || {
            for client in listener.incoming() {
                if accepting.load(Ordering::SeqCst) {
                    return;
                }
                let (config, upstream) = (Arc::clone(&config), upstream.clone());
                // A client that goes away is its own affair.
                spawn(move || {
                    client
                        .and_then(|client| serve(client, config, &upstream))
                        .ok()
                });
            }
        });
        Self {
            address,
            certificates,
            stopped,
            _folder: folder,
        }
    }

    /// Where clients connect.
    pub fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Its certificates.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(&self.address);
    }
}

fn config(certificates: &Certificates) -> ServerConfig {
    let pair = &certificates.server;
    let chain = CertificateDer::pem_file_iter(&pair.certificate).expect("certificates");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 ask for");
    let config = config.with_no_client_auth();
    config
        .with_single_cert(chain, key)
        .expect("the key is the certificate's")
}

fn serve(client: TcpStream, config: Arc<ServerConfig>, upstream: &str) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut client = BufReader::new(StreamOwned::new(connection, client));
    while let Some(request) = Message::read(&mut client, false)? {
        let answer = ask(upstream, &request)?;
        answer.write(client.get_mut(), request.method() == "HEAD")?;
        if !request.keeps_alive() {
            break;
        }
    }
    Ok(())
}
