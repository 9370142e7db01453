use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

/// Passes bytes on in both directions, until `limit` of them have come from the server; then it holds its breath.
pub(crate) struct Proxy {
    address: String,
}

impl Proxy {
    pub(crate) async fn start(server: String, limit: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let left = Arc::new(AtomicUsize::new(limit));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server)
                    .await
                    .expect("the server listens");
                tokio::spawn(pass(client, server, Arc::clone(&left)));
            }
        });
        Self { address }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same for who speaks TLS through it.
    pub(crate) fn tls_address(&self) -> String {
        format!("https://{}", self.address)
    }
}

async fn pass(client: TcpStream, server: TcpStream, left: Arc<AtomicUsize>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
        let allowed = length.min(left.load(Ordering::Relaxed));
        left.fetch_sub(allowed, Ordering::Relaxed);
        if to_client.write_all(&buffer[..allowed]).await.is_err() {
            return;
        }
        if allowed < length {
            // Neither closes nor sends.
            std::future::pending::<()>().await;
        }
    }
}
