//! A line that a person types, read key by key: so that a secret is not echoed, that an interrupt leaves the terminal as it was, and
//! that no buffer of somebody else's keeps what was typed.

use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::exit::Exit;
use crate::failure::Failure;

/// A passphrase, a PIN or a line of a share has fewer characters.
const LINE_MAX: usize = 1024;

const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const ERASE: [u8; 2] = [0x08, 0x7f];
const ERASE_ALL: u8 = 0x15;

/// How the terminal was before we changed it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Reads a line from standard input, which is a terminal. What is typed is shown if `shown`.
pub(super) fn line(shown: bool) -> anyhow::Result<Zeroizing<String>> {
    if shown {
        // The terminal itself is the better editor where nothing has to be hidden.
        return read(canonical);
    }
    let before = tcgetattr(std::io::stdin())?;
    let mut ours = before.clone();
    // Without signals, too: an interrupt is a key like any other, and the terminal is put right first.
    let off = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
    ours.local_modes.remove(off);
    *lock() = Some(before);
    tcsetattr(std::io::stdin(), OptionalActions::Flush, &ours)?;
    let line = read(keys);
    restore();
    line
}

/// Puts the terminal right, if it is not.
pub(super) fn restore() {
    if let Some(before) = lock().take() {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
    }
}

fn lock() -> std::sync::MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a key does to a line: `Some` ends it.
type Edit = fn(&mut Vec<u8>, u8) -> Option<End>;

enum End {
    Line,
    Interrupted,
}

fn canonical(line: &mut Vec<u8>, byte: u8) -> Option<End> {
    if byte == b'\n' {
        return Some(End::Line);
    }
    line.push(byte);
    None
}

fn keys(line: &mut Vec<u8>, byte: u8) -> Option<End> {
    match byte {
        b'\n' | b'\r' => return Some(End::Line),
        END if line.is_empty() => return Some(End::Interrupted),
        INTERRUPT => return Some(End::Interrupted),
        ERASE_ALL => line.clear(),
        byte if ERASE.contains(&byte) => {
            // A whole character, not one of its bytes.
            while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
        }
        byte if byte < 0x20 => {}
        byte => line.push(byte),
    }
    None
}

fn read(edit: Edit) -> anyhow::Result<Zeroizing<String>> {
    let interrupted = || Failure::new(Exit::Interrupted, "interrupted");
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_MAX));
    loop {
        let mut byte = Zeroizing::new([0]);
        match rustix::io::read(std::io::stdin(), &mut byte[..]) {
            Ok(0) => return Err(interrupted().into()),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match edit(&mut line, byte[0]) {
            Some(End::Line) => break,
            Some(End::Interrupted) => return Err(interrupted().into()),
            None if line.len() == LINE_MAX => {
                return Err(Failure::usage("the line that was typed is too long").into());
            }
            None => {}
        }
    }
    let text = std::str::from_utf8(&line)
        .map_err(|_| Failure::usage("the line that was typed is not UTF-8"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> (String, bool) {
        let mut line = Vec::new();
        for byte in bytes {
            match keys(&mut line, *byte) {
                Some(End::Line) => break,
                Some(End::Interrupted) => return (String::new(), false),
                None => {}
            }
        }
        (String::from_utf8(line).expect("whole characters"), true)
    }

    #[test]
    fn keys_edit_a_hidden_line() {
        let line = |bytes: &[u8]| typed(bytes).0;
        assert_eq!(line(b"hunter2\r"), "hunter2");
        assert_eq!(line("ab\u{e4}\x7f\x7fc\n".as_bytes()), "ac");
        assert_eq!(line(b"wrong\x15right\n"), "right");
        assert_eq!(line(b"\x7f\x1b[Aok\n"), "[Aok");
        assert!(!typed(b"hunt\x03er2\n").1, "an interrupt");
        assert!(!typed(b"\x04").1, "the end at the start");
    }
}
