use crate::Setting;

pub(super) const CLUSTER: &str = "cluster";
pub(super) const REPLACE: &str = "replace";
pub(super) const NO_BUMP: &str = "no-bump-revision";
pub(super) const NAME: &str = "name";
pub(super) const INITIAL_CLUSTER: &str = "initial-cluster";
pub(super) const PEER_URLS: &str = "initial-advertise-peer-urls";
pub(super) const DATA_DIR: &str = "data-dir";
pub(super) const TOOL: &str = "etcdutl-path";
pub(super) const BUMP: &str = "bump-revision";
pub(super) const COMPACTED: &str = "mark-compacted";
pub(super) const WAL_DIR: &str = "wal-dir";
pub(super) const LEASES: &str = "leases";
/// The setting that agrees to writing keys of a Kubernetes API server.
pub const API_SERVER_KEYS: &str = "api-server-keys";

/// What a restore of etcd can be told beside `--to`; the names are those of `etcdutl snapshot restore`, where it has them.
pub const SETTINGS: [Setting; 14] = [
    Setting {
        name: DATA_DIR,
        value: Some("DIR"),
        help: "make an etcd data directory here, by etcdutl; it must be absent or empty",
    },
    Setting {
        name: REPLACE,
        value: None,
        help: "move a data directory that is there aside, unless an etcd runs on it",
    },
    Setting {
        name: CLUSTER,
        value: Some("NAME=URL,..."),
        help: "all members and their peer URLs: a data directory for each, DIR/NAME, in one run",
    },
    Setting {
        name: NAME,
        value: Some("NAME"),
        help: "the member's name [default: default]",
    },
    Setting {
        name: INITIAL_CLUSTER,
        value: Some("NAME=URL,..."),
        help: "all members and their peer URLs [default: default=http://localhost:2380]",
    },
    Setting {
        name: "initial-cluster-token",
        value: Some("TOKEN"),
        help: "keeps members of another cluster out [default: etcd-cluster]",
    },
    Setting {
        name: PEER_URLS,
        value: Some("URL,..."),
        help: "this member's peer URLs [default: http://localhost:2380]",
    },
    Setting {
        name: TOOL,
        value: Some("PATH"),
        help: "the etcdutl to run, or an etcdctl older than 3.6 [default: from PATH]",
    },
    Setting {
        name: BUMP,
        value: Some("N"),
        help: "raise the revision by N, so that watchers notice the restore; needs --mark-compacted [default: 1000000000 for Kubernetes]",
    },
    Setting {
        name: COMPACTED,
        value: None,
        help: "mark the raised revision as compacted; needs --bump-revision",
    },
    Setting {
        name: NO_BUMP,
        value: None,
        help: "leave the revision as it is, even if the snapshot holds Kubernetes",
    },
    Setting {
        name: WAL_DIR,
        value: Some("DIR"),
        help: "keep the write-ahead log elsewhere",
    },
    Setting {
        name: LEASES,
        value: Some("POLICY"),
        help: "keys with a lease, by --inside: recreate (grant it again) or drop (write them without one) [default: recreate]",
    },
    Setting {
        name: API_SERVER_KEYS,
        value: None,
        help: "write keys of a Kubernetes API server as they are stored, past the server, by --inside",
    },
];
