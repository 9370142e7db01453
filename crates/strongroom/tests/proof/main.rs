//! Proofs on the real program: what it promises, tried from outside, with real folders, processes, signals and servers.

mod bad_input;
mod bounded;
mod canary;
mod cluster;
mod concurrent;
mod databases;
mod datarobot;
mod drill;
mod etcd_backup;
mod etcd_memory;
mod helm;
mod hosts;
mod inside;
mod interrupted;
mod keys;
mod kill;
mod kills;
mod locks;
mod logins;
mod maintained;
mod memory;
mod power;
mod roles;
mod stores;
mod taken_over;
mod watch;

mod noise;
mod scale;
mod scene;
mod script;
mod tree;
