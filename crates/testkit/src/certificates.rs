use std::path::{Path, PathBuf};
use std::process::Command;

/// An authority, what it signed, and what it did not: made anew by the `openssl` command.
pub struct Certificates {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// For a server on 127.0.0.1 or `localhost`.
    pub server: Pair,
    /// For a client; its common name is `root`, which etcd takes for the user.
    pub client: Pair,
    /// For a client, by an authority that nobody trusts.
    pub stranger: Pair,
    /// The certificate of the authority that nobody trusts.
    pub strange_authority: PathBuf,
}

/// A certificate and its private key, in files.
#[derive(Clone)]
pub struct Pair {
    /// PEM.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes them in `folder`, which must exist.
    pub fn make(folder: &Path) -> Self {
        let authority = Authority::make(folder, "authority");
        let strange = Authority::make(folder, "strange");
        let names = "subjectAltName=IP:127.0.0.1,DNS:localhost";
        Self {
            server: authority.sign(folder, "server", "server", names),
            client: authority.sign(folder, "client", "root", "extendedKeyUsage=clientAuth"),
            stranger: strange.sign(folder, "stranger", "root", "extendedKeyUsage=clientAuth"),
            authority: authority.0.certificate,
            strange_authority: strange.0.certificate,
        }
    }
}

struct Authority(Pair);

const NEW_KEY: [&str; 6] = [
    "req",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
];

impl Authority {
    fn make(folder: &Path, name: &str) -> Self {
        let pair = Pair::at(folder, name);
        let subject = format!("/CN={name}");
        openssl(&NEW_KEY, |command| {
            command.args(["-x509", "-days", "2", "-subj", &subject]);
            command
                .arg("-keyout")
                .arg(&pair.key)
                .arg("-out")
                .arg(&pair.certificate);
        });
        Self(pair)
    }

    fn sign(&self, folder: &Path, name: &str, common_name: &str, extension: &str) -> Pair {
        let pair = Pair::at(folder, name);
        let request = folder.join(format!("{name}.csr"));
        let subject = format!("/CN={common_name}");
        openssl(&NEW_KEY, |command| {
            command.args(["-subj", &subject, "-addext", extension]);
            command
                .arg("-keyout")
                .arg(&pair.key)
                .arg("-out")
                .arg(&request);
        });
        openssl(
            &["x509", "-req", "-days", "2", "-copy_extensions", "copy"],
            |command| {
                command
                    .arg("-in")
                    .arg(&request)
                    .arg("-out")
                    .arg(&pair.certificate);
                command
                    .arg("-CA")
                    .arg(&self.0.certificate)
                    .arg("-CAkey")
                    .arg(&self.0.key);
            },
        );
        pair
    }
}

impl Pair {
    fn at(folder: &Path, name: &str) -> Self {
        Self {
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        }
    }
}

fn openssl(arguments: &[&str], more: impl FnOnce(&mut Command)) {
    let mut command = Command::new("openssl");
    command.args(arguments);
    more(&mut command);
    let output = command.output().expect("openssl is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {said}");
}
