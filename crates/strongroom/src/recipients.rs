//! That a snapshot is sealed to others than the one before it, as it is said to people and scripts.

use std::fmt;

use repository::RecipientChange;
use serde::Serialize;

/// Who came, and who went.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RecipientsChanged {
    came: Vec<String>,
    went: Vec<String>,
}

impl RecipientsChanged {
    pub(crate) fn of(change: &RecipientChange) -> Self {
        Self {
            came: change.came.clone(),
            went: change.went.clone(),
        }
    }
}

impl fmt::Display for RecipientsChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let came = self.came.iter().map(|text| format!("+{text}"));
        let went = self.went.iter().map(|text| format!("-{text}"));
        f.write_str(&came.chain(went).collect::<Vec<_>>().join(" "))
    }
}
