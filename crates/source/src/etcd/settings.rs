use crate::Setting;

pub(super) const DATA_DIR: &str = "data-dir";
pub(super) const TOOL: &str = "etcdutl-path";
pub(super) const BUMP: &str = "bump-revision";
pub(super) const COMPACTED: &str = "mark-compacted";
pub(super) const WAL_DIR: &str = "wal-dir";

/// What a restore of etcd can be told beside `--to`; the names are those of `etcdutl snapshot restore`.
pub const SETTINGS: [Setting; 9] = [
    Setting {
        name: DATA_DIR,
        value: Some("DIR"),
        help: "make an etcd data directory here, by etcdutl; it must be absent or empty",
    },
    Setting {
        name: "name",
        value: Some("NAME"),
        help: "the member's name [default: default]",
    },
    Setting {
        name: "initial-cluster",
        value: Some("NAME=URL,..."),
        help: "all members and their peer URLs [default: default=http://localhost:2380]",
    },
    Setting {
        name: "initial-cluster-token",
        value: Some("TOKEN"),
        help: "keeps members of another cluster out [default: etcd-cluster]",
    },
    Setting {
        name: "initial-advertise-peer-urls",
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
        help: "raise the revision by N, so that watchers (Kubernetes) notice the restore; needs --mark-compacted",
    },
    Setting {
        name: COMPACTED,
        value: None,
        help: "mark the raised revision as compacted; needs --bump-revision",
    },
    Setting {
        name: WAL_DIR,
        value: Some("DIR"),
        help: "keep the write-ahead log elsewhere",
    },
];
