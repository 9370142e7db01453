use archive::Name;

/// How the names of half-written files start. Such files are neither captured nor restored.
pub(crate) const TEMPORARY_PREFIX: &[u8] = b".strongroom-restore-";

/// How many folders deep a path may be: each level holds one open folder.
pub(super) const DEPTH_MAX: usize = 400;

/// The components of an entry's name, if it is a relative path that names one thing below a root.
///
/// Names come from an archive, and what is in it came from a disk that may be hostile: nothing but this function turns
/// a name into something that is opened.
pub(super) fn components(name: &Name) -> Result<Vec<&[u8]>, &'static str> {
    let bytes = name.as_bytes();
    if bytes.is_empty() {
        return Err("its name is empty");
    }
    if bytes.contains(&0) {
        return Err("its name contains a zero byte");
    }
    let components: Vec<&[u8]> = bytes.split(|byte| *byte == b'/').collect();
    for component in &components {
        match *component {
            b"" => return Err("its name has an empty component"),
            b"." | b".." => return Err("its name has a component '.' or '..'"),
            component if component.starts_with(TEMPORARY_PREFIX) => {
                return Err("its name is reserved for files that a restore has not finished");
            }
            _ => {}
        }
    }
    if components.len() > DEPTH_MAX {
        Err("it lies too many folders deep")
    } else {
        Ok(components)
    }
}

/// Folders that the ascending names of an archive have entered and not yet left.
///
/// `a.txt` stands between the folder `a` and what is in it, `a/b`: a folder is left only by a name after all of `a/…`.
pub(super) struct Folders<T> {
    entered: Vec<(Vec<u8>, T)>,
}

impl<T> Folders<T> {
    pub(super) fn new() -> Self {
        Self {
            entered: Vec::new(),
        }
    }

    /// Takes out the folders that cannot hold `name` or anything after it, the innermost first.
    pub(super) fn leave(&mut self, name: &Name) -> Vec<T> {
        let name = name.as_bytes();
        let passed = |prefix: &[u8]| name > prefix && !name.starts_with(prefix);
        let left: Vec<_> = self
            .entered
            .extract_if(.., |(prefix, _)| passed(prefix))
            .collect();
        left.into_iter().rev().map(|(_, folder)| folder).collect()
    }

    /// Takes out all, the innermost first.
    pub(super) fn leave_all(&mut self) -> Vec<T> {
        std::mem::take(&mut self.entered)
            .into_iter()
            .rev()
            .map(|(_, folder)| folder)
            .collect()
    }

    /// The innermost folder that `name` lies in.
    pub(super) fn around(&self, name: &Name) -> Option<&T> {
        let inside = |prefix: &[u8]| name.as_bytes().starts_with(prefix);
        self.entered
            .iter()
            .rev()
            .find(|(prefix, _)| inside(prefix))
            .map(|(_, folder)| folder)
    }

    pub(super) fn enter(&mut self, name: &Name, folder: T) {
        let mut prefix = name.as_bytes().to_vec();
        prefix.push(b'/');
        self.entered.push((prefix, folder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_below_a_root_are_paths() {
        for bad in [
            &b""[..],
            b"/",
            b"/etc/passwd",
            b"a//b",
            b"a/",
            b".",
            b"..",
            b"a/../b",
            b"a/./b",
            b"a\0b",
            b"a/.strongroom-restore-1",
        ] {
            assert!(components(&Name::new(bad)).is_err(), "{:?}", Name::new(bad));
        }
        assert!(components(&Name::new("a/".repeat(DEPTH_MAX + 1) + "a")).is_err());
        let odd = Name::new(&b"-rf/ \n\xff/...\\"[..]);
        assert_eq!(components(&odd).map(|c| c.len()), Ok(3));
    }

    #[test]
    fn a_folder_is_left_after_all_that_is_in_it() {
        let mut folders = Folders::new();
        folders.enter(&Name::from("a"), 1);
        assert!(folders.leave(&Name::from("a.txt")).is_empty());
        assert_eq!(folders.around(&Name::from("a.txt")), None);
        assert!(folders.leave(&Name::from("a/b")).is_empty());
        folders.enter(&Name::from("a/b"), 2);
        assert!(folders.leave(&Name::from("a/b/c")).is_empty());
        assert_eq!(folders.around(&Name::from("a/b/c")), Some(&2));
        assert_eq!(folders.leave(&Name::from("a0")), [2, 1]);
    }
}
