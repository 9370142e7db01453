//! Other tools' layouts: what strongroom has captured, in the folders and files in which somebody else's procedure expects it. And back;
//! and the objects that another tool stores by itself.
//!
//! Pure: bytes and entries come in, bytes and files with their relative paths come out. Who reads and writes them, and where, is the
//! program's business.

mod error;
mod object;

pub mod datarobot;
pub mod etcd_backup;
mod helm;

mod certificate;
mod key_pair;

pub use error::Error;

use std::collections::BTreeMap;

use zeroize::Zeroizing;

/// Files by their paths below a folder, with `/` between the parts. Their contents may be secrets.
pub type Files = BTreeMap<String, Zeroizing<Vec<u8>>>;
