//! What clusters that etcd-backup backs up share, and should not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use foreign::etcd_backup::MasterKey;

use super::sameness::{Sameness, is_same_place};
use super::{Diagnosis, Grade};
use crate::etcd_backup::Config;

const CHECK: &str = "clusters";

/// A configuration with its master key.
struct Cluster {
    file: String,
    config: Config,
    master: Option<MasterKey>,
}

impl Diagnosis {
    /// Compares these configurations with each other. Nothing is asked of a server.
    pub(super) fn look_at_etcd_backup(&mut self, files: &[PathBuf]) -> anyhow::Result<()> {
        let mut clusters = Vec::new();
        for file in files {
            let config = Config::load(file)?;
            let master = config.master_key()?;
            let file = file.display().to_string();
            clusters.push(Cluster {
                file,
                config,
                master,
            });
        }
        let before = self.findings.len();
        for cluster in &clusters {
            self.look_at_cluster(cluster);
        }
        for (index, one) in clusters.iter().enumerate() {
            for other in &clusters[index + 1..] {
                self.compare(one, other);
            }
        }
        if !clusters.is_empty() && self.findings.len() == before {
            let finding = match &clusters[..] {
                [only] => format!("{}: nothing is wrong that can be seen from here", only.file),
                _ => "no two of the clusters share a master key or a prefix".to_owned(),
            };
            self.find(Grade::Good, CHECK, finding);
        }
        Ok(())
    }

    fn look_at_cluster(&mut self, cluster: &Cluster) {
        let Cluster { file, config, .. } = cluster;
        let Some(key) = &config.encryption_key else {
            let finding = format!("{file}: dumps are stored in clear, with all that etcd holds");
            self.find(Grade::Note, CHECK, finding);
            self.advise("`encryption_key_path`, or a repository of strongroom: strongroom config convert etcd-backup");
            return;
        };
        if is_open(key) {
            let finding = format!(
                "{file}: others than its owner may read the master key {}",
                key.display()
            );
            self.find(Grade::Note, CHECK, finding);
            self.advise(format!("chmod 600 {}", key.display()));
        }
    }

    fn compare(&mut self, one: &Cluster, other: &Cluster) {
        let (first, second) = (&one.config, &other.config);
        let both = format!("{} and {}", one.file, other.file);
        let (both, if_two) = match Sameness::of(first, second) {
            Sameness::OneCluster => return,
            Sameness::TwoClusters => (format!("{both} are two clusters and"), ""),
            Sameness::NotKnown => (both, "if these are two clusters, "),
        };
        if let (Some(key), Some(same)) = (&one.master, &other.master)
            && key.is_same(same)
        {
            let finding =
                format!("{both} share one master key: {if_two}whoever has it from one reads both");
            self.find(Grade::Note, CHECK, finding);
            self.advise(
                "a key of its own for one of them (openssl rand -hex 32), then strongroom etcd-backup rotate-key -p OLD",
            );
        }
        if is_same_place(first, second) {
            let finding = format!(
                "{both} store under the same names: {if_two}restore and prune of one take those of the other"
            );
            self.find(Grade::Bad, CHECK, finding);
            self.advise("another `objects_prefix` for one of them");
        }
    }
}

fn is_open(path: &Path) -> bool {
    let metadata = path.metadata();
    metadata.is_ok_and(|it| it.permissions().mode() & 0o077 != 0)
}
