//! A fake of an OpenID provider, from which MinIO learns whose tokens it is to believe; the tokens are real.

use std::time::{SystemTime, UNIX_EPOCH};

use super::azurite::base64;
use super::proxy::{Proxy, Treatment};
use super::s3::hmac;
use crate::http::Message;

const CLIENT: &str = "strongroom";
const SECRET: &str = "the secret of the only client";

/// An OpenID provider with one client, which signs tokens with the client's secret.
pub struct OpenId {
    listening: Proxy,
}

impl OpenId {
    /// Starts one.
    pub fn start() -> Self {
        // Nobody is behind it: it answers by itself.
        let listening = Proxy::start("127.0.0.1:1", |request| {
            let own = request.header("host").unwrap_or_default();
            let body = if request.target() == "/keys" {
                "{\"keys\":[]}".to_owned()
            } else {
                format!("{{\"issuer\":\"http://{own}\",\"jwks_uri\":\"http://{own}/keys\"}}")
            };
            let headers = [("content-type", "application/json")];
            Treatment::Answered(Message::new("HTTP/1.1 200 OK", &headers, body.as_bytes()))
        });
        Self { listening }
    }

    /// What makes a MinIO believe it.
    pub fn for_minio(&self) -> Vec<(&'static str, String)> {
        let configuration = ".well-known/openid-configuration";
        let configuration = format!("{}/{configuration}", self.listening.endpoint());
        vec![
            ("MINIO_IDENTITY_OPENID_CONFIG_URL", configuration),
            ("MINIO_IDENTITY_OPENID_CLIENT_ID", CLIENT.to_owned()),
            ("MINIO_IDENTITY_OPENID_CLIENT_SECRET", SECRET.to_owned()),
        ]
    }

    /// A token for an hour, with which MinIO lets `subject` read and write everything.
    pub fn token(&self, subject: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let end = now.expect("it is after 1970").as_secs() + 3600;
        let issuer = self.listening.endpoint();
        let header = format!("{{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"{CLIENT}\"}}");
        let claims = format!(
            "{{\"aud\":\"{CLIENT}\",\"sub\":\"{subject}\",\"iss\":\"{issuer}\",\"exp\":{end},\"policy\":\"readwrite\"}}"
        );
        let signed = [header, claims].map(|part| base64url(part.as_bytes()));
        let signed = signed.join(".");
        let signature = hmac(SECRET.as_bytes(), signed.as_bytes());
        format!("{signed}.{}", base64url(&signature))
    }
}

fn base64url(bytes: &[u8]) -> String {
    let text = base64(bytes).replace('+', "-").replace('/', "_");
    text.trim_end_matches('=').to_owned()
}
