//! No plugins, for those who have only identities that need none.

use format::{FileKey, PluginError, PluginName, Plugins, Stanza, Wrapped};
use zeroize::Zeroizing;

pub struct NoPlugins;

impl Plugins for NoPlugins {
    fn wrap(&self, _: &PluginName, _: &[String], _: &FileKey) -> Result<Wrapped, PluginError> {
        Err(PluginError("no plugin is run here".to_owned()))
    }

    fn unwrap(
        &self,
        _: &PluginName,
        _: &[Zeroizing<String>],
        _: &[Stanza],
    ) -> Result<Option<FileKey>, PluginError> {
        Err(PluginError("no plugin is run here".to_owned()))
    }
}
